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


@pytest.mark.parametrize("column, values, count", [
    ("returned", [0, 0, 1, 0], 1),
    ("is_hate", [False, True, True, False], 2),
    ("skipped", ["true", "false", "false", "true"], 2),
    ("deleted_at", ["2020-01-01", None, None, None], 1),
    ("disliked", ["no", "yes", "no", "no"], 1),
    ("order_status", ["delivered", "canceled", "refunded", "delivered"], 2),
    ("status", ["wc-completed", "wc-failed", "wc-completed", "wc-completed"], 1),
    ("Zustand", ["bezahlt", "storniert", "bezahlt", "Retoure"], 2),
    ("estado", ["compra", "devolución", "compra", "compra"], 1),
    ("statut", ["payé", "annulé", "payé", "remboursé"], 2),
    ("状态", ["已付款", "退款", "已付款", "已付款"], 1),
])  # fmt: skip
def test_columns_without_a_role_that_speak_of_dislike_are_warned_of(column, values, count):
    data = data_of(**{column: values})
    (issue,) = [issue for issue in data.issues if issue.code == "negative_events"]
    assert (issue.column, issue.count, issue.severity) == (column, count, "warning")
    assert len(data.positives) == 4 and issue.hint


def test_what_is_proposed_for_a_column_without_a_role_leaves_the_rows_out():
    log = {"user": list("uvuv"), "item": list("abcd")}
    flag, state = (
        pl.DataFrame(log | {"returned": [0, 0, 1, 0]}),
        pl.DataFrame(log | {"state": ["ok", "void", "ok", "ok"]}),
    )
    assert len(Dataset.from_frames(ITEMS, flag, roles={"label": "returned"}, positive={"label": "<1"}).positives) == 3
    assert len(Dataset.from_frames(ITEMS, state, roles={"event": "state"}, positive={"event": ["ok"]}).positives) == 3


@pytest.mark.parametrize(
    "column, values", [("amount", [9.5, -9.5, 3, 4]), ("Betrag", ["$5.00", "-$5.00", "$1.00", "$2.00"])]
)
def test_amounts_below_0_are_warned_of(column, values):
    assert found(data_of(**{column: values}))["weight_not_positive"][0] == 1


@pytest.mark.parametrize("column, values", [
    ("reordered", [0, 1, 0, 1]), ("device", ["app", "web", "app", "web"]), ("unit_price", [1, 2, 3, 4]),
    ("child_id", [1, 2, 3, 4]), ("returned", [0, 0, 0, 0]), ("returning_visitor", [0, 1, 0, 1]),
])  # fmt: skip
def test_other_columns_are_not_taken_for_dislike(column, values):
    assert not {"negative_events", "weight_not_positive"} & set(found(data_of(**{column: values})))


def test_a_given_rule_is_the_last_word():
    assert "negative_events" not in found(data_of({}, returned=[0, 0, 1, 0]))


@pytest.mark.parametrize(
    "kind", ["Retoure", "Storno", "devolución", "annulation", "возврат", "取消", "chargeback", "👎"]
)
def test_negative_kinds_in_other_languages(kind):
    assert found(data_of(event=["Kauf", "purchase", kind, kind]))["negative_events"][0] == 2


def test_kinds_that_are_numbers_are_warned_of():
    count, hint = found(data_of(event_type=[0, 1, 2, 0]))["event_codes"]
    assert count == 1 and "event_type=" in hint


@pytest.mark.parametrize("values, code", [
    ([-9.5, 3.25, 99, 8], 99), ([-1, 8, 10, 3], -1), ([1, 5, 3, 999], 999), ([1, 5, 3, -99], -99),
])  # fmt: skip
def test_a_number_far_from_all_ratings_is_asked_about(values, code):
    count, hint = found(data_of(rating=values))["rating_code"]
    assert count == 1 and f"'{code}'" in hint


@pytest.mark.parametrize("values", [[-1, 1, 1, 1], [0, 1, 5, 9], [1, 5, 3, 10], [20, 85, 95, 99], [0, 8, 10, 3]])
def test_other_ratings_are_of_one_scale(values):
    assert "rating_code" not in found(data_of(rating=values))


@pytest.mark.parametrize("values, numbers", [
    (["4,5", "1,0", "3,5", "2"], [4.5, 1, 3.5, 2]),
    (["8/10", "2/10", "5/10", "10/10"], [8, 2, 5, 10]),
    (["4 out of 5", "1 out of 5", "3 out of 5", "5 out of 5"], [4, 1, 3, 5]),
    (["★★★☆☆", "★☆☆☆☆", "★★★★★", "★★☆☆☆"], [3, 1, 5, 2]),
    (["5 stars", "1 star", "4 stars", "2 stars"], [5, 1, 4, 2]),
    (["90%", "20%", "55%", "70%"], [90, 20, 55, 70]),
])  # fmt: skip
def test_ratings_in_words_are_numbers_and_that_is_said(values, numbers):
    data = data_of(rating=values)
    assert data.interactions.array("rating").tolist() == numbers and "number_in_text" in found(data)


@pytest.mark.parametrize("odd", ["A", "good", "-", "8/5"])
def test_a_rating_that_is_no_number_has_a_way_out(odd):
    with pytest.raises(DataError, match="not a finite number") as caught:
        data_of(rating=["8/10", "9/10", odd, "7/10"])
    assert "rating: null" in caught.value.hint
