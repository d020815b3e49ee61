"""The examples of the losses' docstrings are run, and every public loss has one."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import palate.losses

MODULES = [
    importlib.import_module(f"palate.losses.{module.name}") for module in pkgutil.iter_modules(palate.losses.__path__)
]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_examples_hold(module):
    own = {name for name, f in vars(module).items() if inspect.isfunction(f) and f.__module__ == module.__name__}
    examples = {test.name.rpartition(".")[2]: test for test in doctest.DocTestFinder().find(module) if test.examples}
    assert {name for name in own if not name.startswith("_")} == set(examples)
    for test in examples.values():
        assert doctest.DocTestRunner().run(test).failed == 0, test.name
