"""Leaks: nothing fitted has seen a test row, nor in cold protocols the content of a cold item."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
from cases import Case, check, closed_form, people, same_state, scores, seen_scores
from tiny_world import PERMUTATION, log

from palate.data.views import TrainView
from palate.features.plan import plan_content

VIEW_FIELDS = {
    "n_users", "n_items", "users", "items", "times", "visible_items", "relations", "features", "fields", "all_features",
    "sources", "valid", "seed", "searches", "query_features", "event_codes", "event_names", "tables",
}  # fmt: skip


@check()
def a_training_view_holds_no_test_row(case: Case) -> None:
    view = case.data().select_view()
    assert {field.name for field in fields(TrainView)} <= VIEW_FIELDS, "a new field of TrainView needs a look here"
    table = log()
    test = set(map(tuple, table.filter(table["part"] == 2).select("user", "item").rows()))
    assert not test & set(zip(view.users.tolist(), view.items.tolist()))
    held = view.valid
    assert held is not None
    owners = held.users.rows[held.relevant.owners()]
    assert not test & set(zip(owners.tolist(), held.relevant.items.tolist()))
    known = held.users.rows[held.users.history.owners()]
    assert not test & set(zip(known.tolist(), held.users.history.items.tolist()))


@check()
def test_rows_do_not_change_the_model(case: Case) -> None:
    first, second = case.fitted(), case.fitted("other_test")
    assert same_state(first, second)
    users = people(case.data())
    assert np.array_equal(scores(first.scorer(), users), scores(second.scorer(), users))


@check()
def content_of_cold_items_does_not_change_the_fit(case: Case) -> None:
    data = case.data("item_cold")
    cold = data.split.test_candidates
    assert cold is not None and cold.sum() == 6
    first = seen_scores(case.fitted("item_cold"), data)[:, ~cold]
    second = seen_scores(case.fitted("item_cold_changed"), case.data("item_cold_changed"))[:, ~cold]
    assert np.array_equal(first, second)
    assert case.fitted("item_cold").deployment.log.selected == case.fitted("item_cold_changed").deployment.log.selected


@check(lambda kind: kind.capabilities.content)
def words_and_attributes_of_cold_items_do_not_change_the_fit(case: Case) -> None:
    """Encoders and fields that are fitted (vocabularies, weights, bins, scales) learn from visible items only."""
    data = case.data("described_cold")
    cold = data.split.test_candidates
    assert cold is not None
    found = []
    for name in ("described_cold", "described_cold_changed"):
        world = case.data(name)
        plan = plan_content(world, {"text": "tfidf"})
        fields = {key: spec for key, spec in plan.fields.items() if not spec.encoder.startswith("minilm")}
        model = case.new()
        model.fit(world, content=replace(plan, fields=fields))
        found.append((seen_scores(model, world)[:, ~cold], model.deployment.log.selected))
    assert np.array_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


@check()
def hidden_content_is_absent_in_the_view(case: Case) -> None:
    data = case.data("item_cold")
    view = case.content(data).view(data.select_view(), data, dense=case.kind.requirements.dense)
    hidden = ~view.visible_items
    assert hidden.sum() > 6
    for found in (*view.features.values(), *getattr(view, "fields", {}).values()):
        assert not found.present[hidden].any() and not found.values[hidden].any()


@check(closed_form)
def order_of_items_does_not_matter(case: Case) -> None:
    data, other = case.data(), case.data("permuted")
    first, second = case.fitted(), case.fitted("permuted")
    assert (first.scorer().scorable()[PERMUTATION] == second.scorer().scorable()).all()
    known = first.scorer().scorable()[PERMUTATION]
    np.testing.assert_allclose(
        seen_scores(second, other)[:, known], seen_scores(first, data)[:, PERMUTATION][:, known], rtol=1e-3, atol=1e-4
    )
