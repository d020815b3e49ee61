import json
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from layout_fixtures import LAYOUTS, N_ITEMS, N_USERS, START, s3rec_layout, walk

from palate.core.errors import ConfigError, DataError
from palate.data.load import load, readers, recognise, write


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def content(data):
    """Raw content with paths relative to the root, given vectors, in row order."""
    out = {}
    for name in data.items.modalities:
        if data.items.columns(name):
            raws = data.items.raw(name)
            out[name] = [r.relative_to(data.items.root).as_posix() if isinstance(r, Path) else r for r in raws]
    vectors = {name: (v.values.tolist(), v.present.tolist()) for name, v in data.items.given.items()}
    return out, vectors


def positives(data):
    rows = data.positives
    ids = zip(data.users.ids.external(rows.users), data.items.ids.external(rows.items))
    return sorted(zip(ids, rows.times.tolist() if rows.times is not None else [0] * len(rows)))


def parts(data):
    rows = data.positives
    keys = zip(data.users.ids.external(rows.users), data.items.ids.external(rows.items), data.split.part.tolist())
    return sorted(keys)


def edges(data):
    out = {}
    for name, relation in data.relations.edges.items():
        ends = relation.target.tolist()
        if relation.target_kind != "item":
            ends = [relation.target_names[t] for t in ends]
        out[name] = sorted(zip(relation.source.tolist(), ends, relation.weight.tolist()))
    return out


def same(one, two):
    assert one.items.ids.ids.to_list() == two.items.ids.ids.to_list()
    assert one.users.ids.ids.to_list() == two.users.ids.ids.to_list()
    assert positives(one) == positives(two)
    assert parts(one) == parts(two)
    assert content(one) == content(two)


def test_every_layout_has_a_fixture():
    assert set(LAYOUTS) == set(readers.names())


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_recognised_and_cited(name, tmp_path):
    root = LAYOUTS[name](tmp_path)
    assert recognise(root) == name
    scores = {other: reader.recognise(root) for other, reader in readers.items()}
    assert sorted(scores.values())[-2] < scores[name]
    assert len(readers.get(name).cites) > 20


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_write_then_read_gives_the_same(name, tmp_path):
    (tmp_path / "a").mkdir()
    first = load(LAYOUTS[name](tmp_path / "a"))
    assert first.n_items >= 20 and len(first.interactions) >= 50 and first.layout == name
    second = load(write(first, tmp_path / "b", name))
    same(first, second)
    assert edges(first) == edges(second)
    third = load(write(second, tmp_path / "c", name))
    assert third.hash == second.hash


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_any_layout_becomes_a_plain_folder(name, tmp_path):
    (tmp_path / "a").mkdir()
    first = load(LAYOUTS[name](tmp_path / "a"))
    second = load(write(first, tmp_path / "b"))
    assert second.layout == "folder"
    same(first, second)
    assert edges(first) == edges(second)
    assert str(first.spec) == str(second.spec) and first.positive == second.positive


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_errors_name_the_file(name, tmp_path):
    root = LAYOUTS[name](tmp_path)
    reader = readers.get(name)
    for file in sorted(root.rglob("*")):
        if not file.is_file() or file.suffix in (".png", ".jpg"):
            continue
        intact = file.read_bytes()
        for broken in (b"", intact[: len(intact) // 2] + b"\x00\xff\xfe", b"\xff" * 100):
            file.write_bytes(broken)
            try:
                reader.read(root, {})
            except DataError as error:
                assert error.file is not None, error
        file.write_bytes(intact)


def test_write_refuses_to_overwrite(tmp_path):
    data = load(s3rec_layout(tmp_path))
    with pytest.raises(DataError, match="folder is not empty"):
        write(data, tmp_path)


def test_unknown_layout_option_path(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        load(tmp_path / "nothing")
    with pytest.raises(DataError, match="no known layout"):
        load(tmp_path)
    s3rec_layout(tmp_path)
    with pytest.raises(ConfigError, match="unknown layout"):
        load(tmp_path, "s3rex")
    with pytest.raises(DataError, match="did you mean positive"):
        load(tmp_path, positiv={})


def test_s3rec_names(tmp_path):
    s3rec_layout(tmp_path)
    for tail in (".txt", "_item2attributes.json"):
        (tmp_path / f"Other{tail}").write_text((tmp_path / f"Toy{tail}").read_text())
    with pytest.raises(DataError, match="Other, Toy"):
        load(tmp_path)
    data = load(tmp_path, name="Toy")
    assert data.name == "Toy" and load(tmp_path / "Other.txt").name == "Other"
    with pytest.raises(DataError, match="did you mean Toy"):
        load(tmp_path, name="Toyy")
    truth = {}
    for u, i, _ in walk():
        truth.setdefault(u + 1, []).append(i + 1)
    part = data.split.part
    positives = data.positives
    for user, seen in truth.items():
        mine = positives.users == data.users.ids.rows([user])[0]
        assert data.items.ids.external(positives.items[mine & (part == 2)]) == seen[-1:]
        assert data.items.ids.external(positives.items[mine & (part == 1)]) == seen[-2:-1]
    assert data.items.raw("attributes")[0] is None and data.items.raw("attributes")[1] == {"attributes": [2, 7]}


def test_s3rec_bad_lines(tmp_path):
    s3rec_layout(tmp_path)
    text = (tmp_path / "Toy.txt").read_text().splitlines()
    for bad, message in (("3 4 x", "whole numbers"), (text[0], "second line of one user")):
        (tmp_path / "Toy.txt").write_text("\n".join([*text[:4], bad, *text[5:]]))
        with pytest.raises(DataError, match=message) as caught:
            load(tmp_path)
        assert caught.value.row == 5


def test_mind_details(tmp_path):
    data = load(LAYOUTS["mind"](tmp_path))
    assert data.n_items == N_ITEMS and data.n_users == N_USERS
    assert int(data.items.present("text").sum()) == N_ITEMS // 2
    assert data.items.raw("text")[1] == 'He said "go" | PHOTOS 1. Abstract\'s "text 1'
    log = data.interactions.frame
    shown = log.filter(pl.col("event") == "impression")
    assert len(shown) == 240 and shown["label"].sum() == 60
    past = log.filter(pl.col("event") == "history")
    assert len(past) == 3 * (N_USERS - 1) and past["impression"].null_count() == len(past)
    first = shown.group_by("user").agg(pl.col("time").min().alias("first"))
    assert (past.join(first, on="user")["time"] < past.join(first, on="user")["first"]).all()
    assert log.filter(pl.col("impression") == "1")["time"][0] == 1572613509  # 11/1/2019 1:05:09 PM UTC
    text = (tmp_path / "behaviors.tsv").read_text().splitlines()
    for bad, message in (("x\ty", "2 fields, expected 5"), ("9\tU\t99/99/2019 1:00:00 AM\t\tN1-0", "not a time"),
                      ("9\tU\t1/1/2019 1:00:00 AM\t\tN1", "no click label")):  # fmt: skip
        (tmp_path / "behaviors.tsv").write_text("\n".join([*text[:2], bad, *text[3:]]))
        with pytest.raises(DataError, match=message) as caught:
            load(tmp_path, "mind")
        assert caught.value.row == 3 and "behaviors.tsv" in caught.value.file


def test_microlens_details(tmp_path):
    data = load(LAYOUTS["microlens"](tmp_path))
    times = data.interactions.frame["time"]
    assert times.min() == START and data.n_items == N_ITEMS
    assert data.items.raw("text")[0] == 'Title "0", with comma' and data.items.raw("text")[-1] is None
    assert int(data.items.present("image").sum()) == 7
    assert "likes" in data.items.frame.columns and "likes" not in data.items.kinds
    (tmp_path / "MicroLens-1k_pairs.csv").unlink()
    (tmp_path / "MicroLens-1k_pairs.tsv").write_text("".join(f"{u}\t1 2 {u + 3}\n" for u in range(60)))
    data = load(tmp_path)
    assert len(data.interactions) == 180 and data.interactions.frame["time"].max() == 2


def test_pixelrec_keeps_items_of_the_log(tmp_path):
    data = load(LAYOUTS["pixelrec"](tmp_path))
    assert data.n_items == N_ITEMS and data.name == "Pixel1K"
    assert "view_number" not in data.items.kinds and data.items.kinds["tag"] == "attributes"
    assert int(data.items.present("image").sum()) == N_ITEMS // 2


def test_amazon18_details(tmp_path):
    data = load(LAYOUTS["amazon18"](tmp_path))
    rows = {item: row for row, item in enumerate(data.items.ids.ids.to_list())}
    record = data.items.frame.row(rows["B001"], named=True)
    assert (
        record["title"] == "Toy & game 1" and record["description"] == "Nice toy 1 second" and record["price"] == 12.99
    )
    assert data.items.frame["price"][rows["B004"]] == 1299.0 and data.items.frame["title"][rows["B002"]] is None
    assert data.items.frame["brand"][rows["B001"]] is None and record["categories"] == ["Toys", "Games", "x"]
    assert data.items.raw("text")[rows["B019"]] is None and data.items.raw("attributes")[rows["B019"]] is None
    assert len(data.relations.edges["also_buy"]) == N_ITEMS - 2
    assert any("repeated metadata" in note for note in data.notes)
    lines = (tmp_path / "Toys_5.json").read_text().splitlines()
    lines[6] = "{'reviewerID': 'A1'}"
    (tmp_path / "Toys_5.json").write_text("\n".join(lines))
    with pytest.raises(DataError, match="2014 release") as caught:
        load(tmp_path)
    assert caught.value.row == 7
    lines[6] = json.dumps({"reviewerID": "A1", "asin": "B1", "overall": "five", "unixReviewTime": 1})
    (tmp_path / "Toys_5.json").write_text("\n".join(lines))
    with pytest.raises(DataError, match="five") as caught:
        load(tmp_path)
    assert caught.value.row == 7 and caught.value.column == "rating"


def test_amazon23_details(tmp_path):
    data = load(LAYOUTS["amazon23"](tmp_path))
    assert data.interactions.frame["time"].min() == START and "average_rating" not in data.items.frame.columns
    rows = {item: row for row, item in enumerate(data.items.ids.ids.to_list())}
    frame = data.items.frame
    assert frame["price"][rows["P3"]] == 12.5 and frame["description"][rows["P1"]] == "One two three"
    assert frame["image_url"][rows["P0"]] == "h" and frame["image_url"][rows["P1"]] == "l"


def test_recbole_details(tmp_path):
    data = load(LAYOUTS["recbole"](tmp_path))
    assert "007" in data.items.ids.ids.to_list()
    assert data.items.raw("text")[0] == 'The "movie" 0'
    assert data.items.raw("attributes")[1] == {"genre": ["Drama", "Comedy"], "release_year": 1991.0}
    assert data.items.given["vector"].values.shape == (N_ITEMS, 2)
    rows = {item: row for row, item in enumerate(data.items.ids.ids.to_list())}
    graph = data.relations.edges
    assert set(graph) == {"genre", "sequel", "~directed"} and len(graph["genre"]) == N_ITEMS - 1
    assert (graph["sequel"].source.tolist(), graph["sequel"].target.tolist()) == ([rows["000"]], [rows["001"]])
    assert (graph["~directed"].source.tolist(), graph["~directed"].target_names) == ([rows["002"]], ("p.9",))
    lines = (tmp_path / "toy.inter").read_text().splitlines()
    for number, part in enumerate(("train", "valid", "test")):
        rows = lines[1 + number :: 3]
        (tmp_path / f"toy.{part}.inter").write_text("\n".join([lines[0], *rows]) + "\n")
    (tmp_path / "toy.inter").unlink()
    split = load(tmp_path)
    assert split.spec.kind == "given" and set(split.split.part.tolist()) == {0, 1, 2}
    (tmp_path / "toy.item").write_text("item_id:token\tx:flaot\n1\t2\n")
    with pytest.raises(DataError, match="did you mean float"):
        load(tmp_path)


def test_amazon_text_joins_windows(tmp_path):
    data = load(LAYOUTS["amazon_text"](tmp_path))
    truth = {}
    for u, i, _ in walk(n=110):
        truth.setdefault(f"A{u}", []).append(i)
    log = data.interactions.frame
    for user, seen in truth.items():
        mine = log.filter(pl.col("user") == data.users.ids.rows([user])[0]).sort("time")
        known = min(len(seen), 13)
        assert data.items.ids.external(mine["item"].to_numpy()) == seen[-known:]
        assert mine["part"].to_list() == [0] * (known - 3) + [1, 2, 2]
    assert data.items.raw("text")[1] == 'Saw "1", 2-Inch. Cuts wood 1 fast'


REAL = {
    "movies": ("movies", None, 610, 3883, 58501),
    "amazon-baby": ("mmrec", None, 19445, 7050, 160792),
    "tiktok": ("mmrec", None, 9308, 6710, 68722),
    "amazon-sequences": ("s3rec", "Beauty", 22363, 12101, 198502),
    "mind-sample": ("mind", None, 4637, 23754, 328291),
    "amazon-text": ("amazon_text", None, 3285, 3686, 22743),
}


@pytest.mark.parametrize("name", REAL)
def test_real_data(name, real_data):
    layout, named, users, items, events = REAL[name]
    data = load(real_data(name), **({} if named is None else {"name": named}))
    assert (data.layout, data.n_users, data.n_items, len(data.interactions)) == (layout, users, items, events)


def test_real_mind_clicks_match_the_file(real_data):
    root = real_data("mind-sample")
    data = load(root)
    shown = data.interactions.frame.filter(pl.col("event") == "impression")
    lines = [line.split("\t")[4].split() for line in (root / "behaviors.tsv").read_text().splitlines()]
    assert len(shown) == sum(map(len, lines)) and shown["label"].sum() == sum(
        s.endswith("-1") for x in lines for s in x
    )
    assert np.isclose(shown["item"].is_in(np.flatnonzero(data.items.present("text"))).mean(), 0.028, atol=0.02)
