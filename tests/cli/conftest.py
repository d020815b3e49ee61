"""Runs of the command line on a tiny shop."""

import json
from pathlib import Path

import pytest
from cli_shop import write_shop
from typer.testing import CliRunner


@pytest.fixture(scope="module", autouse=True)
def light():
    """The encoders that need no weights, whatever is installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("palate.features.default_encoders.find_spec", lambda name: None)
        yield


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Path:
    return write_shop(tmp_path_factory.mktemp("cli") / "shop")


@pytest.fixture(scope="module")
def call():
    """``call("models", "--json")``: what it printed; a failure is raised."""

    def run(*arguments: object, code: int = 0) -> str:
        from palate.cli.main import app

        result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
        assert result.exit_code == code, result.output
        return result.stdout

    return run


@pytest.fixture(scope="module")
def ask(call):
    """Like ``call`` with ``--json``: the strict JSON it printed."""

    def run(*arguments: object, code: int = 0):
        return strict(call(*arguments, "--json", code=code))

    return run


def strict(text: str):
    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def vbpr_run(shop, call, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("cli") / "vbpr"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PALATE_CACHE", str(tmp_path_factory.mktemp("cache")))
        fit_vbpr(call, shop, out)
    return out


def fit_vbpr(call, shop: Path, out: Path) -> None:
    call("fit", shop, "--out", out, "--model", "vbpr", "--set", "epochs=2", "--set", "dim=8", "--quiet")


@pytest.fixture(scope="module")
def kin_run(shop, ask, tmp_path_factory):
    """A run that scores new items in closed form, and what fit printed."""
    out = tmp_path_factory.mktemp("cli") / "kin"
    said = ask("fit", shop, "--out", out, "--model", "ease_content", "--set", "k=4", "--no-test", "--no-baselines")
    return out, said
