"""Every reader keeps the spelling of ids, and brings those of several files together."""

import json
import warnings

import pytest

from palate.core.errors import DataError
from palate.data.load import load

PAIRS = [("07", "007"), ("7", "08"), ("07", "08"), ("u", "7")]
TITLES = {"007": "a red lamp", "08": "a blue chair", "7": "a green door"}


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def lines(file, header, rows, separator=","):
    file.write_text("\n".join(separator.join(map(str, row)) for row in [header, *rows] if row) + "\n")


def microlens(root):
    lines(
        root / "x_pairs.csv",
        ("user", "item", "timestamp"),
        [(*pair, 1600000000000 + n) for n, pair in enumerate(PAIRS)],
    )
    lines(root / "x_titles.csv", ("item", "title"), TITLES.items())
    lines(root / "x_likes_and_views.txt", (), [(item, 5, 9) for item in TITLES], "\t")


def microlens_tabs(root):
    lines(root / "x_pairs.tsv", (), [("07", "007 08"), ("7", "08"), ("u", "7")], "\t")
    lines(root / "x_titles.csv", (), TITLES.items())


def pixelrec(root):
    rows = [(item, user, 1600000000 + n) for n, (user, item) in enumerate(PAIRS)]
    lines(root / "x.csv", ("item_id", "user_id", "timestamp"), rows)
    lines(
        root / "info.csv",
        ("item_id", "title", "tag", "description"),
        [(i, t, "tag", "words") for i, t in TITLES.items()],
    )


def movies(root):
    rows = [(user, item, 4.5, 1600000000 + n) for n, (user, item) in enumerate(PAIRS)]
    lines(root / "ratings.csv", ("userId", "movieId", "rating", "timestamp"), rows)
    (root / "movies.jsonl").write_text("\n".join(json.dumps({"movie_id": i, "title": t}) for i, t in TITLES.items()))


def ctr(root):
    header = ("user", "item", "label", "time")
    for part, pairs in (("train", PAIRS[:2]), ("valid", PAIRS[2:3]), ("test", PAIRS[3:])):
        lines(root / f"{part}.csv", header, [(*pair, 1, 1600000000) for pair in pairs])


def ctr_with_items(root):
    ctr(root)
    lines(root / "items.csv", ("item", "title"), TITLES.items())
    lines(root / "users.csv", ("user", "age"), [("07", 20), ("7", 30)])


def recbole(root):
    header = ("user_id:token", "item_id:token", "timestamp:float")
    lines(root / "x.inter", header, [(*pair, 1600000000 + n) for n, pair in enumerate(PAIRS)], "\t")


def amazon23(root):
    reviews = [
        {"user_id": u, "parent_asin": i, "rating": 5, "timestamp": 1600000000000 + n} for n, (u, i) in enumerate(PAIRS)
    ]
    (root / "Toys.jsonl").write_text("\n".join(map(json.dumps, reviews)))


@pytest.mark.parametrize("make", [
    microlens, microlens_tabs, pixelrec, movies, ctr, ctr_with_items, recbole, amazon23,
])  # fmt: skip
def test_leading_zeros_stay(make, tmp_path):
    make(tmp_path)
    data = load(tmp_path)
    frame, users, items = data.interactions.frame, data.users.ids.ids, data.items.ids.ids
    assert sorted((users[u], items[i]) for u, i in zip(frame["user"], frame["item"])) == sorted(PAIRS)
    assert data.layout == make.__name__.partition("_")[0]
    if "title" in data.items.frame.columns and make is not recbole:
        named = dict(zip(items.to_list(), data.items.frame["title"].to_list()))
        assert named == (TITLES if None not in named.values() else named)
    assert load(tmp_path, ids={"user": "text"}).users.ids.ids.to_list() == users.to_list()


def test_whole_numbers_of_two_spellings_come_together(tmp_path):
    lines(
        tmp_path / "x_pairs.csv",
        ("user", "item", "timestamp"),
        [("u", "5863.0", 1600000000000), ("v", "12.0", 1600000001000)],
    )
    lines(tmp_path / "x_titles.csv", ("item", "title"), [("5863", "a red lamp"), ("12", "a blue chair")])
    data = load(tmp_path)
    assert data.items.ids.ids.to_list() == [5863, 12] and data.n_items == 2


@pytest.mark.parametrize("line", ["007 1 2", "1 +2 3", "1 2 3.0", "1 2 1e3"])
def test_sequences_hold_whole_numbers_in_their_usual_spelling(line, tmp_path):
    (tmp_path / "x.txt").write_text(f"5 6 7\n{line}\n")
    (tmp_path / "x_item2attributes.json").write_text("{}")
    with pytest.raises(DataError) as caught:
        load(tmp_path, "s3rec")
    assert caught.value.row == 2
