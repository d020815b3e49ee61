"""Where real data lies, and where results go."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from palate.core.files import read_json, write_json, write_text

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
WORK = Path(os.environ.get("PALATE_WORK", ROOT / "runs"))


def real(name: str) -> Path:
    """A folder of real data, from PALATE_DATA or ../shared/datasets."""
    for base in (os.environ.get("PALATE_DATA"), ROOT.parent / "shared" / "datasets"):
        if base and (Path(base) / name).is_dir():
            return Path(base) / name
    raise SystemExit(f"{name} is not here: set PALATE_DATA to the folder that holds it")


def keep(name: str, result: Any, markdown: str | None = None) -> None:
    """Write benchmarks/results/<name>.json, and the table for people beside it."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    write_json(RESULTS / f"{name}.json", result)
    if markdown:
        write_text(RESULTS / f"{name}.md", markdown)


def kept(file: Path, make: Callable[[], Any]) -> Any:
    """A piece of a result: read where it was made before, else made and written, so that a stopped run goes on.

    Args:
        file: where it is kept, JSON.
        make: makes it.
    """
    if not file.is_file():
        made = make()
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, made)
    return read_json(file)


def fresh(folder: Path) -> Path:
    """An empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
