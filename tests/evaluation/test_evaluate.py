"""One opening of the test part: metrics against brute force, slices, items added later, model texts."""

import numpy as np
import pytest
from shop_frames import light_content, make_shop

from palate.contracts.parse import parse_model
from palate.core.batch import RaggedArray
from palate.core.errors import ConfigError
from palate.evaluation.evaluate import evaluate
from palate.evaluation.slices import item_slices, sliced_recall, user_slices
from palate.training.fit import fit


@pytest.fixture(scope="module")
def ease():
    data = make_shop()
    return data, fit(parse_model("ease:l2=50"), data, content=light_content(data))


def ranked(scores, row, held):
    """Brute force: all candidates of one user, best first, ties by row number."""
    banned = set(held.exclude[row].tolist())
    known = [item for item in range(len(scores)) if item not in banned]
    return sorted(known, key=lambda item: (-scores[item], item))


def test_metrics_are_those_of_a_full_sort(ease):
    data, model = ease
    result = evaluate(model, data)
    held = data.test_queries()
    scores = model.scorer().score(held.users).numpy()
    assert model.scorer().scorable().all()
    recall, ndcg = [], []
    for row in range(len(held)):
        order = ranked(scores[row], row, held)
        relevant = set(held.relevant[row].tolist())
        recall.append(len(relevant & set(order[:5])) / len(relevant))
        gains = sum(1 / np.log2(place + 2) for place, item in enumerate(order[:5]) if item in relevant)
        ndcg.append(gains / sum(1 / np.log2(place + 2) for place in range(min(5, len(relevant)))))
        assert result.answers[row][: len(order)].tolist() == order[: result.answers.shape[1]]
    assert result.metrics["recall@5"] == pytest.approx(np.mean(recall))
    assert result.metrics["ndcg@5"] == pytest.approx(np.mean(ndcg))
    assert 0 < result.metrics["recall@5"] < 1


def test_the_result_as_json_says_what_was_asked(ease):
    data, model = ease
    said = evaluate(model, data).to_json()
    assert said["users"] == len(data.test_queries()) and said["hash"] == data.hash and said["mask"] == "train"
    assert said["model"] == "ease" and said["positive"] == "every interaction"


def test_slices_against_brute_force():
    rng = np.random.default_rng(0)
    lists = np.array([rng.permutation(12)[:5] for _ in range(30)])
    lists[3, 3:] = -1
    relevant = RaggedArray.of([sorted(rng.choice(12, rng.integers(1, 4), replace=False).tolist()) for _ in range(30)])
    members = np.arange(12) % 3 == 0
    shares = []
    for row in range(30):
        asked = {item for item in relevant[row].tolist() if members[item]}
        if asked:
            shares.append(len(asked & set(lists[row].tolist())) / len(asked))
    assert sliced_recall(lists, relevant, members) == (pytest.approx(np.mean(shares)), len(shares))
    nothing, users = sliced_recall(lists, relevant, np.zeros(12, bool))
    assert np.isnan(nothing) and users == 0


def test_item_slices_cover_and_do_not_overlap():
    counts = np.array([50, 30, 5, 3, 2, 0, 0])
    present = {"image": np.array([1, 0, 1, 1, 0, 1, 0], bool), "text": np.ones(7, bool)}
    slices = item_slices(counts, present)
    assert slices["items: cold"].tolist() == (counts == 0).tolist()
    head, tail = slices["items: head"], slices["items: tail"]
    assert not (head & tail).any() and ((head | tail) == (counts > 0)).all()
    assert head.tolist() == [True, True, False, False, False, False, False]
    assert (slices["items: with image"] ^ slices["items: without image"]).all()
    assert "items: without text" not in slices


def test_user_slices_cover_every_user_once(ease):
    held = ease[0].test_queries()
    slices = user_slices(held)
    assert (sum(mask.astype(int) for mask in slices.values()) == 1).all()


def test_slices_of_a_result_are_sliced_recall(ease):
    data, model = ease
    result = evaluate(model, data)
    members = data.items.present("image")
    recall, users = sliced_recall(result.answers[:, :20], result.questions.relevant, members)
    assert result.slices["items: with image"] == {"recall@20": recall, "users": users, "items": members.sum()}


def test_the_cold_slice_exists_in_cold_protocols_only(ease):
    data, model = ease
    assert "items: cold" not in evaluate(model, data).slices
    cold = make_shop(split="item_cold")
    result = evaluate(fit(parse_model("popularity"), cold, content=light_content(cold)), cold)
    assert "items: warm" not in result.slices and result.slices["items: cold"]["users"] == len(result.questions)


def test_items_added_after_the_fit_are_no_candidates():
    import polars as pl

    data = make_shop()
    settings = "ease_content:l2=50;prior=0.1;widen=0;k=3"
    model = fit(parse_model(settings), data, content=light_content(data))
    before = evaluate(model, data)
    twin = data.items.frame.head(1).with_columns(item_id=pl.lit("twin"))
    model.add_items(twin)
    assert model.scorer().n_items == data.n_items + 1
    after = evaluate(model, data)
    assert after.answers.max() < data.n_items
    assert after.metrics == pytest.approx(before.metrics)


def test_a_model_text_is_name_preset_and_settings():
    model = parse_model("ease_content:l2=50;k=4;weights={text: 2.0}", {"prior": 0.3})
    assert (model.config.l2, model.config.k, model.config.prior) == (50, 4, 0.3)
    assert model.config.weights == {"text": 2.0}


@pytest.mark.parametrize(
    ("text", "said"),
    [("ease@big", "preset"), ("ease:l2", "key=value"), ("ease:l3=2", "l2"), ("eas", "ease")],
)
def test_a_wrong_model_text_is_refused_with_a_hint(text, said):
    with pytest.raises(ConfigError, match=said):
        parse_model(text)
