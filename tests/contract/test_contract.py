"""Every registered model, found by registration, against every check."""

from __future__ import annotations

import checks_axes  # noqa: F401
import checks_derived  # noqa: F401
import checks_fitting  # noqa: F401
import checks_gaps  # noqa: F401
import checks_items  # noqa: F401
import checks_leaks  # noqa: F401
import checks_saving  # noqa: F401
import checks_scores  # noqa: F401
import checks_serving  # noqa: F401
import checks_settings  # noqa: F401
import pytest
from cases import APPLIES, CHECKS
from remedies import REMEDIES

from palate.contracts import Matcher, Reranker, models

NAMES = [name for name, kind in models.items() if issubclass(kind, Matcher) and not issubclass(kind, Reranker)]
PAIRS = [(model, name) for model in NAMES for name in CHECKS if APPLIES[name](models.get(model))]


@pytest.mark.parametrize(("model", "name"), PAIRS, ids=[f"{model}-{name}" for model, name in PAIRS])
def test_contract(model, name, case_of, capfd):
    try:
        CHECKS[name](case_of(model))
    except (Exception, pytest.fail.Exception) as error:
        raise AssertionError(f"{model}: {error}\n\nWhat to do: {REMEDIES.get(name, 'see CONTRIBUTING.md')}") from error
    assert capfd.readouterr().out == "", f"{model} prints. What to do: {REMEDIES['nothing_is_printed']}"


def test_every_check_says_what_to_do():
    assert not set(CHECKS) - set(REMEDIES), "add what to do about these checks to tests/contract/remedies.py"
    assert not set(REMEDIES) - set(CHECKS), "tests/contract/remedies.py names checks that do not exist"


def test_every_model_meets_at_least_forty_checks():
    assert len(NAMES) >= 4
    for model in NAMES:
        assert sum(name == model for name, _ in PAIRS) >= 40, model
