"""The tutorials run as they are printed, and show what they say."""

import importlib.util
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted(path.stem for path in (ROOT / "examples").glob("*.py"))


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """``run(name)``: what ``main`` of a script returns and prints."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))

    def call(name):
        spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.main(tmp_path), capsys.readouterr().out

    return call


def test_own_folder(run):
    lists, shown = run("own_folder")
    assert "lamp-new" in lists["item"].to_list() and "no issues found" in shown
    assert sum(item.startswith("lamp") for item in lists["item"].to_list()[:5]) >= 4


def test_compare_fairly(run, tmp_path):
    result, shown = run("compare_fairly")
    score = {row["model"]: row["recall@20"] for row in result["table"]}
    assert score["ease_content"] > score["ease"] > score["popularity"]
    assert (tmp_path / "compared" / "result.md").read_text() in shown


def test_new_items_and_serving(run):
    pytest.importorskip("fastapi")
    result, _ = run("new_items_and_serving")
    assert result["ranked"].index("brand-new") < 10


def test_pretrain_on_the_catalogue(run):
    scores, _ = run("pretrain_on_the_catalogue")
    assert scores["pretrained"] > scores["descriptors"]


def test_every_script_is_tried_and_listed():
    tried = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    page = (ROOT / "docs" / "tutorials.md").read_text(encoding="utf-8")
    for name in SCRIPTS:
        assert name in tried and f"](../examples/{name}.py)" in page
        text = (ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8")
        assert f"python examples/{name}.py" in text
