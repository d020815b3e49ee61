"""Words that must or must not occur."""

import random

import pytest

from palate.generation.decoding.words import Exclusion, ExclusionAutomaton, holds, occurs, place_words


@pytest.mark.parametrize(
    ("word", "text", "expected"),
    [
        ("cat", "A Cat, sleeping", True),
        ("cat", "concatenate", False),
        ("cat", "cats", False),
        ("red dog", "a RED DOG.", True),
        ("C++", "learn c++.", True),
        ("C++", "learn c++11", True),
        ("über", "Über alles", True),
        ("straße", "STRASSE", True),
        ("a/b-c", "x A/B-C y", True),
    ],
)
def test_a_word_occurs_as_a_whole_word_in_any_case(word, text, expected):
    assert occurs(word, text) is expected


def _accepts(automaton, tokens, text):
    guide = Exclusion(automaton, [len(tokens) - 1])
    for byte in text.encode():
        token = tokens.index(bytes([byte]))
        if not guide.allowed()[token]:
            return False
        guide.push(token)
    return bool(guide.allowed()[-1])


def test_the_automaton_refuses_exactly_the_texts_in_which_a_word_occurs():
    words, draw = ["ab", "b a", "aa.", "abab"], random.Random(0)
    tokens = [bytes([byte]) for byte in range(256)] + [b""]
    automaton = ExclusionAutomaton(words, tokens)
    verdicts = []
    for _ in range(1500):
        text = "".join(draw.choice("aaabb B.") for _ in range(draw.randrange(12)))
        verdicts.append(_accepts(automaton, tokens, text))
        assert verdicts[-1] is holds(text, (), words), text
    assert 100 < sum(verdicts) < 1400


def test_the_automaton_never_lets_a_word_through_beside_letters_beyond_ascii():
    tokens = [bytes([byte]) for byte in range(256)] + [b""]
    automaton = ExclusionAutomaton(["bad", "über", "été"], tokens)
    for text in ["“bad”", "so Über", "un été.", "BAD", "ÉTÉ", "–bad–", "badé über"]:
        assert not _accepts(automaton, tokens, text), text
    assert all(_accepts(automaton, tokens, text) for text in ["badly", "übermut", "étée", "a naïve embed"])


def test_tokens_of_several_bytes_are_refused_where_they_hold_or_complete_a_word():
    tokens = [b"b", b"ad", b"adge", b" bad ", b" bad", b"ly", b"."]
    guide = Exclusion(ExclusionAutomaton(["bad"], tokens), [])
    assert guide.allowed().tolist() == [True, True, True, False, True, True, True]
    guide.push(0)
    assert guide.allowed().tolist() == [True, True, True, False, True, True, True]
    guide.push(1)
    # after "bad" only what makes another word of it
    assert guide.allowed().tolist() == [True, True, True, False, False, True, False]
    assert guide.finish([0, 1]) == [0]


def test_a_missing_word_is_put_where_the_text_is_most_probable():
    scored = []

    def score(texts):
        scored.extend(texts)
        return [float(text.startswith("a quiet film")) for text in texts]

    assert place_words("a film by the sea.", ["sea", "quiet"], score, lambda text: True) == "a quiet film by the sea."
    assert "a film by the sea quiet." in scored and "quiet a film by the sea." in scored
    assert place_words("a film", ["quiet"], score, lambda text: len(text) < 8) is None
