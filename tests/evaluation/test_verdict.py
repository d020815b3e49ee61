"""Whether baselines win is said in words, and models that know no candidate are marked as random."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shop_frames import light_content, make_shop

from palate.contracts.parse import parse_model
from palate.evaluation.fit_result import fit_one
from palate.evaluation.known import KNOWN
from palate.evaluation.report import template_context, write_report
from palate.evaluation.runs import run_fit
from palate.evaluation.verdict import Verdict, verdicts
from palate.metrics.bootstrap import compare_paired
from palate.training.deployment import log_of


def fitted(data, *names):
    content = light_content(data)
    return {name: fit_one(parse_model(name), data, content, 0, True) for name in names}


@pytest.fixture(scope="module")
def cold():
    data = make_shop(40, 30, split="item_cold")
    return data, fitted(data, "content_knn", "popularity", "ease")


@pytest.fixture(scope="module")
def warm_pair():
    data = make_shop(20, 24)
    return data, fitted(data, "item_knn", "popularity")


def values(a, b, valid):
    test = compare_paired(np.asarray(a, float), np.asarray(b, float))
    return Verdict("blend", "popularity", False, "recall@20", test, "recall@20", valid)


def test_a_baseline_that_wins_on_validation_is_named_with_figures_and_advice():
    verdict = values([0, 1, 0, 1], [0, 1, 0, 1], (0.283, 0.371))
    assert verdict.state == "worse"
    assert "popularity is better than blend on validation by 0.0880" in verdict.sentence
    assert "0.3710 against 0.2830" in verdict.sentence and "--model popularity" in verdict.sentence


def test_what_validation_says_has_an_interval_over_users():
    a, b = np.zeros(40), np.repeat([0.0, 1.0], 20)
    paired = compare_paired(a, b)
    clear = Verdict("blend", "popularity", False, "recall@20", None, "recall@20", (0.0, 0.5), paired)
    assert f"by 0.5000 [{-paired.high:+.4f}, {-paired.low:+.4f}] (recall@20 0.5000 against 0.0000)" in clear.sentence
    assert "may be chance" not in clear.sentence and -paired.high > 0.3
    even = compare_paired(np.tile([0.0, 1.0], 20), np.r_[np.tile([1.0, 0.0], 19), 1.0, 1.0])
    assert "which may be chance" in Verdict("a", "b", False, "r", None, "r@1", (0.5, 0.52), even).sentence
    ahead = Verdict("blend", "popularity", False, "recall@20", None, "recall@20", (0.5, 0.0), compare_paired(b, a))
    assert ahead.sentence.startswith("blend is not below popularity on validation: +0.5000 [+0.3")


def test_verdicts_pair_validation_by_user(warm_pair):
    data, fits = warm_pair
    (verdict,) = verdicts(fits, "recall@20")
    own, base = (log_of(done.model) for done in fits.values())
    assert verdict.valid_test is not None and verdict.valid_test.n_users == len(own.valid_units)
    assert verdict.valid_test.difference == pytest.approx(own.valid - base.valid)
    assert own.valid == float(own.valid_units.mean())
    assert len(own.valid_units) == len(data.select_view().valid)


def test_a_clear_gain_a_clear_loss_and_neither():
    ones, zeros = np.ones(50), np.zeros(50)
    assert values(ones, zeros, (0.5, 0.4)).state == "better"
    assert values(zeros, ones, (0.5, 0.4)).state == "worse"
    mixed = values([0, 1, 0, 1], [1, 0, 1, 0], (0.5, 0.4))
    assert mixed.state == "open" and "cannot be told apart" in mixed.sentence and "[-1.0000, +1.0000]" in mixed.sentence


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=30), st.floats(0, 1), st.floats(0, 1))
def test_better_is_said_only_where_validation_and_test_agree(pairs, own, other):
    a, b = np.array(pairs).T
    verdict = values(a, b, (own, other))
    if verdict.state == "better":
        assert own >= other and verdict.test.low > 0
    assert (verdict.state == "worse") == (other > own or verdict.test.high < 0)


def test_models_that_know_no_candidate_are_random_everywhere(cold, tmp_path):
    data, fits = cold
    known = [fits[name].judgement.about[KNOWN] for name in fits]
    assert known[0] > 0.5 and known[1:] == [0, 0]
    assert [verdict.state for verdict in verdicts(fits, "capped_recall@20")] == ["random", "random"]
    html = write_report(tmp_path, data, fits).read_text()
    assert "popularity (random)" in html and "ease: random" in html and "its lists are random" in html
    assert "over popularity" not in html
    out = run_fit(data, "ease", tmp_path / "run", content=light_content(data))
    assert [row["note"][:7] for row in out["headline"]] == ["random:", "random:"]


def test_measures_that_say_nothing_in_the_protocol_are_left_out_and_others_explained(cold):
    data, fits = cold
    shown = template_context(data, fits)
    assert not {"coverage@10", "gini@10", "popularity@10", "novelty@10"} & set(shown["beyond_columns"])
    explained = dict(shown["words"])
    assert set(shown["columns"]) <= set(explained) and all(explained.values())


def test_a_warm_model_knows_its_candidates():
    data = make_shop(20, 24)
    fits = fitted(data, "item_knn", "popularity")
    assert fits["item_knn"].judgement.about[KNOWN] > 0.5
    assert "coverage@10" in template_context(data, fits)["beyond_columns"]


def test_curves_of_trained_members_are_shown(tmp_path):
    data = make_shop(20, 24)
    blend = "blend:members=[popularity, bpr];settings={bpr: {epochs: 3, dim: 4}}"
    shown = template_context(data, {"blend": fit_one(parse_model(blend), data, light_content(data), 0, True)})
    assert [name for name, _ in shown["curves"]] == ["bpr"]
    assert "3 epochs" in shown["curves"][0][1]
    groups = dict(shown["selected"])
    assert (
        list(groups)[:1] == ["weights of the members"]
        and "on warm items" in dict(groups["weights of the members"])["bpr"]
    )
    assert dict(groups["bpr"])["epochs"] in {"1", "2", "3"}
