import numpy as np
import pytest
import tiny_texts
import torch
from tiny_texts import NEW, SMALL

import palate
from palate.contracts import GenerationRequest, generators
from palate.core.context import RunContext
from palate.core.errors import UnsupportedError
from palate.modules.adapters import Bottleneck
from palate.modules.text_generation.words import END

VIP5 = generators.get("vip5")


@pytest.fixture(scope="module")
def fitted():
    model = VIP5(**SMALL, epochs=3, backbone_epochs=12, families=("sequential", "explanation"))
    return model.fit(tiny_texts.dataset(references=True), refit=False)


def request(item, history, kind="explanation"):
    rows = tiny_texts.rows()
    return GenerationRequest(kind, rows[item] if isinstance(item, int) else item, [rows[at] for at in history])


def test_families_are_learnt_and_adapters_go_on_from_the_backbone(fitted):
    log = fitted.deployment.log.history
    assert log[-1]["sequential"] < 0.5 * log[0]["sequential"] and log[-1]["explanation"] < 0.2 * log[0]["explanation"]
    backbone, adapters = ([one["loss"] for one in log if one["phase"] == name] for name in ("backbone", "adapters"))
    assert adapters[0] < 0.5 * backbone[0]


def test_items_are_scored_by_the_digits_of_their_rows(fitted):
    rows = tiny_texts.rows()
    asked = [request(0, (taste, taste + 4, taste + 8)) for taste in range(4)]
    scores = fitted.item_scores(asked, [row["item"] for row in rows])
    # names of all items, each two digits and an end: their probabilities add up to no more than 1
    assert scores.shape == (4, 24) and (np.exp(scores).sum(1) <= 1.0001).all() and (np.exp(scores).sum(1) > 0.5).all()
    assert not np.allclose(scores[0], scores[1])
    assert fitted.item_scores(asked[:1], ["new", "b01"])[0, 0] == -np.inf
    chances = fitted.would_take([request(NEW, (2, 6)), request({}, ())])
    assert ((chances >= 0) & (chances <= 1)).all()


def test_explanations_are_texts_and_new_items_are_normal(fitted):
    made = fitted.generate([request(9, (1, 5)), request(NEW, (2, 6)), request({"item": "q"}, (2,)), request(3, ())])
    assert made[0].text.startswith("You like") and "Taldune" in made[0].text
    assert made[1].text and made[2].text is None and made[3].text
    assert not any(mark in (one.text or "") for one in made for mark in ("[", "]"))


def test_a_run_says_and_scores_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "run")
    restored, asked = palate.restore(tmp_path / "run"), [request(9, (1, 5)), request(NEW, ())]
    assert [one.text for one in restored.generate(asked)] == [one.text for one in fitted.generate(asked)]
    np.testing.assert_allclose(restored.item_scores(asked, ["b03"]), fitted.item_scores(asked, ["b03"]), rtol=1e-5)


def prepared(**settings):
    model, view = VIP5(**{**SMALL, **settings}), tiny_texts.dataset(references=True).select_view()
    view = view.with_features({"image": tiny_texts.images()})
    torch.manual_seed(0)
    model.setup(view, RunContext())
    return model.eval(), model.batches(view, RunContext()).collate(np.arange(12), None)


def test_questions_whether_an_item_is_taken_are_asked_of_own_items_and_of_other_rows():
    model, batch = prepared(families=("direct",))
    few = batch.take(torch.tensor([0, 0, 5, 9]))
    answers = {word: model.vocabulary.mark(word) for word in ("[YES]", "[NO]")}
    terms = []
    for shift, word in ((0, "[YES]"), (1, "[NO]")):
        names = ("item", "title", "attributes", "body", "image", "has_image")
        moved = {name: few[name].roll(shift, 0) for name in names}
        read = model.read(type(few)({**few.values, **moved}, few.extra, few.beyond), "direct")
        target = torch.tensor([[answers[word], END]] * 4)
        own = model.network.shifted(target, read).gather(2, target[..., None]).squeeze(2).detach()
        # rows 0 and 1 are about the same item, so that of row 0 is no negative of row 1
        terms.append(-own[[0, 2, 3]].mean() if shift else -own.mean())
    assert float(model.loss(few)["loss"].detach()) == pytest.approx(float(sum(terms)) / 2, rel=1e-4)


def test_the_backbone_is_frozen_while_adapters_and_the_visual_map_are_trained():
    model, _ = prepared()
    phases = {phase.name: {id(each) for each in phase.parameters} for phase in model.phases()}
    adapters = {
        id(each) for part in model.network.modules() if isinstance(part, Bottleneck) for each in part.parameters()
    }
    visual = {id(each) for each in model.tokens.parameters()}
    assert adapters | visual <= phases["adapters"] and not (adapters | visual) & phases["backbone"]
    assert id(model.network.words.weight) in phases["backbone"] - phases["adapters"]
    free, _ = prepared(frozen=False)
    assert {id(each) for each in free.phases()[1].parameters} == {id(each) for each in free.parameters()}


def test_pictures_are_seen_in_the_second_phase_only():
    model, batch = prepared()
    other = type(batch)({**batch.values, "history_image": batch["history_image"] + 1}, batch.extra, batch.beyond)
    assert torch.equal(model.blind_loss(batch)["loss"], model.blind_loss(other)["loss"])
    assert not torch.equal(model.loss(batch)["loss"], model.loss(other)["loss"])
    blind, batch = prepared(visual_tokens=0)
    assert blind.tokens.visual is None


@pytest.mark.parametrize("switch", [{"whole_words": False}, {"categories": False}, {"families": ("direct",)}])
def test_switches(switch):
    model, batch = prepared(**switch)
    full, _ = prepared()
    if "families" in switch:
        assert set(model.loss(batch)) == {"loss", "direct"}
    else:
        assert sum(p.numel() for p in model.parameters()) < sum(p.numel() for p in full.parameters())


def test_without_explanations_the_other_families_are_learnt():
    data = tiny_texts.dataset(pictures=False)
    model = VIP5(**SMALL, epochs=1, backbone_epochs=1).fit(data, refit=False)
    assert "explanation" not in model.deployment.log.history[-1]
    assert np.isfinite(model.item_scores([request(0, (1, 5))], ["b03"])).all()
    with pytest.raises(UnsupportedError, match="without a column"):
        model.generate([request(9, (1,))])
