"""Every model exports something: vectors, vectors of members, or lists, as its class says."""

import numpy as np
import polars as pl
import pytest
from shop_frames import light_content, make_shop

from palate.contracts import Matcher, models
from palate.contracts.parse import parse_model
from palate.core.errors import UnsupportedError
from palate.evaluation.export import LISTS, export_model
from palate.models.match.shared.vectors import VectorMatcher
from palate.training.fit import fit

BLEND = "blend:members=[popularity, vbpr, item_knn];settings={vbpr: {epochs: 1, dim: 4}}"


def fitted(text, data):
    return fit(parse_model(text), data, content=light_content(data))


def test_a_composed_model_leaves_the_vectors_of_its_members_and_its_own_lists(tmp_path):
    data = make_shop()
    model = fitted(BLEND, data)
    paths = export_model(model, tmp_path)
    assert [path[len(str(tmp_path)) + 1 :] for path in paths] == [
        "vbpr/items.parquet",
        "vbpr/users.parquet",
        "vbpr/vectors.safetensors",
        "lists.parquet",
    ]
    lists = pl.read_parquet(tmp_path / "lists.parquet")
    assert lists["rank"].max() <= LISTS and set(lists["user"]) == set(data.users.ids.ids)
    own = model.recommend(["u3"], k=5)
    assert lists.filter(user="u3").head(5).equals(own)


def test_exported_vectors_of_a_member_give_its_scores(tmp_path):
    data = make_shop()
    model = fitted(BLEND, data)
    model.add_items(pl.DataFrame({"item_id": ["new"], "title": ["lamp bright red"], "brand": ["Lumo"]}))
    export_model(model, tmp_path)
    items, users = (pl.read_parquet(tmp_path / "vbpr" / f"{name}.parquet") for name in ("items", "users"))
    assert items["id"][-1] == "new"
    member = model.members()["vbpr"]
    expected = member.scorer().score(data.select_view().user_batch(np.array([3]))).numpy()[0]
    np.testing.assert_allclose(
        items["vector"].to_numpy() @ users["vector"].to_numpy()[3], expected, rtol=1e-4, atol=1e-6
    )


def test_a_graph_is_refused_with_the_names_of_models_that_have_one(tmp_path):
    with pytest.raises(UnsupportedError, match=r"ONNX graph.*models that can: .*bpr"):
        export_model(fitted("item_knn", make_shop()), tmp_path, onnx=True)
    assert {file.name for file in tmp_path.iterdir()} <= {".palate.json"}


def test_models_say_what_they_export():
    for name, kind in models.items():
        if issubclass(kind, Matcher):
            assert "lists" in kind.exports, name
            assert ("vectors" in kind.exports) == ("onnx" in kind.exports) == issubclass(kind, VectorMatcher), name
    assert models.get("blend").exports == ("vectors of members", "lists")
