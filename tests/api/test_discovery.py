"""What completion in a notebook shows, and what objects say of themselves."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import palate
from palate.models.systems import systems


def test_the_package_lists_its_public_names():
    assert set(palate.__all__) <= set(dir(palate))
    assert {"load", "compare", "evaluate", "restore", "Dataset", "Features", "models", "__version__"} <= set(
        dir(palate)
    )
    assert not {"annotations", "importlib", "Any", "TYPE_CHECKING"} & set(dir(palate))
    assert all(getattr(palate, name) is not None for name in palate.__all__)


def test_models_are_listed_by_class_without_importing_torch():
    assert {"Blend", "BM3", "EASE", "ItemKNN", "SASRec", "DIN"} <= set(dir(palate.models))
    assert all(getattr(palate.models, name).__name__ == name for name in dir(palate.models))
    code = "import palate, sys; dir(palate), dir(palate.models); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_the_name_of_a_model_leads_to_its_class():
    with pytest.raises(AttributeError, match="did you mean ItemKNN"):
        _ = palate.models.item_knn
    with pytest.raises(AttributeError, match="did you mean LightGCN"):
        _ = palate.models.LightGNC


def test_the_package_is_typed():
    assert (Path(palate.__file__).parent / "py.typed").is_file()


def test_every_registered_system_is_listed():
    from palate.contracts.describe import summaries

    listed = {system["name"]: system for system in systems()}
    assert listed.keys() >= {"blend", "clip", "din"}
    assert listed == {one["name"]: one for one in json.loads(json.dumps(summaries())) if one["name"] in listed}


def test_a_dataset_says_what_it_is_in_one_line(shop):
    text = repr(shop)
    assert "\n" not in text and len(text) < 300
    assert "corner shop" in text and "24 users" in text and "30 items" in text and "leave_one_out" in text
    assert len(repr(shop.items)) < 200


def test_a_model_says_what_it_is_in_one_line(bpr, ease):
    assert repr(palate.models.BPR(dim=8)) == "<BPR(dim=8), not fitted>"
    assert repr(bpr).startswith("<BPR(dim=8, epochs=3), fitted on corner shop") and "\n" not in repr(bpr)
    assert len(repr(palate.models.Blend(members=("bpr",) * 200))) < 400


def test_a_model_lists_its_own_verbs_and_not_those_of_torch(bpr):
    names = dir(bpr)
    assert {"fit", "recommend", "predict", "item_vectors", "user_vectors", "get_params", "save", "config"} <= set(names)
    assert not {"zero_grad", "register_forward_hook", "half", "xpu"} & set(names)


def test_settings_are_a_mapping(bpr):
    settings = bpr.get_params()
    assert settings["dim"] == 8 and settings["epochs"] == 3 and settings["lr"] == bpr.config.lr
    assert palate.models.BPR(**settings).get_params() == settings
