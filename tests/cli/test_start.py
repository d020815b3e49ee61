"""What commands import: looking at data and at help needs none of the heavy packages."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "scipy", "transformers", "sklearn", "matplotlib", "pandas", "PIL")


def imported(*arguments: object) -> set[str]:
    """Heavy packages that a command has imported when it ends."""
    script = (
        "import sys\n"
        "from palate.cli.main import app\n"
        "try:\n    app(sys.argv[1:])\nexcept SystemExit as end:\n    code = end.code\n"
        f"print('LOADED', *[name for name in {HEAVY!r} if name in sys.modules], 'CODE', code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True, check=True
    )
    loaded, _, code = done.stdout.rpartition("LOADED")[2].partition("CODE")
    assert code.strip() in ("0", "None"), done.stdout + done.stderr
    return set(loaded.split())


@pytest.mark.parametrize("command", ["check", "fit", "recommend", "compare", "tune", "serve"])
def test_help_imports_nothing_heavy(command):
    assert imported(command, "--help") == set()


def test_check_of_tables_imports_nothing_heavy(tmp_path):
    (tmp_path / "items.csv").write_text("item_id,title\n" + "".join(f"i{n},red lamp {n}\n" for n in range(8)))
    rows = "".join(f"u{n % 4},i{(n * 3) % 8},{1_600_000_000 + n}\n" for n in range(16))
    (tmp_path / "interactions.csv").write_text("user_id,item_id,timestamp\n" + rows)
    assert imported("check", tmp_path) == set()


def test_models_imports_nothing_heavy():
    assert imported("models") == set()
