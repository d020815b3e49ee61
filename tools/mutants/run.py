"""Does a test fail when the code is wrong? Each mutation of ``list.yaml`` is tried in a copy of the repository.

    python tools/mutants/run.py [--only WORD] [--left] [--minutes 60]

A mutation replaces one text of one file; it is caught if one of its tests fails. What was not tried in the given time
keeps its former result. Written: ``benchmarks/results/mutants.json`` and ``mutants.md``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from palate.core.files import read_json, write_json, write_text

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
COPIED = ("src", "tests", "benchmarks", "tools", "examples", "docs", "pyproject.toml", "README.md", "Makefile")
SECONDS = 600
"""After this a test run counts as caught: the mutation made it endless."""


@dataclass(frozen=True)
class Mutation:
    """One wrong version of the code.

    Attributes:
        what: the fault in words.
        file: path in the repository.
        old: text that occurs exactly once in the file.
        new: text in its place.
        tests: arguments of pytest, a string of words each.
    """

    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def mutations() -> list[Mutation]:
    """All of the list."""
    entries = yaml.safe_load((Path(__file__).parent / "list.yaml").read_text(encoding="utf-8"))
    return [Mutation(**{**entry, "tests": tuple(entry["tests"])}) for entry in entries]


def tried(mutation: Mutation, copy: Path) -> str:
    """``caught``, ``survived`` or ``error`` (pytest found no test, or could not run).

    Args:
        mutation: to apply.
        copy: of the repository; unchanged afterwards.
    """
    file = copy / mutation.file
    right = file.read_text(encoding="utf-8")
    file.write_text(right.replace(mutation.old, mutation.new), encoding="utf-8")
    shutil.rmtree(file.parent / "__pycache__", ignore_errors=True)
    environment = {**os.environ, "PYTHONPATH": str(copy / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= {"PALATE_PROGRESS": "quiet", "OMP_NUM_THREADS": "1"}
    words = [word for test in mutation.tests for word in test.split(" ")]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *words]
    try:
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, timeout=SECONDS, check=False)
        return {0: "survived", 1: "caught"}.get(done.returncode, "error")
    except subprocess.TimeoutExpired:
        return "caught"
    finally:
        file.write_text(right, encoding="utf-8")


def page(rows: list[dict[str, Any]]) -> str:
    """The table for people.

    Args:
        rows: what, file and result of each mutation.
    """
    counts = {word: sum(row["result"] == word for row in rows) for word in ("caught", "survived", "error", "not tried")}
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    lines = ["# Mutations", "", f"{told}, of {len(rows)}.", "", "| mutation | file | result |", "|---|---|---|"]
    lines += [f"| {row['what']} | {row['file'].removeprefix('src/palate/')} | {row['result']} |" for row in rows]
    return "\n".join([*lines, ""])


def main() -> None:
    """Try mutations and write the result files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="mutations with this word in their file or description")
    parser.add_argument("--minutes", type=float, default=60.0, help="start no further mutation after this time")
    parser.add_argument("--left", action="store_true", help="only mutations that no earlier run caught")
    args = parser.parse_args()
    file = RESULTS / "mutants.json"
    former = {row["what"]: row for row in read_json(file)["rows"]} if file.is_file() else {}
    rows: list[dict[str, Any]] = []
    until = time.monotonic() + 60 * args.minutes
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, copy / name)
        for mutation in mutations():
            row: dict[str, Any] = {"what": mutation.what, "file": mutation.file, "tests": list(mutation.tests)}
            wanted = args.only in mutation.what or args.only in mutation.file
            wanted &= not (args.left and former.get(mutation.what, {}).get("result") == "caught")
            if wanted and time.monotonic() < until:
                row["result"] = tried(mutation, copy)
                sys.stderr.write(f"{row['result']}: {mutation.what}\n")
            else:
                row["result"] = former.get(mutation.what, {}).get("result", "not tried")
            rows.append(row)
    write_json(file, {"rows": rows, "caught": sum(row["result"] == "caught" for row in rows), "of": len(rows)})
    write_text(RESULTS / "mutants.md", page(rows))


if __name__ == "__main__":
    main()
