"""Systems that lowered what was measured say so wherever they are listed, in the figures of the result file."""

import re
from collections import defaultdict
from pathlib import Path

import numpy as np

from palate.core.files import read_json
from palate.models.systems import systems

ROOT = Path(__file__).resolve().parents[2]
CAUTIONS = {system["name"]: system["caution"] for system in systems() if system["task"] != "generate"}


def measured():
    """System -> (untrained, trained) of each of its settings, on the question that all are asked."""
    found = defaultdict(list)
    for row in read_json(ROOT / "benchmarks" / "results" / "pretraining.json")["summary"]:
        found[row["system"]].append((float(np.mean(row["untrained"])), float(np.mean(row["trained"]))))
    return found


def test_whatever_lowered_the_common_measure_is_cautioned_and_nothing_else():
    lowered = {name for name, pairs in measured().items() if any(after < before for before, after in pairs)}
    assert lowered == {name for name, caution in CAUTIONS.items() if caution}


def test_cautions_tell_the_measured_figures():
    for name, pairs in measured().items():
        told = re.findall(r"\.\d{3}", CAUTIONS[name])
        figures = {f"{value:.3f}".removeprefix("0") for pair in pairs for value in pair}
        assert set(told) <= figures and (not CAUTIONS[name] or len(told) >= 2)


def test_the_page_marks_them():
    page = (ROOT / "docs" / "pretraining.md").read_text(encoding="utf-8")
    for name, caution in CAUTIONS.items():
        assert (f"| `{name}` (did not help" in page) == bool(caution)
