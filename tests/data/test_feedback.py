"""Dislike in a log: default rules, warnings with counts and a proposal, rules by the log's own columns."""

import warnings

import polars as pl
import pytest

from palate.cli.show import positive as parse_option
from palate.core.errors import DataError
from palate.data.check import check
from palate.data.dataset import Dataset

ITEMS = pl.DataFrame({"id": list("abcd")})


def data_of(positive=None, **columns):
    n = len(next(iter(columns.values())))
    log = {"user": [f"u{row % 2}" for row in range(n)], "item": [list("abcd")[row % 4] for row in range(n)], **columns}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return Dataset.from_frames(ITEMS, pl.DataFrame(log), positive=positive)


def found(data):
    return {issue.code: (issue.count, issue.hint) for issue in data.issues}


@pytest.mark.parametrize("name", ["label", "clicked", "is_click", "liked"])
def test_a_label_of_0_and_1_is_the_rule(name):
    data = data_of(**{name: [0, 1, 0, 1]})
    assert str(data.positive) == "label >=1" and len(data.positives) == 2 and "label_rule" in found(data)
    assert len(data_of({}, **{name: [0, 1, 0, 1]}).positives) == 4
    assert str(data_of(**{name: [1, 1, 1, 1]}).positive) == "every interaction"
    assert str(data_of(**{name: [True, False, True, True]}).positive) == "label >=1"


def test_low_ratings_are_counted_and_a_rule_is_proposed():
    count, hint = found(data_of(stars=[1, 5, 3, 4]))["low_ratings"]
    assert count == 2 and "--positive 'stars>=4'" in hint
    assert "stars>=8" in found(data_of(stars=[1, 10, 3, 4]))["low_ratings"][1]
    assert "low_ratings" not in found(data_of({"stars": ">=4"}, stars=[1, 5, 3, 4]))
    assert "low_ratings" not in found(data_of(stars=[5, 5, 5, 5]))


@pytest.mark.parametrize(
    "kind", ["dislike", "refund", "return", "remove_from_cart", "skip", "Hide", "unlike", "cancelled"]
)
def test_negative_kinds_of_events_are_counted_and_a_rule_is_proposed(kind):
    count, hint = found(data_of(event=["view", "purchase", kind, kind]))["negative_events"]
    assert count == 2 and "--positive event=purchase" in hint


def test_views_beside_purchases_get_a_hint():
    count, hint = found(data_of(action=["view", "view", "purchase", "addtocart"]))["weak_events"]
    assert (count == 2 and "--positive action=purchase,addtocart" in hint) or "addtocart,purchase" in hint
    assert not {"weak_events", "negative_events"} & set(found(data_of(event=["view", "click", "view", "click"])))


def test_weights_of_0_and_less_are_counted():
    count, hint = found(data_of(weight=[-5, 0, 2, 3]))["weight_not_positive"]
    assert count == 2 and "weight>0" in hint
    assert len(data_of({"weight": ">0"}, weight=[-5, 0, 2, 3]).positives) == 2


def test_check_warns_and_so_does_loading():
    data = data_of(rating=[1, 5, 3, 4])
    assert check(data).find("low_ratings")[0].severity == "warning" and any("below 4" in note for note in data.notes)
    with pytest.warns(UserWarning, match="below 4"):
        Dataset.from_frames(ITEMS, pl.DataFrame({"user": [1, 2], "item": ["a", "b"], "rating": [1, 5]}))


def test_rules_name_columns_of_the_log():
    assert len(data_of(parse_option("stars>=4"), stars=[1, 5, 3, 4]).positives) == 2
    assert len(data_of(parse_option("action=buy"), action=["buy", "view", "view", "view"]).positives) == 1
    assert parse_option("all") == {} and parse_option("event=a, b") == {"event": ["a", "b"]}
    with pytest.raises(DataError, match="stars") as caught:
        data_of({"starz": ">=4"}, stars=[1, 5, 3, 4])
    assert "did you mean stars" in caught.value.hint


@pytest.mark.parametrize(
    "values, positives", [([1, -1, 0, 1], 2), ([1, -1, 1, 1], 3), ([-1, -1, 0, 0], 0), ([True, False, True, True], 3)]
)
@pytest.mark.parametrize("name", ["label", "feedback", "is_like", "vote"])
def test_signs_and_truth_are_labels(values, positives, name):
    data = data_of(**{name: values})
    assert str(data.positive) == "label >=1" and len(data.positives) == positives


def test_labels_of_1_and_2_are_not_taken_for_dislike():
    assert data_of(label=[1, 2, 2, 1]).positive.accepts_all and data_of(label=[1, 1, 1, 1]).positive.accepts_all


@pytest.mark.parametrize(
    "yes, no", [("yes", "no"), ("Y", "N"), ("like", "dislike"), ("up", "down"), ("TRUE?", "False")]
)
def test_words_of_refusal_in_a_label_are_counted(yes, no):
    (issue,) = [issue for issue in data_of(clicked=[yes, no, no, yes]).issues if issue.code == "negative_events"]
    assert issue.count == 2 and no in issue.message and f"positive: {{event: [{yes}]}}" in issue.hint
