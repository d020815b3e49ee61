"""The benchmark of generators: its judges tell right from wrong, and its verdicts count seeds and claims."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from palate.simulation.personal_texts import PersonalTexts

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
TRUTHS = {"png": "headline", "page": "answer", "vip5": "explanation", "unimp": "pairing", "unmhg": "picture_headline"}


@pytest.fixture(scope="module")
def points():
    """The benchmark's modules, with small worlds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        before = set(sys.modules)
        import _generator_points
        import generation_points

        small = PersonalTexts(3, n_items=60, n_users=100, events=7)
        patch.setattr(_generator_points, "PersonalTexts", lambda seed, **sizes: small)
        patch.setattr(_generator_points, "CASES", 12)
        yield SimpleNamespace(world=small, parts=_generator_points, run=generation_points)
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(BENCHMARKS)):
                del sys.modules[name]


@pytest.mark.parametrize("system", sorted(TRUTHS))
def test_judges_give_all_to_what_is_right_and_nothing_to_another_item(points, system):
    cases = points.parts.cases(0, points.world)
    [point] = [one for one in points.run.points() if one.system == system and one.judge.__name__ == "judge"][:1]

    def judged(texts):
        model = SimpleNamespace(
            generate=lambda requests: [SimpleNamespace(text=text) for text in texts],
            choose=lambda asked, rows: np.array([0.5, 0.5]),
        )
        return point.judge(model, 0)

    truths = [points.world.texts(case)[TRUTHS[system]] for case in cases]
    right, silent = judged(truths), judged([None] * len(truths))
    wrong = judged(["It is made of zzz and at 0 euros."] * len(truths))
    for metric in set(point.metrics) - {"preferred"}:
        assert np.allclose(right[metric], 1), metric
        # whoever has no thing of the kind is not to be told of one, which silence keeps to
        assert (silent[metric] == 0).all() or metric in ("own item", "persona"), metric
    assert wrong[point.metrics[0]].mean() < 0.5
    assert all(len(values) == len(cases) for name, values in right.items() if name != "preferred")


def row(system, gain, low, high, margin=0.0, draws=3):
    arms = {"whole": {"m": [0.0] * draws}, "without": {"m": [0.0] * draws}}
    return {
        "system": system, "point": "p", "metrics": ["m"], "margin": margin, "arms": arms,
        "gains": {"without": {"m": {"gain": gain, "low": low, "high": high}}},
    }  # fmt: skip


def test_verdicts_are_those_of_students_t_over_seeds(points):
    # three differences 0.1, 0.2, 0.3: mean 0.2, standard error 0.1 / sqrt(3), t 3.4641 with 2 degrees of freedom
    half = 4.302653 * 0.1 / 3**0.5
    found = points.run.verdict(row("a", 0.2, 0.2 - half, 0.2 + half))
    assert found["p"] == pytest.approx(0.0741799, abs=1e-5) and not found["contradicted"]
    assert points.run.verdict(row("a", -0.2, -0.2 - half, -0.2 + half))["p"] == 1
    assert points.run.verdict(row("a", -0.5, -0.5 - half, -0.5 + half))["contradicted"]
    # what loses 0.1 of an allowed 0.3 gains 0.2 over the margin
    assert points.run.verdict(row("a", -0.1, -0.1 - half, -0.1 + half, 0.3))["p"] == pytest.approx(found["p"])
    assert (
        points.run.verdict(row("a", 0.5, 0.5, 0.5))["p"] == 0
        and points.run.verdict(row("a", 0.2, 0.1, 0.3, 0, 1))["p"] == 1
    )


def test_comparisons_of_retrievers_are_corrected_together(points, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import lamp

    rng = np.random.default_rng(0)
    names = ["no profile", *(f"{one}, k = {k}" for one in lamp.RETRIEVERS for k in lamp.SIZES)]
    gains = {"recency, k = 4": 0.05}
    pieces = [
        {"rows": {name: (rng.normal(gains.get(name, 0), 0.05, 100)).tolist() for name in names}} for _ in range(6)
    ]
    found = lamp.summary(pieces, 1)["comparisons"]
    alone = lamp.compare_all(
        [np.array(one["rows"]["random, k = 4"]) for one in pieces],
        {"recency": [np.array(one["rows"]["recency, k = 4"]) for one in pieces]},
    )["recency"]
    assert len(found) == 7 and found["recency over random, k = 4"]["p"] == pytest.approx(7 * alone.p_value)
    assert found["recency over random, k = 4"]["gain"] > 0
