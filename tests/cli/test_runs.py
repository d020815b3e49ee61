"""From data to a run and back: fit, evaluate, recommend, add, export."""

import json
import os
import re
import shutil
import sys

import numpy as np
import polars as pl
import pytest
import yaml
from cli_shop import HOSTILE, N_ITEMS, N_USERS, paint
from safetensors.numpy import load_file

from palate.core.errors import ArtefactError, ConfigError, DataError, MissingDependencyError, UnsupportedError
from palate.training.saving import read_parameters


def test_fit_writes_a_whole_run(vbpr_run):
    for name in ("config.yaml", "model.safetensors", "manifest.json", "metrics.json", "report.html", "log.txt"):
        assert (vbpr_run / name).stat().st_size > 0, name
    config = yaml.safe_load((vbpr_run / "config.yaml").read_text())
    assert config["model"] == "vbpr" and config["settings"]["epochs"] == 2 and config["settings"]["dim"] == 8
    manifest = json.loads((vbpr_run / "manifest.json").read_text())
    assert manifest["openings_of_test"] == 1 and manifest["about"]["split"].startswith("leave_one_out")
    metrics = json.loads((vbpr_run / "metrics.json").read_text())
    assert list(metrics) == ["vbpr", "popularity", "ease"]
    assert 0 <= metrics["vbpr"]["metrics"]["recall@20"] <= 1
    assert metrics["vbpr"]["users"] == N_USERS


def test_the_log_of_a_quiet_run_still_says_what_happened(vbpr_run):
    log = (vbpr_run / "log.txt").read_text()
    assert "model vbpr" in log and "recall@20" in log and "tiny-shop: leave_one_out" in log
    assert "pictures: built-in descriptors; pip install 'palate[pictures]'" in log


def test_no_checkpoint_is_left_behind(vbpr_run):
    assert not [path.name for path in vbpr_run.parent.iterdir() if path.name.startswith(".")]


def test_the_report_of_the_run_is_safe_and_self_contained(vbpr_run):
    html = (vbpr_run / "report.html").read_text()
    assert "<script" not in html
    assert HOSTILE.replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;") in html
    assert not re.search(r"""(?:src|href)\s*=\s*["']?\s*(?:https?:)?//|url\(|@import""", html)
    assert "data:image/jpeg;base64," in html
    assert len(html.encode()) < 2_000_000


def test_a_sealed_fit_opens_nothing(kin_run):
    out, said = kin_run
    assert json.loads((out / "manifest.json").read_text())["openings_of_test"] == 0
    assert json.loads((out / "metrics.json").read_text()) == {}
    assert "sealed" in (out / "report.html").read_text()
    assert set(said["headline"][0]) == {"model", "valid recall@20", "seconds"}
    assert said["encoders"] == {"text": "tfidf", "image": "image_stats", "attributes": "tfidf_attributes"}


def test_evaluate_counts_openings_and_repeats_the_result(vbpr_run, shop, ask, tmp_path, monkeypatch):
    monkeypatch.setenv("PALATE_CACHE", str(tmp_path / "cache"))
    run = shutil.copytree(vbpr_run, tmp_path / "run")
    first, second = (ask("evaluate", run, "--data", shop) for _ in range(2))
    assert (first["openings_of_test"], second["openings_of_test"]) == (2, 3)
    before = json.loads((run / "metrics.json").read_text())["vbpr"]["metrics"]
    assert first["metrics"] == second["metrics"] == pytest.approx(before)


def test_openings_are_counted_across_folders_and_said_by_every_command(
    vbpr_run, shop, call, ask, tmp_path, monkeypatch
):
    monkeypatch.setenv("PALATE_CACHE", str(tmp_path / "cache"))
    run = shutil.copytree(vbpr_run, tmp_path / "run")
    fit = ("fit", shop, "--model", "popularity", "--out")
    assert "test part opened once on this machine" in call(*fit, tmp_path / "a")
    assert ask(*fit, tmp_path / "b")["openings_of_test"] == 2
    assert json.loads((tmp_path / "b" / "manifest.json").read_text())["openings_of_test"] == 2
    shutil.rmtree(tmp_path / "a")
    assert "opened 3 times" in call(*fit, tmp_path / "a")
    assert ask(*fit, tmp_path / "sealed", "--no-test")["openings_of_test"] == 0
    assert "opened 4 times" in call("evaluate", run, "--data", shop)
    assert "opened 5 times" in call("compare", shop, "--models", "popularity", "--seeds", 1, "--out", tmp_path / "c")
    other = ask("fit", shop, "--model", "popularity", "--split", "random:seed=7", "--out", tmp_path / "d")
    assert other["openings_of_test"] == 1, "another split has another test part"


def test_evaluate_reads_the_data_as_fit_read_it(shop, call, ask, tmp_path):
    rule = ("--positive", "event=buy", "--split", "random:seed=5,test=0.3")
    copy = shutil.copytree(shop, tmp_path / "shop", ignore=shutil.ignore_patterns(".palate"))
    log = pl.read_csv(copy / "interactions.csv")
    log.with_columns(event=pl.Series(["buy", "buy", "look"] * len(log))[: len(log)]).write_csv(
        copy / "interactions.csv"
    )
    call("fit", copy, "--out", tmp_path / "run", "--model", "popularity", "--no-baselines", *rule)
    again = ask("evaluate", tmp_path / "run", "--data", copy)
    saved = json.loads((tmp_path / "run" / "metrics.json").read_text())["popularity"]
    assert again["positive"] == saved["positive"] == "event in ['buy']"
    assert again["metrics"] == saved["metrics"]


def test_evaluate_refuses_other_data(vbpr_run, shop, call, tmp_path):
    other = shutil.copytree(shop, tmp_path / "other", ignore=shutil.ignore_patterns(".palate"))
    log = pl.read_csv(other / "interactions.csv")
    log.head(len(log) - 1).write_csv(other / "interactions.csv")
    with pytest.raises(ArtefactError, match="other data"):
        call("evaluate", vbpr_run, "--data", other)


def test_recommend_for_a_known_user_leaves_out_what_was_taken(vbpr_run, shop, ask):
    rows = ask("recommend", vbpr_run, "--user", "u3", "-k", N_ITEMS)
    log = pl.read_csv(shop / "interactions.csv").filter(user_id="u3")
    assert {row["item"] for row in rows}.isdisjoint(log["item_id"])
    assert len(rows) == N_ITEMS - len(log)
    assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
    scores = [row["score"] for row in rows]
    assert scores == sorted(scores, reverse=True)


def test_recommend_for_several_users(vbpr_run, ask):
    rows = ask("recommend", vbpr_run, "--user", "u1", "--user", "u2", "-k", 3)
    assert [(row["user"], row["rank"]) for row in rows] == [(u, r) for u in ("u1", "u2") for r in (1, 2, 3)]


def test_recommend_for_a_visitor_by_history(kin_run, ask):
    rows = ask("recommend", kin_run[0], "--history", "i3, i6", "-k", 3)
    assert len(rows) == 3 and all(row["user"] is None for row in rows)
    assert all(int(row["item"][1:]) % 3 == 0 and row["item"] not in ("i3", "i6") for row in rows)


def test_recommend_for_an_unknown_user(vbpr_run, ask, call):
    with pytest.raises(DataError, match="unknown user id"):
        call("recommend", vbpr_run, "--user", "nobody")
    assert ask("recommend", vbpr_run, "--user", "nobody", "--on-unknown", "skip") == []
    rows = ask("recommend", vbpr_run, "--user", "nobody", "--on-unknown", "fallback", "-k", 4)
    assert [row["user"] for row in rows] == ["nobody"] * 4
    counts = [row["score"] for row in rows]
    assert counts == sorted(counts, reverse=True)


def test_recommend_needs_someone_and_says_so_in_options(vbpr_run, call, tmp_path):
    for given in ((), ("--user", "u1", "--history", "i1"), ("--all", "--user", "u1")):
        with pytest.raises(ConfigError, match=r"--user U .*--history ITEM,ITEM.*--all --out"):
            call("recommend", vbpr_run, *given)
    with pytest.raises(ConfigError, match=r"--out lists\.parquet"):
        call("recommend", vbpr_run, "--all")
    with pytest.raises(ConfigError, match="parquet, csv or jsonl"):
        call("recommend", vbpr_run, "--all", "--out", tmp_path / "lists.txt")


def test_recommend_shows_titles(vbpr_run, shop, ask, call):
    titles = dict(pl.read_csv(shop / "items.csv").select("item_id", "title").iter_rows())
    rows = ask("recommend", vbpr_run, "--user", "u1", "-k", 4)
    assert list(rows[0]) == ["user", "item", "title", "score", "rank"]
    assert all(row["title"] == titles[row["item"]] for row in rows)
    assert rows[0]["title"].split()[0] in call("recommend", vbpr_run, "--user", "u1", "-k", 1)


def test_users_are_split_at_commas_and_repeated(vbpr_run, ask):
    for given in (("--user", "u1, u2,u3"), ("--user", "u1,u2", "--user", "u3")):
        assert [row["user"] for row in ask("recommend", vbpr_run, *given, "-k", 1)] == ["u1", "u2", "u3"]


def test_rows_of_unknown_users_keep_their_ids_and_the_order_that_was_asked_for(vbpr_run, ask):
    asked = "nobody,u2,ghost,u1,u2"
    rows = ask("recommend", vbpr_run, "--user", asked, "-k", 2, "--on-unknown", "fallback")
    assert [row["user"] for row in rows[::2]] == asked.split(",")
    assert [row["rank"] for row in rows] == [1, 2] * 5
    assert rows[0]["item"] == rows[4]["item"] and rows[2:4] == rows[8:10]
    assert {row["user"] for row in ask("recommend", vbpr_run, "--user", asked, "--on-unknown", "skip")} == {"u1", "u2"}


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize("block", [7, 2048])
def test_lists_of_all_users_are_written_block_by_block(vbpr_run, ask, tmp_path, monkeypatch, kind, block):
    monkeypatch.setattr("palate.training.lists.BLOCK", block)
    file = tmp_path / f"lists.{kind}"
    said = ask("recommend", vbpr_run, "--all", "--out", file, "-k", 3)
    assert said == {"file": str(file), "rows": 3 * N_USERS}
    if kind == "jsonl":
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        rows = [{"user": line["user"], **item} for line in lines for item in line["items"]]
    else:
        rows = (pl.read_parquet if kind == "parquet" else pl.read_csv)(file).to_dicts()
    assert len({row["user"] for row in rows}) == N_USERS
    listed = ask("recommend", vbpr_run, "--user", "u5", "-k", 3)
    mine = [row for row in rows if row["user"] == "u5"]
    assert [row["item"] for row in mine] == [row["item"] for row in listed]
    assert [row["title"] for row in mine] == [row["title"] for row in listed]
    assert not [path for path in tmp_path.iterdir() if path != file]


def test_a_file_that_is_there_is_replaced_only_where_that_is_asked_for(vbpr_run, call, tmp_path):
    (tmp_path / "clicks.csv").write_text("my own data")
    with pytest.raises(ConfigError, match="already exists"):
        call("recommend", vbpr_run, "--all", "--out", tmp_path / "clicks.csv")
    assert (tmp_path / "clicks.csv").read_text() == "my own data"
    call("recommend", vbpr_run, "--all", "--out", tmp_path / "clicks.csv", "--overwrite", "-k", 1)
    assert len(pl.read_csv(tmp_path / "clicks.csv")) == N_USERS


def test_lists_of_an_unknown_user_leave_nothing_behind(vbpr_run, call, tmp_path):
    with pytest.raises(DataError, match="nobody"):
        call("recommend", vbpr_run, "--user", "u1,nobody", "--out", tmp_path / "lists.csv")
    assert not list(tmp_path.iterdir())


def test_evaluate_finds_the_data_of_the_run(shop, ask, call, tmp_path):
    copy = shutil.copytree(shop, tmp_path / "shop", ignore=shutil.ignore_patterns(".palate"))
    call("fit", copy, "--out", tmp_path / "run", "--model", "popularity", "--no-baselines")
    saved = json.loads((tmp_path / "run" / "metrics.json").read_text())["popularity"]["metrics"]
    assert ask("evaluate", tmp_path / "run")["metrics"] == saved
    (tmp_path / "shop").rename(tmp_path / "elsewhere")
    with pytest.raises(ArtefactError, match=r"no longer at .*shop.*--data DATA"):
        call("evaluate", tmp_path / "run")
    assert ask("evaluate", tmp_path / "run", "--data", tmp_path / "elsewhere")["metrics"] == saved


def test_a_file_of_options_does_what_the_options_do(shop, call, tmp_path):
    given = {"data": str(shop), "model": "vbpr", "set": {"dim": 8}, "no-baselines": True, "seed": 3}
    given |= {"encoder": {"text": "tfidf", "image": "none"}, "split": {"kind": "random", "seed": 2}, "quiet": True}
    (tmp_path / "fit.yaml").write_text(yaml.safe_dump(given))
    call("fit", "--config", tmp_path / "fit.yaml", "--out", tmp_path / "a", "--epochs", 1)
    options = ("--model", "vbpr", "--set", "dim=8", "--epochs", 1, "--no-baselines", "--seed", 3, "--quiet")
    content = ("--encoder", "text=tfidf", "--encoder", "image=none", "--split", "random:seed=2")
    call("fit", shop, *options, *content, "--out", tmp_path / "b")
    (a, b) = (json.loads((tmp_path / run / "manifest.json").read_text()) for run in "ab")
    assert a["about"] == b["about"] and a["about"]["split"].startswith("random:") and a["about"]["seed"] == 3
    assert [*json.loads((tmp_path / "a" / "metrics.json").read_text())] == ["vbpr"]
    assert (tmp_path / "a" / "config.yaml").read_text() == (tmp_path / "b" / "config.yaml").read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("modle: bpr", "did you mean model"),
        ("- a", "expected options"),
        ("a: [", "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_a_wrong_file_of_options_is_refused_by_name(shop, call, tmp_path, text, message):
    if text is not None:
        (tmp_path / "fit.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        call("fit", shop, "--config", tmp_path / "fit.yaml", "--out", tmp_path / "a")
    assert "fit.yaml" in str(caught.value)


def test_what_tune_found_is_fitted_and_compared(shop, ask, call, tmp_path):
    fixed = ("--set", "epochs=1", "--space", "dim=4,8", "--trials", 2)
    call("tune", shop, "--model", "vbpr", *fixed, "--out", tmp_path / "search", "--quiet")
    best = json.loads((tmp_path / "search" / "best.json").read_text())
    assert best["model"] == "vbpr" and best["settings"]["epochs"] == 1
    call(
        "fit",
        shop,
        "--from",
        tmp_path / "search" / "best.json",
        "--out",
        tmp_path / "run",
        "--no-test",
        "--no-baselines",
    )
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["model"] == "vbpr" and config["settings"]["epochs"] == 1
    assert all(config["settings"][key] == value for key, value in best["settings"].items())
    found = ask(
        "compare", shop, "--models", "popularity", "--from", tmp_path / "search", "--seeds", 1, "--out", tmp_path / "c"
    )
    assert [row["model"].partition(":")[0] for row in found["table"]] == ["popularity", "vbpr"]
    with pytest.raises(ConfigError, match="no result of palate tune"):
        call("fit", shop, "--from", tmp_path / "none.json", "--out", tmp_path / "r")


def test_tune_shows_what_is_searched_and_no_empty_cell(shop, call, tmp_path, caplog):
    with caplog.at_level("INFO", logger="palate"):
        shown = call("tune", shop, "--model", "ease", "--space", "l2=1..1000:log", "--trials", 2, "--out", tmp_path)
    assert "ease: 2 trials of l2 in 1..1000:log" in caplog.text
    assert "palate fit" in shown and "best.json" in shown
    cells = [
        [part.strip() for part in line.strip("│").split("│")] for line in shown.splitlines() if line.startswith("│")
    ]
    assert len(cells) == 2 and all(all(row) for row in cells) and any("none" in row for row in cells)


def test_tune_does_not_search_what_is_fixed(shop, call, tmp_path):
    with pytest.raises(ConfigError, match="searched or fixed"):
        call("tune", shop, "--model", "ease", "--space", "l2=1,2", "--set", "l2=3", "--trials", 1, "--out", tmp_path)
    with pytest.raises(ConfigError, match="no such setting"):
        call("tune", shop, "--model", "ease", "--space", "l2=1,2", "--set", "l3=3", "--trials", 1, "--out", tmp_path)


def test_compare_prints_differences_and_p_and_fits_a_terminal(shop, call, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    models = ("--models", "popularity,ease,item_knn", "--baseline", "popularity")
    shown = call("compare", shop, *models, "--seeds", 1, "--out", tmp_path)
    assert max(map(len, shown.splitlines()[:-1])) <= 80 and " sd" not in shown and "±" not in shown
    assert "item_knn" in shown and "difference" in shown and re.search(r"[+-]0\.\d{4} +│ \[", shown)
    assert "±" in call("compare", shop, "--models", "popularity,bpr:epochs=1", "--seeds", 2, "--out", tmp_path / "two")


def test_fit_takes_a_device_and_refuses_one_that_is_not_here(shop, call, tmp_path):
    call(
        "fit", shop, "--model", "popularity", "--device", "cpu", "--out", tmp_path / "a", "--no-test", "--no-baselines"
    )
    with pytest.raises(ConfigError, match="no such device"):
        call("fit", shop, "--model", "popularity", "--device", "gpu", "--out", tmp_path / "b")


def test_curves_of_training_are_written_for_tensorboard(shop, call, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    small = ("--set", "dim=4", "--epochs", 3, "--no-test", "--no-baselines", "--quiet")
    call("fit", shop, "--model", "bpr", *small, "--out", tmp_path / "run", "--tensorboard", tmp_path / "curves")
    events = EventAccumulator(str(tmp_path / "curves")).Reload()
    assert {"bpr/train/loss", "bpr/train/valid recall@20", "bpr/train/seconds"} <= set(events.Tags()["scalars"])
    assert [one.step for one in events.Scalars("bpr/train/loss")] == [0, 1, 2]


def test_tensorboard_that_is_not_installed_names_the_extra(shop, call, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingDependencyError, match="track"):
        call("fit", shop, "--model", "bpr", "--out", tmp_path / "run", "--tensorboard", tmp_path / "curves")


def test_pretrain_ends_with_the_next_command(shop, call, tmp_path):
    small = (
        "--set",
        "dim=16",
        "--set",
        "width=8",
        "--epochs",
        1,
        "--set",
        "layers=1",
        "--reader",
        "image=pixels?side=16",
    )
    shown = call("pretrain", shop, "--model", "clip", *small, "--out", tmp_path / "e", "--quiet")
    assert f"palate fit {shop} --encoder {tmp_path / 'e'} --out RUN" in shown and "tower@" not in shown


def test_the_first_lines_of_fit_are_the_command_and_the_data(vbpr_run):
    second = (vbpr_run / "log.txt").read_text().splitlines()[1]
    assert second.split(" ", 2)[2].startswith("tiny-shop: leave_one_out")


def test_recommend_prints_a_table(vbpr_run, call):
    out = call("recommend", vbpr_run, "--user", "u1", "-k", 2)
    assert "rank" in out and "u1" in out


def test_an_added_item_is_recommended_and_the_run_stays_whole(kin_run, shop, ask, call, tmp_path):
    run = shutil.copytree(kin_run[0], tmp_path / "run")
    paint(shop / "pictures" / "new.png", 2)
    table = {"item_id": ["new"], "title": ["vase number99 for a vase room"], "brand": ["Floro"]}
    pl.DataFrame({**table, "image": ["pictures/new.png"]}).write_csv(tmp_path / "new.csv")
    assert ask("add", run, tmp_path / "new.csv") == {"added": 1}
    top = [row["item"] for row in ask("recommend", run, "--history", "i2,i5", "-k", 5)]
    assert "new" in top
    far = [row["item"] for row in ask("recommend", run, "--history", "i3,i6", "-k", 5)]
    assert "new" not in far
    for name in ("report.html", "log.txt", "metrics.json"):
        assert (run / name).read_bytes() == (kin_run[0] / name).read_bytes()
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["openings_of_test"] == 0 and manifest["added_items"] == 1 and manifest["command"]
    with pytest.raises(DataError, match="exists already"):
        call("add", run, tmp_path / "new.csv")
    assert len(pl.read_parquet(run / "items" / "items.parquet")) == N_ITEMS + 1


def test_new_items_keep_their_ids_and_prices(ask, call, tmp_path):
    shop = tmp_path / "shop"
    shop.mkdir()
    kinds = ("wool scarf", "steel knife", "garden rose")
    ids = [f"A{n:03}" if n % 7 == 0 else f"{n:03}" for n in range(1, 25)]
    items = pl.DataFrame(
        {"item_id": ids, "title": [f"{kinds[n % 3]} number {n}" for n in range(24)], "price": range(24)}
    )
    pairs = [(f"{u:02}", ids[(3 * n + u) % 24]) for u in range(20) for n in range(6)]
    items.write_csv(shop / "items.csv")
    pl.DataFrame(pairs, schema=["user_id", "item_id"], orient="row").write_csv(shop / "interactions.csv")
    run = tmp_path / "run"
    call("fit", shop, "--out", run, "--model", "content_knn", "--no-baselines", "--quiet")
    new = pl.DataFrame({"item_id": ["031", "032"], "title": ["wool scarf new", "steel knife new"], "price": [12.99, 3]})
    new.write_csv(tmp_path / "new.csv")
    assert ask("add", run, tmp_path / "new.csv") == {"added": 2}
    table = pl.read_parquet(run / "items" / "items.parquet").tail(2)
    assert table["item_id"].to_list() == ["031", "032"] and table["price"].to_list() == [12.99, 3.0]
    assert "031" not in [row["item"] for row in ask("recommend", run, "--history", "031", "-k", 3)]
    assert all(row["item"] in [*ids, "031", "032"] for row in ask("recommend", run, "--user", "07", "-k", 26))
    (tmp_path / "again.csv").write_text("item_id,title\n002,the same again\n")
    with pytest.raises(DataError, match=r"'002' exists already") as caught:
        call("add", run, tmp_path / "again.csv")
    assert caught.value.row == 1 and caught.value.file.endswith("again.csv")


def test_a_rule_on_words_ends_check_with_one_line(tmp_path, call):
    (tmp_path / "items.csv").write_text("item_id,title\na,red lamp\nb,blue lamp\n")
    (tmp_path / "interactions.csv").write_text("user_id,item_id,label\nu,a,no\nu,b,yes\n")
    with pytest.raises(DataError, match="'no'") as caught:
        call("check", tmp_path, "--positive", "label>=1")
    assert caught.value.row == 1


def test_evaluate_after_an_addition_asks_the_same_question(vbpr_run, shop, ask, tmp_path):
    run = shutil.copytree(vbpr_run, tmp_path / "run")
    pl.DataFrame({"item_id": ["new"], "title": ["vase number99"]}).write_csv(tmp_path / "new.csv")
    ask("add", run, tmp_path / "new.csv")
    before = json.loads((run / "metrics.json").read_text())["vbpr"]["metrics"]
    assert ask("evaluate", run, "--data", shop)["metrics"] == pytest.approx(before)


def test_a_model_without_content_says_who_can_take_new_items(shop, call, tmp_path):
    call("fit", shop, "--out", tmp_path / "run", "--model", "ease", "--no-test", "--no-baselines")
    pl.DataFrame({"item_id": ["new"], "title": ["vase"]}).write_csv(tmp_path / "new.csv")
    with pytest.raises(UnsupportedError, match="ease_content"):
        call("add", tmp_path / "run", tmp_path / "new.csv")


def test_export_writes_vectors_that_give_the_scores(vbpr_run, ask, tmp_path):
    files = ask("export", vbpr_run, "--out", tmp_path / "vectors")
    assert len(files) == 3
    items, users = (pl.read_parquet(tmp_path / "vectors" / f"{name}.parquet") for name in ("items", "users"))
    assert (len(items), len(users)) == (N_ITEMS, N_USERS)
    tensors = load_file(tmp_path / "vectors" / "vectors.safetensors")
    np.testing.assert_array_equal(tensors["items"], items["vector"].to_numpy())
    best = ask("recommend", vbpr_run, "--user", "u7", "-k", 1)[0]
    user = users.filter(id="u7")["vector"].to_numpy()[0]
    item = items.filter(id=best["item"])["vector"].to_numpy()[0]
    assert float(user @ item) == pytest.approx(best["score"], abs=1e-5)


def test_export_of_a_model_without_vectors_writes_lists_and_names_models_that_have_them(kin_run, ask, call, tmp_path):
    (file,) = ask("export", kin_run[0], "--out", tmp_path / "lists")
    lists = pl.read_parquet(file)
    assert lists.columns == ["user", "item", "score", "rank"] and lists["user"].n_unique() == N_USERS
    best = ask("recommend", kin_run[0], "--user", "u7", "-k", 3)
    assert lists.filter(user="u7").sort("rank")["item"].to_list()[:3] == [row["item"] for row in best]
    with pytest.raises(UnsupportedError, match=r"no vectors.*models that can: .*vbpr"):
        call("export", kin_run[0], "--out", tmp_path / "graph", "--onnx")


def test_init_from_starts_from_the_weights_of_a_run(vbpr_run, shop, call, tmp_path):
    base = ("fit", shop, "--model", "vbpr", "--set", "dim=8", "--no-test", "--no-baselines")
    call(*base, "--set", "epochs=0", "--init-from", vbpr_run, "--out", tmp_path / "warm", "--seed", 3)
    warm, given = (read_parameters(run) for run in (tmp_path / "warm", vbpr_run))
    names = [name for name, value in given.items() if value.ndim == 2 and not name.startswith("final")]
    assert {"users", "items"} < set(names)
    for name in names:
        np.testing.assert_array_equal(warm[name], given[name], err_msg=name)


def test_init_from_another_kind_of_model_is_refused(kin_run, shop, call, tmp_path):
    with pytest.raises(ConfigError, match="no weight of this run fits"):
        call("fit", shop, "--model", "vbpr", "--init-from", kin_run[0], "--out", tmp_path / "warm")


def test_onnx_graph_ranks_as_the_scorer_does(vbpr_run, ask, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    files = ask("export", vbpr_run, "--out", tmp_path / "vectors", "--onnx")
    assert files[-1].endswith("scorer.onnx")
    session = onnxruntime.InferenceSession(files[-1], providers=["CPUExecutionProvider"])
    tensors = load_file(tmp_path / "vectors" / "vectors.safetensors")
    user, items = tensors["users"][:3], tensors["items"]
    ranked, scores = session.run(["items", "scores"], {"user": user, "k": np.array([4])})
    best = np.argsort(-(user @ items.T), axis=1, kind="stable")[:, :4]
    assert np.array_equal(ranked, best)
    np.testing.assert_allclose(scores, np.take_along_axis(user @ items.T, best, axis=1), rtol=1e-5, atol=1e-6)


def test_recommend_says_why(kin_run, ask, call):
    taken = ("--history", "i3,i6", "-k", 3)
    plain, told = ask("recommend", kin_run[0], *taken), ask("recommend", kin_run[0], *taken, "--why")
    assert [{key: value for key, value in row.items() if key != "why"} for row in told] == plain
    assert all(row["why"].startswith("Recommended because you liked ") for row in told)
    known = ask("recommend", kin_run[0], "--user", "u3", "-k", 2, "--why")
    assert all("because you liked" in row["why"] for row in known)
    nobody = ask("recommend", kin_run[0], "--user", "nobody", "--on-unknown", "fallback", "-k", 2, "--why")
    assert [row["why"] for row in nobody] == ["Popular: nothing is known of the user"] * 2
    assert "Recommended" in call("recommend", kin_run[0], *taken, "--why")
    with pytest.raises(ConfigError, match="--why"):
        call("recommend", kin_run[0], "--user", "u3", "--why", "--out", "lists.csv")


def test_an_empty_list_is_said(kin_run, call):
    everything = ",".join(f"i{at}" for at in range(N_ITEMS))
    assert call("recommend", kin_run[0], "--history", everything, "-k", 3).strip() == "nothing left for this history"


def test_threads_are_limited(kin_run, ask, monkeypatch):
    import torch

    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
    for name in names:
        monkeypatch.setenv(name, "2")
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        ask("recommend", kin_run[0], "--user", "u3", "-k", 1, "--threads", 1)
        assert torch.get_num_threads() == 1 and {os.environ[name] for name in names} == {"1"}
    finally:
        torch.set_num_threads(before)


def test_lists_are_never_written_over_the_data_or_the_run(shop, vbpr_run, call, tmp_path):
    for target in (next(shop.glob("items.*")), vbpr_run / "users.parquet"):
        before = target.read_bytes() if target.exists() else None
        if before is not None:
            with pytest.raises(ArtefactError, match="is a file of the"):
                call("recommend", vbpr_run, "--all", "--out", target, "--overwrite")
            assert target.read_bytes() == before
