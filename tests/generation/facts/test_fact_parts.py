"""Parts of the check: measures, sentences, the catalogue's lexicon; and that no text makes it fail."""

import pytest
from fact_examples import FILM, OTHERS, SCARF
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.generation.facts import FactChecker, Lexicon
from palate.generation.facts.measures import find_measures
from palate.generation.facts.sheet import split_values, title_variants
from palate.generation.facts.words import sentences, tokenize, word_lists

CHECKER = FactChecker(Lexicon.learn([FILM, SCARF, *OTHERS]))
PIECES = """the film stars Tom Hanks not never 1995 '95 two hours and a half $12 12,50 € , ; : ( ) “ ” " ' by directed
without best Lasseter's un- 1990s 3 de mayo 18-24 wool-free Komödie 東京 ¹ . ! ? 22.11.1995 1h21 to # % ... U.S. A"""
WORDS = st.sampled_from([*PIECES.split(), "\n", "\u0301"])


def measures(text):
    return [(m.kind, m.low, m.high, m.dimension) for m in find_measures(text, tokenize(text))]


@pytest.mark.parametrize(
    ("text", "expected"),
    (
        ("81 min", ("number", 81, 81, "time")),
        ("1 hour 21 minutes", ("number", 81, 81, "time")),
        ("1h21", ("number", 81, 81, "time")),
        ("two and a half hours", ("number", 150, 150, "time")),
        ("an hour and a half", ("number", 90, 90, "time")),
        ("one hundred and four minutes", ("number", 104, 104, "time")),
        ("1,200 dollars", ("number", 1200, 1200, "money")),
        ("12,50 €", ("number", 12.5, 12.5, "money")),
        ("10-12 cm", ("number", 100, 120, "length")),
        ("nineteen ninety-five", ("year", 1995, 1995, "")),
        ("two thousand and five", ("year", 2005, 2005, "")),
        ("'95", ("year", 1995, 1995, "")),
        ("the mid-nineties", ("decade", 1990, 1999, "")),
        ("1994–1996", ("year", 1994, 1996, "")),
    ),
)
def test_measures(text, expected):
    assert measures(text) == [expected]


def test_bounds():
    (fact,) = find_measures("120 min", tokenize("120 min"))
    for text, true in (
        ("about 125 minutes", True), ("about 150 minutes", False), ("over 100 minutes", True),
        ("over 2 hours", True), ("under two hours", True), ("less than 90 minutes", False),
        ("at least 60 minutes", True), ("up to 150 minutes", True),
    ):  # fmt: skip
        (claim,) = find_measures(text, tokenize(text))
        assert claim.agrees(fact) == true, text


def test_sentences_do_not_end_at_titles_and_initials():
    text = 'Mr. Fox and J. R. Ewing came. "Good." They left!\nA list'
    parts = [text[start:stop] for start, stop in sentences(text)]
    assert parts == ["Mr. Fox and J. R. Ewing came.", '"Good."', "They left!", "A list"]


def test_values_and_titles():
    assert split_values("Tom Hanks, Michael J. Fox (voice)") == ["Tom Hanks", "Michael J. Fox"]
    assert split_values(["a|b", "c"]) == ["a", "b", "c"]
    assert split_values("It begins. Then it ends well.") == []
    assert "The Matrix" in title_variants("Matrix, The (1999)")
    assert "La Vita è bella" in title_variants("Life Is Beautiful (La Vita è bella) (1997)")


def test_lexicon_tells_ordinary_words_by_the_texts_of_items_without_the_value():
    texts = ["the gothic family at dinner", "a quiet family", "one more family", "a lonely house"] * 40
    items = [
        {"id": i, "Genre": "Gothic" if i % 4 == 0 else "Family" if i % 4 == 3 else "Noir", "Plot": text}
        for i, text in enumerate(texts)
    ]
    lexicon = Lexicon.learn(items)
    assert lexicon.is_ordinary(("family",)) and not lexicon.is_ordinary(("gothic",))
    assert lexicon.relations >= {"genre"}
    # ids, addresses and columns of nearly distinct values are no attributes
    odd = Lexicon.learn([{"item_id": f"abc{i}", "url": f"http://a/b{i}", "code": f"code{i} x"} for i in range(100)])
    assert not {"abc1", "code1"} & {word for key in odd.values.table for word in key}


def test_word_lists_are_texts_without_repeated_keys():
    def scalars(value):
        if isinstance(value, dict):
            return [*value, *(leaf for part in value.values() for leaf in scalars(part))]
        return [leaf for part in value for leaf in scalars(part)] if isinstance(value, list) else [value]

    assert all(isinstance(scalar, str) and scalar == scalar.lower() for scalar in scalars(word_lists()))
    assert "no" in word_lists()["negators"]


@settings(max_examples=80)
@given(st.one_of(st.text(max_size=60), st.lists(WORDS, max_size=14).map(" ".join)))
def test_no_text_makes_the_check_fail_and_repairs_pass_it(text):
    report = CHECKER.check(text, FILM)
    assert 0 <= report.factual <= 1
    assert all(text[claim.start : claim.stop] == claim.text for claim in report.claims)
    mended = CHECKER.repair(text, FILM)
    if report.false_claims:
        assert mended is None or (mended != text and not CHECKER.check(mended, FILM).false_claims)
    else:
        assert mended == text
