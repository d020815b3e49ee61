"""Models that are printed in full in the pages run: fitted, saved, restored, and given new items."""

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import palate
from palate.contracts import models

ROOT = Path(__file__).resolve().parents[2]


def block(page: str) -> str:
    """The first Python block of a page."""
    return re.search(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.S)[1]


@pytest.fixture
def model_of(tmp_path):
    """``model_of(page, name)``: the class that a page prints, registered until the test ends."""
    added = []

    def load(page, name):
        file = tmp_path / f"{name}.py"
        file.write_text(block(page))
        spec = importlib.util.spec_from_file_location(name, file)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        added.append(name)
        spec.loader.exec_module(module)
        return models.get(name)

    yield load
    for name in added:
        models._known.pop(name, None)
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def shop():
    rng = np.random.default_rng(0)
    words = ["space robot laser", "kiss wedding letter", "heist bank gun"]
    items = pl.DataFrame({"item": [f"i{i}" for i in range(30)], "title": [f"{words[i % 3]} {i}" for i in range(30)]})
    log = [
        (f"u{user}", f"i{item}", step)
        for user in range(40)
        for step, item in enumerate(rng.choice(np.arange(user % 3, 30, 3), 6, replace=False))
    ]
    events = pl.DataFrame(log, schema=["user", "item", "time"], orient="row")
    columns = {"item": "id", "title": "text"}
    return palate.Dataset.from_frames(items, events, columns=columns, split="leave_one_out")


def test_the_closed_form_of_extending(model_of, shop, tmp_path):
    model = model_of("docs/extending.md", "recent")().fit(shop)
    model.save(tmp_path / "run")
    again = palate.restore(tmp_path / "run")
    assert again.recommend(["u0"], k=3).equals(model.recommend(["u0"], k=3))
    assert len(again.recommend(history=[], k=3)) == 3


def test_the_content_model_of_contributing(model_of, shop, tmp_path):
    pytest.importorskip("palate.models.match.shared.content_matcher")
    from palate.evaluation.evaluate import evaluate
    from palate.features.plan import plan_content

    kind = model_of("CONTRIBUTING.md", "content_sum")
    content = plan_content(shop, {"text": "hash?dim=64"})
    model = kind(dim=8, epochs=40, lr=0.03, batch_size=64).fit(shop, content=content)
    assert evaluate(model, shop).metrics["recall@10"] > 0.6, "taste decides among 10 of 30 items"
    model.save(tmp_path / "run")
    again = palate.restore(tmp_path / "run")
    again.add_items(pl.DataFrame({"item": ["new"], "title": ["space robot laser 99"]}))
    best = again.recommend(history=["i0", "i3", "i6"], k=12)["item"].to_list()
    assert "new" in best
