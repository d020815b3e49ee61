"""The list of mutations fits the code as it is."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def listed():
    spec = importlib.util.spec_from_file_location("mutants_run", ROOT / "tools" / "mutants" / "run.py")
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.mutations()


def test_there_are_sixty_and_no_two_are_the_same():
    assert len(listed()) == 60 == len({(each.file, each.old, each.new) for each in listed()})
    assert len({each.what for each in listed()}) == 60


@pytest.mark.parametrize("mutation", listed(), ids=lambda each: each.what)
def test_every_mutation_changes_exactly_one_place(mutation):
    text = (ROOT / mutation.file).read_text(encoding="utf-8")
    assert text.count(mutation.old) == 1, f"{mutation.file} changed: renew this entry of tools/mutants/list.yaml"
    compile(text.replace(mutation.old, mutation.new), mutation.file, "exec")
    assert mutation.new != mutation.old and mutation.tests
    for test in mutation.tests:
        assert (ROOT / test.split(" ")[0]).exists()
