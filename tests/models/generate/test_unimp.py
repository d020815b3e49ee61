import numpy as np
import pytest
import tiny_texts
import torch
from tiny_texts import NEW, SMALL

import palate
from palate.contracts import GenerationRequest, generators
from palate.core.context import RunContext
from palate.core.errors import DataError
from palate.modules.text_generation.words import END

UNIMP = generators.get("unimp")


@pytest.fixture(scope="module")
def fitted():
    return UNIMP(**SMALL, epochs=14, tasks=("recommendation", "explanation")).fit(
        tiny_texts.dataset(references=True), refit=False
    )


def request(item, history, **settings):
    rows = tiny_texts.rows()
    row = rows[item] if isinstance(item, int) else item
    return GenerationRequest("explanation", row, [rows[at] for at in history], **settings)


def test_tasks_are_learnt(fitted):
    log = fitted.deployment.log.history
    assert log[-1]["recommendation"] < 0.5 * log[0]["recommendation"]
    assert log[-1]["explanation"] < 0.2 * log[0]["explanation"]


def test_pictures_alone_are_encoded(fitted):
    assert list(fitted.deployment.content.main_plan) == ["image"]


def test_items_are_scored_by_their_words_and_searches_read_the_query(fitted):
    ids = [row["item"] for row in tiny_texts.rows()]
    scores = fitted.item_scores([request(0, (taste, taste + 4)) for taste in range(4)], ids)
    assert scores.shape == (4, 24) and (np.exp(scores).sum(1) > 0.8).all() and (np.exp(scores).sum(1) <= 1.0001).all()
    assert fitted.item_scores([request(0, (1, 5))], ["new"])[0, 0] == -np.inf
    found = fitted.item_scores([request({}, (), prompt=genre) for genre in tiny_texts.GENRES], ids, "search")
    assert found.shape == (4, 24) and not np.allclose(found[0], found[1])


def test_options_may_be_new_items(fitted):
    chances = fitted.choose(request(0, ()), [NEW, tiny_texts.rows()[3]])
    assert len(chances) == 2 and chances.sum() == pytest.approx(1, abs=1e-5)
    for wrong in ([], tiny_texts.rows()[:5]):
        with pytest.raises(DataError, match="options to choose from"):
            fitted.choose(request(0, ()), wrong)


def test_explanations_are_texts_and_new_items_are_normal(fitted):
    made = fitted.generate([request(9, (1, 5)), request(NEW, (2, 6)), request({"item": "q"}, (2,)), request(3, ())])
    assert made[0].text.startswith("You like") and "forest" in made[0].text
    assert made[1].text and made[2].text is None and made[3].text
    assert not any(mark in (one.text or "") for one in made for mark in ("[", "]"))


def test_a_run_says_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "run")
    restored, asked = palate.restore(tmp_path / "run"), [request(9, (1, 5)), request(NEW, ())]
    assert [one.text for one in restored.generate(asked)] == [one.text for one in fitted.generate(asked)]


def prepared(**settings):
    model, view = UNIMP(**{**SMALL, **settings}), tiny_texts.dataset(references=True).select_view()
    view = view.with_features({"image": tiny_texts.images()})
    torch.manual_seed(0)
    model.setup(view, RunContext())
    return model.eval(), model.batches(view, RunContext()).collate(np.arange(12), None)


@pytest.mark.parametrize("task", ["rating", "selection"])
def test_a_batch_of_a_task_is_learnt_by_heart(task):
    model, batch = prepared(tasks=(task,), gamma=0.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(100):
        torch.manual_seed(1)
        optimizer.zero_grad()
        model.loss(batch)["loss"].backward()
        optimizer.step()
    torch.manual_seed(1)
    answers, context = model.example(batch, task)
    assert len(set(answers[:, 0].tolist())) > 1
    assert model.network.shifted(answers, context)[:, 0].argmax(1).tolist() == answers[:, 0].tolist()


def test_the_loss_is_focal_weighted_and_of_answers_alone():
    plain, batch = prepared(gamma=0.0, tasks=("recommendation",))
    answers, context = plain.example(batch, "recommendation")
    assert answers.shape == (12, 2) and (answers[:, 1] == END).all()
    own = plain.network.shifted(answers, context).gather(2, answers[..., None]).squeeze(2).detach()
    assert float(plain.loss(batch)["loss"].detach()) == pytest.approx(-float(own.mean()), rel=1e-5)
    focal, batch = prepared(gamma=2.0, tasks=("recommendation",), weights={"recommendation": 3.0})
    expected = -3 * float(((1 - own.exp()) ** 2 * own).mean())
    assert float(focal.loss(batch)["loss"].detach()) == pytest.approx(expected, rel=1e-4)
    assert plain.vocabulary.forms[int(answers[0, 0])] == f"[ITEM_{int(batch['item'][0])}]"


def test_words_look_at_the_picture_of_their_own_item():
    model, batch = prepared()
    with torch.no_grad():
        model.network.blocks[0].gate.fill_(1.0)
    context = model.read(batch, "explanation")
    # items of the history, oldest first, then the item itself
    each = (context.owner[0] == 0).sum()
    assert context.owner[0].tolist()[: 4 * each] == [item for item in range(4) for _ in range(each)]
    assert context.owner[0].max() == 4 and (context.present[:, 4] == batch["has_image"]).all()
    torch.testing.assert_close(context.pictures[:, 4], batch["image"])
    torch.testing.assert_close(context.pictures[:, :4], batch["history_image"])


def test_options_hold_the_own_item_once_in_every_place():
    model, batch = prepared()
    answers, places = model.vocabulary.mark("[OPTION_0]"), set()
    for seed in range(6):
        torch.manual_seed(seed)
        target, context = model.example(batch, "selection")
        place = target[:, 0] - answers
        places |= set(place.tolist())
        own = model.ids(batch["item"])
        # each option is its mark, its id and its words
        for row in range(12):
            words = context.ids[row].tolist()
            assert words[words.index(answers + int(place[row])) + 1] == int(own[row])
            assert sum(word == int(own[row]) for word in words) == 1
    assert places == {0, 1, 2, 3}


@pytest.mark.parametrize("switch", [{"fine_grained": False}, {"visual_tokens": 0}, {"tasks": ("rating",)}])
def test_switches(switch):
    model, batch = prepared(**switch)
    losses = model.loss(batch)
    assert torch.isfinite(losses["loss"])
    if "tasks" in switch:
        assert set(losses) == {"loss", "rating"}
    if "visual_tokens" in switch:
        other = type(batch)({**batch.values, "image": batch["image"] + 1}, batch.extra, batch.beyond)
        answers, context = model.example(other, "explanation")
        base = model.example(batch, "explanation")[1]
        torch.testing.assert_close(model.network.shifted(answers, context), model.network.shifted(answers, base))
