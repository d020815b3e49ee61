"""check: what it counts, and every planted issue and leak is caught by name while clean data stays clean."""

import json
import shutil
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from palate.core.content import Features
from palate.core.encoder import content_key
from palate.core.errors import FeatureError
from palate.data.check import check
from palate.data.dataset import Dataset
from palate.data.relations import Edges, Relations
from palate.data.splits import TEST, TRAIN


def make(spec="temporal", seed=0, n=4000, users=80, items=60, columns=None, kinds=None, **extra):
    rng = np.random.default_rng(seed)
    taste = rng.normal(size=(users, 3)) @ rng.normal(size=(3, items))
    weight = np.exp(taste) / np.exp(taste).sum(1, keepdims=True)
    users_of_events = rng.integers(0, users, n)
    chosen = np.array([rng.choice(items, p=weight[u]) for u in users_of_events])
    log = pl.DataFrame({"user": users_of_events, "item": chosen, "time": 1_500_000_000 + np.arange(n) * 977,
                        "rating": rng.integers(1, 6, n).astype(float)})  # fmt: skip
    table = pl.DataFrame({"id": np.arange(items), "title": [f"thing number {i} of all" for i in range(items)],
                          "price": rng.random(items).round(2)})  # fmt: skip
    table = table.with_columns(**(columns or {}))
    kinds = {"id": "id", "title": "text", "price": "attributes"} | (kinds or {})
    frames = {"items": table, "interactions": log} | {k: extra.pop(k) for k in ("interactions",) if k in extra}
    settings = {"columns": kinds, "split": spec, "positive": {}} | extra
    return Dataset.from_frames(frames["items"], frames["interactions"], **settings)


def codes(report, *severities):
    return {issue.code for issue in report.issues if not severities or issue.severity in severities}


@pytest.mark.parametrize("spec", ["random", "temporal", "leave_one_out", "item_cold", "user_cold"])
def test_clean_data_is_clean(spec):
    report = check(make(spec))
    assert report.ok and not codes(report, "error", "warning"), report.issues


def test_counts():
    data = make()
    report = check(data)
    positives = data.positives
    assert report.counts["positives"] == len(positives) == report.per_user["mean"] * len(np.unique(positives.users))
    assert report.counts["density"] == len(positives) / (80 * 60)
    assert report.counts["test positives"] == int((data.split.part == TEST).sum())
    degrees = np.bincount(positives.users)
    assert report.per_user["50%"] == np.median(degrees[degrees > 0]) and report.per_user["100%"] == degrees.max()
    assert report.modalities == {"text": 60, "attributes": 60}
    assert report.combinations == {"text + attributes": 60}
    assert report.hash == data.hash and report.split == str(data.spec)


def test_missing_modalities_by_combination():
    blank = pl.Series([None if i < 10 else f"t {i} x" for i in range(60)])
    none = pl.Series([None if i < 25 else 1.0 for i in range(60)])
    report = check(make(columns={"title": blank, "price": none}))
    assert report.combinations == {"text + attributes": 35, "text": 15, "nothing": 10}


def test_json_and_text():
    report = check(make(columns={"title": pl.lit("the same words")}))
    plain = json.loads(json.dumps(report.to_json()))
    assert plain["ok"] and plain["issues"][0]["code"] == "duplicate_text" and plain["issues"][0]["count"] == 60
    text = report.render(120)
    assert "duplicate_text" in text and "Positives per user" in text and "\x1b" not in text
    assert "\x1b" in report.render(120, color=True)
    assert max(map(len, report.render(60).splitlines())) <= 60


def test_unreadable_is_a_report(tmp_path):
    report = check(tmp_path / "none")
    assert not report.ok and report.find("unreadable") and "no such file" in report.render()
    (tmp_path / "items.csv").write_text("id,title\n1,a\n1,b\n")
    (tmp_path / "interactions.csv").write_text("user,item\nu,1\n")
    issue = check(tmp_path).issues[0]
    assert issue.rows == (2,) and issue.file.endswith("items.csv")


def test_duplicates():
    data = make()
    log = data.interactions.frame
    twice = pl.concat([log, log[[5, 7]]])
    report = check(replace(data, interactions=replace(data.interactions, frame=twice)))
    assert report.find("duplicate_rows")[0].rows == (4001, 4002) and report.find("duplicate_rows")[0].count == 2
    titles = [f"thing number {i} of all" for i in range(60)]
    titles[7], titles[9] = "Thing  NUMBER 3 - of all!", "thing number 30 of all"
    report = check(make(columns={"title": pl.Series(titles)}))
    assert report.find("duplicate_text")[0].rows == (4, 8, 10, 31)


@pytest.fixture
def media(tmp_path):
    for i in range(60):
        (tmp_path / f"{i}.png").write_bytes(bytes([i]) * 40)
    paths = pl.Series([f"{i}.png" for i in range(60)])

    def build(changes=None):
        values = paths.to_list()
        for at, value in (changes or {}).items():
            values[at] = value
        return make(columns={"picture": pl.Series(values)}, kinds={"picture": "image"}, root=tmp_path)

    return build, tmp_path


def test_media_missing_and_twins(media):
    build, root = media
    assert not codes(check(build()), "error", "warning", "note")
    shutil.copy(root / "3.png", root / "4.png")
    report = check(build({5: "gone.png", 6: None}))
    assert report.find("media_missing")[0].rows == (6,) and "gone.png" in report.find("media_missing")[0].message
    assert report.find("duplicate_file")[0].rows == (4, 5)
    assert report.modalities["image"] == 59


def test_media_probe(media):
    build, _ = media

    def probe(kind, raw):
        assert kind == "image"
        if raw.name == "8.png":
            raise FeatureError("cut short")
        return "zero bytes wide" if raw.name in ("2.png", "4.png") else None

    issue = check(build(), probe=probe, limit=2).find("media_unreadable")[0]
    assert issue.rows == (3, 5) and issue.count == 3 and issue.message == "zero bytes wide"


def test_odd_text_is_noted():
    titles = [f"thing number {i} of all" for i in range(60)]
    titles[2], titles[3], titles[4] = "=cmd|' /C calc'!A0", "bell \x07 here", "y " * 60_000
    report = check(make(columns={"title": pl.Series(titles)}))
    assert report.ok
    assert [report.find(c)[0].rows for c in ("text_formula", "text_control", "text_long")] == [(3,), (4,), (5,)]


def sessions(by_id, seed=0):
    """Events in bursts that share a timestamp, inside a burst sorted by item id or at random."""
    rng = np.random.default_rng(seed)
    rows = []
    for session in range(500):
        items = rng.choice(60, 6, replace=False)
        rows += [(session % 80, int(i), 1_500_000_000 + session * 5000) for i in (np.sort(items) if by_id else items)]
    return pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")


def test_planted_same_time_order():
    leaky, fair = (check(make("leave_one_out", interactions=sessions(by_id))) for by_id in (True, False))
    assert "order_by_id" in codes(leaky) and leaky.order["ascending"] == 1.0
    assert "order_by_id" not in codes(fair) and "order_ties" in codes(fair)
    assert abs(fair.order["ascending"] - 0.5) < 0.05 and fair.order["same_day"] >= fair.order["same_time"] > 0.8


def test_planted_overlap_and_future():
    rng = np.random.default_rng(1)
    log = make().interactions.frame.with_columns(part=pl.Series(np.repeat([0, 1, 2], [3200, 400, 400])))
    fair = check(make("given", interactions=log.unique(["user", "item"], keep="first", maintain_order=True)))
    assert not codes(fair, "error", "warning")
    shuffled = log.with_columns(part=pl.Series(rng.permutation(log["part"].to_numpy())))
    issues = check(make("given", interactions=shuffled))
    assert {"part_overlap", "future_in_train"} <= codes(issues)
    issue = issues.find("part_overlap")[0]
    first = shuffled.with_row_index(offset=1).filter(pl.col("part") > pl.col("part").min().over("user", "item"))
    assert issue.count == len(first) and issue.rows == tuple(first["index"][:20])


@pytest.mark.parametrize("statistic", ["counts", "positives", "means"])
def test_planted_statistics(statistic):
    data = make("random")
    log = data.interactions.frame
    rating = {"positive": {"rating": ">=4"}} if statistic == "positives" else {}
    if statistic == "positives":
        data = make("random", **rating)
        values = np.bincount(data.positives.items, minlength=60)
    elif statistic == "counts":
        values = np.bincount(log["item"].to_numpy(), minlength=60)
    else:
        sums = np.bincount(log["item"].to_numpy(), log["rating"].to_numpy(), minlength=60)
        values = (sums / np.bincount(log["item"].to_numpy(), minlength=60)).round(2)
    report = check(make("random", columns={"stat": pl.Series(values)}, kinds={"stat": "attributes"}, **rating))
    assert report.find("statistic_over_all")[0].column == "stat" and not report.ok
    train = data.positives.items[data.split.part == TRAIN]
    fair = pl.Series(np.bincount(train, minlength=60))
    assert check(make("random", columns={"stat": fair}, kinds={"stat": "attributes"}, **rating)).ok


def together(users, items, n=400):
    """Edges between items that share a user."""
    table = np.zeros((users.max() + 1, n), bool)
    table[users, items] = True
    joint = table.T.astype(int) @ table
    np.fill_diagonal(joint, 0)
    source, target = np.nonzero(joint)
    return Relations({"bought": Edges(source, target, joint[source, target].astype(np.float32))})


def test_planted_test_in_graph():
    data = make("leave_one_out", n=900, users=150, items=400)
    positives, train = data.positives, data.split.part == TRAIN
    leaky = replace(data, relations=together(positives.users, positives.items))
    assert check(leaky).find("test_in_graph")[0].key == "bought"
    fair = replace(data, relations=together(positives.users[train], positives.items[train]))
    assert check(fair).ok


def test_planted_fit_on_test_items():
    data = make("item_cold")
    vectors = Features(np.ones((60, 2), np.float32), np.ones(60, bool))
    seen = np.flatnonzero(data.split.visible_items)
    keys = {
        "fair": content_key(data.items.raw("text", seen)),
        "refit": content_key(data.items.raw("text", np.flatnonzero(data.split.refit_items))),
        "leaky": content_key(data.items.raw("text")),
        "unknown": "0" * 32,
        "nothing fitted": None,
    }
    issues = {n: codes(check(data, features={"text": replace(vectors, fitted_on=k)})) for n, k in keys.items()}
    assert issues == {"fair": set(), "refit": set(), "leaky": {"fitted_on_test"}, "unknown": {"fitted_on_unknown"},
                     "nothing fitted": set()}  # fmt: skip
    wide = data.with_split("item_cold:transductive=true")
    assert check(wide, features={"text": replace(vectors, fitted_on=keys["leaky"])}).ok


@pytest.mark.parametrize("rule", [{"label": ">=1"}, {"rating": "good"}, {"event": ["buy"]}])
def test_a_rule_that_cannot_be_applied(rule):
    report = check(make("random", positive=rule))
    assert not report.ok and report.find("split") and not report.per_user


def test_no_train_is_an_error():
    report = check(make("random", positive={"rating": ">=9"}))
    assert not report.ok and report.find("split")


def test_real_movies(real_data):
    report = check(real_data("movies"))
    assert report.ok and report.modalities["text"] == 3883 and 3800 < report.modalities["image"] < 3883
    assert codes(report, "warning") == {"order_by_id"}
    assert report.find("order_by_id")[0].file.endswith("ratings.csv")


def test_real_sports_given_split_is_not_by_time(real_data):
    report = check(real_data("amazon-sports"))
    assert report.find("future_in_train")[0].count == 117431 and report.ok
