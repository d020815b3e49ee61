"""Metrics of texts against hand-computed values and, where there is one, a library."""

import math
from itertools import permutations

import numpy as np
import pytest

from palate.core.errors import DataError
from palate.generation.scoring import (
    NgramModel,
    bleu,
    chrf,
    distinct,
    feature_coverage,
    feature_diversity,
    feature_matching,
    meteor,
    model_fluency,
    reading_ease,
    rouge,
    unique_sentence_ratio,
)
from palate.generation.scoring.overlap import align

CAT, DOG = "the cat sat on the mat", "the dog sat on a mat"


def test_rouge_by_hand():
    scores = rouge([CAT], [DOG])
    # the, sat, on, mat of 6 and 6; "sat on" of 5 and 5 pairs; the longest common subsequence is the, sat, on, mat
    assert scores["rouge1"][0] == pytest.approx(4 / 6)
    assert scores["rouge2"][0] == pytest.approx(1 / 5)
    assert scores["rougeL"][0] == pytest.approx(4 / 6)


def test_rouge_stems_only_when_told():
    assert rouge(["running dogs"], ["run dog"])["rouge1"][0] == 0
    assert rouge(["running dogs"], ["run dog"], stem=True)["rouge1"][0] == 1


def test_bleu_and_chrf_by_hand():
    # 1- to 4-gram precisions of a text of 6 words against one that shares all but the last: 5/6, 4/5, 3/4, 2/3
    expected = 100 * (5 / 6 * 4 / 5 * 3 / 4 * 2 / 3) ** 0.25
    assert bleu(["a b c d e f"], ["a b c d e g"]) == pytest.approx(expected)
    assert chrf(["abc"], ["abc"]) == pytest.approx(100)
    # only the n-grams of one letter agree, in 1 of 2; pairs do not, longer ones do not exist
    assert chrf(["ab"], ["ac"]) == pytest.approx(100 * (0.5 + 0) / 2)


def test_meteor_by_hand():
    # six matches in one chunk: 1 - 0.5 / 6^3
    assert meteor([CAT], [CAT])[0] == pytest.approx(1 - 0.5 / 216)
    # the . sat on . mat: four matches in three chunks
    mean = 10 * (4 / 6) * (4 / 6) / (4 / 6 + 9 * 4 / 6)
    assert meteor([CAT], [DOG])[0] == pytest.approx(mean * (1 - 0.5 * (3 / 4) ** 3))
    assert meteor(["running"], ["runs"])[0] == pytest.approx(0.5)
    assert meteor(["cat"], ["dog"])[0] == 0


def test_meteor_agrees_with_nltk_where_the_alignment_is_unique():
    translate = pytest.importorskip("nltk.translate.meteor_score")

    class NoSynonyms:
        def synsets(self, word):
            return []

    pairs = [
        ("a quick fox jumps over lazy dogs", "the lazy dog jumped over a fox"),
        ("x y z", "z y x"),
        ("one two", "two three"),
    ]
    for text, reference in pairs:
        expected = translate.meteor_score([reference.split()], text.split(), wordnet=NoSynonyms())
        assert meteor([text], [reference])[0] == pytest.approx(expected)


def test_alignment_has_the_fewest_chunks_of_all():
    rng = np.random.default_rng(0)
    for _ in range(60):
        text, reference = (rng.choice(list("abc"), rng.integers(1, 6)).tolist() for _ in range(2))
        assert align(text, reference) == _exhaustive(text, reference), (text, reference)


def _exhaustive(text, reference):
    best = (0, 0)
    padded = [*range(len(reference)), *[-1] * len(text)]
    for places in set(permutations(padded, len(text))):
        pairs = [(i, p) for i, p in enumerate(places) if p >= 0]
        if any(text[i] != reference[p] for i, p in pairs):
            continue
        chunks = sum(k == 0 or (i - pairs[k - 1][0], p - pairs[k - 1][1]) != (1, 1) for k, (i, p) in enumerate(pairs))
        if (-len(pairs), chunks) < (-best[0], best[1]):
            best = (len(pairs), chunks)
    return best


def test_variety_by_hand():
    texts = ["a b a b", "a b", "a b "]
    assert distinct(texts, 1) == 2 / 8
    assert distinct(texts, 2) == 2 / 5
    assert unique_sentence_ratio(texts) == 2 / 3
    assert distinct([], 2) == 0 and unique_sentence_ratio([]) == 0
    with pytest.raises(DataError, match="at least 1 word"):
        distinct(texts, 0)


def test_features_by_hand():
    texts = ["Great battery life and a bright screen.", "The Screen is bright.", "Nothing of note."]
    features = ["battery life", "screen", "camera", "price"]
    assert feature_coverage(texts, features) == 2 / 4
    assert feature_matching(texts, ["battery life", "camera", "price"]) == 1 / 3
    assert feature_diversity(texts, features) == 1 / 3
    with pytest.raises(DataError, match="3 texts but 1 features"):
        feature_matching(texts, ["screen"])


def test_diversity_from_counts_equals_that_of_pairs(monkeypatch):
    from palate.generation.scoring import variety

    texts, features = ["a b", "b c", "a b c", "d"], ["a", "b", "c", "d"]
    pairs = feature_diversity(texts, features)
    monkeypatch.setattr(variety, "PAIRS", 0)
    assert feature_diversity(texts, features) == pairs == pytest.approx((1 + 2 + 2) / 6)


def test_numbers_of_texts_and_references_must_agree():
    for metric in (rouge, bleu, chrf, meteor):
        with pytest.raises(DataError, match="2 texts but 1 references"):
            metric(["a", "b"], ["a"])


def test_language_model_is_a_distribution_and_prefers_the_usual_order():
    model = NgramModel(["The red scarf is warm.", "The blue scarf is light.", "A red hat is warm. The hat is red."])
    for before in (("<s>", "<s>"), ("<s>", "the"), ("the", "red"), ("no", "such")):
        total = sum(model.probability(word, before) for word in model.words)
        assert total + model.probability("unknown", before) == pytest.approx(1)
    assert model.log_probability("The red scarf is warm.") > model.log_probability("Warm is scarf red the.")
    assert model.log_probability("The red scarf.") > model.log_probability("The grommet scarf.")
    assert math.isnan(model.log_probability("!"))
    with pytest.raises(DataError, match="no words"):
        NgramModel(["", "!"])


def test_fluency_of_a_backend_is_by_word():
    class Backend:
        def log_likelihood(self, prompts, answers):
            assert len(prompts) == len(answers)
            return [-6.0 for _ in answers]

    scores = model_fluency(["one two three", ""], Backend())
    assert scores[0] == -2 and math.isnan(scores[1])


def test_reading_ease_by_hand():
    # six words, one sentence, six syllables
    assert reading_ease("The cat sat on the mat.") == pytest.approx(206.835 - 1.015 * 6 - 84.6)
    assert reading_ease("Extraordinary considerations necessitate elaboration.") < 0
    assert math.isnan(reading_ease(""))
