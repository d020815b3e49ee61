"""The search itself: seeded, guided by the scores so far, and the same after a kill."""

import math

import pytest

from palate.training.tune import distribution, suggest

OPTIONS = {"x": "0.001..10:log", "n": "2..6", "kind": "a,b,none"}


def run(trials, seed=0, start=()):
    """Trials of a made-up objective: the best x is 0.1, the best n 3."""
    options = {name: distribution(text, name == "n") for name, text in OPTIONS.items()}
    settings, scores = list(start), [objective(one) for one in start]
    while len(settings) < trials:
        settings.append(suggest(options, settings, scores, seed))
        scores.append(objective(settings[-1]))
    return settings, scores


def objective(given):
    if not given:
        return -10.0
    return -abs(math.log10(given["x"]) + 1) - abs(given["n"] - 3)


def test_the_first_trial_is_the_defaults_and_the_rest_lie_in_range():
    settings, _ = run(8)
    assert settings[0] == {}
    for one in settings[1:]:
        assert 0.001 <= one["x"] <= 10 and one["n"] in range(2, 7) and one["kind"] in ("a", "b", None)
        assert isinstance(one["n"], int)


def test_a_search_goes_on_as_if_it_had_never_stopped():
    through, _ = run(16)
    assert run(16, start=through[:9])[0] == through
    assert run(16, seed=1)[0] != through


def test_later_trials_are_guided_by_earlier_ones():
    later = [sum(scores[40:]) / 20 for scores in (run(60, seed)[1] for seed in range(3))]
    first = [sum(scores[1:11]) / 10 for scores in (run(60, seed)[1] for seed in range(3))]
    assert all(after > before + 0.5 for before, after in zip(first, later, strict=True))


def test_a_trial_without_a_score_is_left_out():
    options = {"x": distribution("0..1")}
    assert suggest(options, [{}, {"x": 0.5}], [0.1, math.nan], 0).keys() == {"x"}


def test_values_are_read_as_numbers_words_and_none():
    chosen = distribution("1, 0.5,true,none,text")
    assert chosen.choices == (1, 0.5, True, None, "text")
    with pytest.raises(Exception, match="not a range"):
        distribution("2.2..2.8", whole=True)
