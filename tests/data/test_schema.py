"""Fields as numbers: vocabularies of the training part, thresholds, hashing, unknown values."""

import json

import numpy as np
import polars as pl
import pytest

from palate.core.errors import ConfigError, DataError
from palate.data.dataset import Dataset
from palate.data.hashing import hash_buckets
from palate.data.schema import OUT_OF_VOCABULARY, PADDING, Schema

ITEMS = {
    "item": ["a", "b", "c", "d"],
    "genre": ["War, Drama", "Drama|Comedy", None, "Horror"],
    "tags": [["x", "y"], ["x"], [], None],
    "price": [1.0, 3.0, None, 100.0],
    "brand": ["lamp & co", "desk", "desk", "only in test"],
    "title": ["a long red lamp", "a wooden desk here", "one more chair now", "some other thing"],
}
USERS = {"user": ["u", "v", "w"], "age": [20, 30, 40], "member": [True, None, False]}
LOG = {
    "user": ["u", "u", "v", "v", "w", "u"],
    "item": ["a", "b", "a", "b", "b", "d"],
    "time": [1, 2, 3, 4, 5, 6],
    "label": [1, 0, 1, 1, 0, 1],
    "part": [0, 0, 0, 0, 0, 2],
    "device": ["tv", "web", "tv", None, "watch", "fridge"],
    "speed": [1.0, 2.0, 3.0, None, 2.0, 50.0],
}
KINDS = {"item": "id", "title": "text"} | dict.fromkeys(("genre", "tags", "price", "brand"), "attributes")


@pytest.fixture
def data():
    roles = {"context": ["device", "speed"]}
    return Dataset.from_frames(
        *(pl.DataFrame(table, strict=False) for table in (ITEMS, LOG, USERS)),
        columns=KINDS, roles=roles, positive={"label": ">=1"}, split="given",
    )  # fmt: skip


def test_kinds_and_vocabularies_come_from_training_events(data):
    schema = Schema.fit(data.select_view())
    assert {one.name: one.kind for one in schema} == {
        "user": "categorical", "item": "categorical", "user.age": "categorical", "user.member": "categorical",
        "item.genre": "multivalued", "item.tags": "multivalued", "item.price": "numeric", "item.brand": "categorical",
        "context.device": "categorical", "context.speed": "numeric", "history": "sequence",
    }  # fmt: skip
    assert schema["item"].vocabulary == ("a", "b") and schema["item.brand"].vocabulary == ("desk", "lamp & co")
    assert schema["item.genre"].vocabulary == ("Comedy", "Drama", "War") and schema["item.genre"].size == 5
    assert schema["context.device"].vocabulary == ("tv", "watch", "web") and schema["history"].values == "item"
    assert schema["item.price"].mean == pytest.approx((2 * 1 + 3 * 3) / 5) and schema["item.price"].size == 0
    assert schema["context.speed"].mean == pytest.approx(2.0)
    assert schema["context.speed"].scale == pytest.approx(0.5**0.5)


def test_values_outside_the_vocabulary(data):
    schema = Schema.fit(data.select_view(), min_count=2)
    assert schema["context.device"].vocabulary == ("tv",) and schema["item.genre"].vocabulary == (
        "Comedy",
        "Drama",
        "War",
    )
    questions = data.test_events()
    encoded = schema.encode(questions.events, questions.users_table, questions.items_table, questions.users)
    assert encoded["item"].tolist() == [OUT_OF_VOCABULARY] and encoded["item.brand"].tolist() == [OUT_OF_VOCABULARY]
    assert encoded["context.device"].tolist() == [OUT_OF_VOCABULARY]
    assert encoded["item.genre"].tolist() == [[OUT_OF_VOCABULARY, PADDING]]
    assert encoded["item.tags"].tolist() == [[PADDING, PADDING]]
    assert encoded["context.speed"].dtype == np.float32 and encoded["context.speed"][0] == pytest.approx(48 / 0.5**0.5)
    table = schema.encode_table("item", data.items)
    assert table["item.genre"].tolist() == [[4, 3], [3, 2], [0, 0], [1, 0]] and table["item.price"][2] == 0
    assert table["item.tags"].tolist() == [[2, 3], [2, 0], [0, 0], [0, 0]]
    ages = schema.at("user.age", schema.encode_table("user", data.users)["user.age"], np.array([0, -1]))
    assert ages.tolist() == [schema["user.age"].ids(pl.Series(["20"]))[0], PADDING]
    users = schema.at("user", schema.encode_table("user", data.users)["user"], np.array([-1]))
    assert users.tolist() == [OUT_OF_VOCABULARY]


def test_hashing_kinds_width_and_choice(data):
    view = data.select_view()
    schema = Schema.fit(view, buckets={"item": 5, "item.genre": 3}, kinds={"user.age": "numeric"}, width=1)
    assert schema["item"].size == 7 and not schema["item"].vocabulary and schema["user.age"].kind == "numeric"
    encoded = schema.encode(view.events, view.users_table, view.items_table)
    assert encoded["item"].min() >= 2 and encoded["item"].max() < 7 and encoded["item.genre"].shape == (5, 1)
    only = Schema.fit(view, only=["item", "history", "context.device"])
    assert list(only.fields) == ["item", "context.device", "history"]
    with pytest.raises(ConfigError, match="did you mean"):
        Schema.fit(view, buckets={"item.brnd": 3})
    with pytest.raises(ConfigError, match="unknown kind"):
        Schema.fit(view, kinds={"user.age": "number"})
    with pytest.raises(ConfigError, match="0 buckets"):
        Schema.fit(view, buckets={"item": 0})
    with pytest.raises(ConfigError, match="needs the field 'item'"):
        Schema.fit(view, only=["history"])


def test_state_is_json_and_comes_back(data):
    schema = Schema.fit(data.select_view(), buckets={"user": 4})
    again = Schema.from_state(json.loads(json.dumps(schema.state())))
    assert again == schema
    one, two = (s.encode(data.events, data.users, data.items) for s in (schema, again))
    assert all((one[name] == two[name]).all() for name in one)
    with pytest.raises(DataError, match="state of a schema"):
        Schema.from_state([{"name": "x"}])


def test_hash_is_stable_spread_and_of_whole_text():
    texts = pl.Series([f"word {i}" for i in range(20_000)])
    buckets = hash_buckets(texts, 64)
    assert buckets.min() >= 0 and buckets.max() < 64
    counts = np.bincount(buckets, minlength=64)
    assert counts.min() > 200 and counts.max() < 450
    assert (hash_buckets(texts.gather([5, 0, 7]), 64) == buckets[[5, 0, 7]]).all()
    assert (hash_buckets(texts, 64, seed=1) == buckets).mean() < 0.05
    assert hash_buckets(pl.Series(["", "a", "ünï", "a"]), 1 << 40).tolist() == EXPECTED
    assert len(hash_buckets(pl.Series([], dtype=pl.String), 8)) == 0


EXPECTED = [102953224313, 444026848758, 79197284792, 444026848758]
