"""Tasks of models that no file registers yet: tagging and generation, with the smallest models that have a point."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from palate.contracts import Generated, Generator, Requirements, Tagger, tasks
from palate.core.config import ModelConfig
from palate.core.content import Features
from palate.core.errors import DataError
from palate.data.dataset import Dataset
from palate.evaluation.evaluate import evaluate
from palate.training.fit import fit

GENRES = ("crime", "drama", "space")


def films(split: str) -> Dataset:
    rng = np.random.default_rng(0)
    own = rng.integers(0, 3, 60)
    items = pl.DataFrame({"item": range(60), "genre": [GENRES[g] for g in own]})
    log = pl.DataFrame({"user": rng.integers(0, 20, 400), "item": rng.integers(0, 60, 400), "time": range(400)}).unique(
        ["user", "item"], maintain_order=True
    )
    vectors = np.eye(3, dtype=np.float32)[own] + rng.normal(0, 0.1, (60, 3)).astype(np.float32)
    content = {"image": Features(vectors, np.ones(60, bool), identity="given:films")}
    return Dataset.from_frames(items, log, columns={"item": "id", "genre": "attributes"}, features=content, split=split)


class Nearest(Tagger):
    """The genre of the closest mean vector."""

    name = "nearest"
    Config = ModelConfig
    column = "genre"
    requirements = Requirements(content=True)

    def solve(self, train, run):
        table, features = train.items_table.frame["genre"].to_list(), train.features["image"]
        rows = [np.array([label == genre for label in table]) for genre in GENRES]
        self.means = np.stack([features.values[mask & train.visible_items].mean(0) for mask in rows])
        return True

    def update_items(self, *content):
        """Nothing is kept of items."""

    def labels(self):
        return GENRES

    def tag(self, content):
        scores = content["image"].values @ self.means.T
        return (scores == scores.max(1, keepdims=True)).astype(np.float32)


def test_tags_of_new_items_are_judged_item_by_item():
    data = films("item_cold:seed=1")
    model = fit(Nearest(), data)
    assert model.deployment.log.metric == "average_precision" and model.deployment.log.valid > 0.9
    judged = evaluate(model, data)
    assert judged.unit == "item" and judged.units == int(data.split.test_candidates.sum())
    assert judged.metrics["hit_rate@1"] > 0.9 and set(judged.metrics) == set(tasks.get("tag").shown(data))
    with pytest.raises(DataError, match="hides no items"):
        tasks.get("tag").questions(films("random"), "test")


class Echo(Generator):
    """Says the genre of the item, and of how many the user's history has."""

    name = "echo"
    Config = ModelConfig
    kinds = ("title",)

    def generate(self, requests, *, seed=0):
        self.seen = getattr(self, "seen", 0) + len(requests)
        return [Generated(f"{request.item['genre']} after {len(request.history)}") for request in requests]

    def scorers(self):
        return (Truth(),)


class Truth:
    """1 where the text says the item's genre."""

    def score(self, item, user, generated):
        return {"true": float(item["genre"] in generated.text)}


def test_generated_texts_are_judged_one_by_one():
    data, model = films("leave_one_out"), Echo()
    task = tasks.get("generate")
    judged = task.judge(model, data, task.questions(data, "test"))
    assert judged.unit == "text" and judged.units == len(data.test_queries()) == model.seen
    assert judged.metrics == {"answered": 1.0, "true": 1.0}


def test_every_task_says_what_decides():
    data = films("random")
    assert tasks.names() == ["generate", "match", "pretrain", "rank", "rerank", "tag"]
    for name, task in tasks.items():
        assert task.name == name and task.headline(data) in task.shown(data) and task.unit
    assert not tasks.get("rank").higher_is_better("log_loss") and tasks.get("match").higher_is_better("recall@20")
    assert tasks.get("rank").rank_key("log_loss", 0.3) > tasks.get("rank").rank_key("log_loss", 0.4)
