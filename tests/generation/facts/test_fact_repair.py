"""Repair: the true value where it is known, else the sentence without the clause, else nothing."""

import pytest
from fact_examples import FILM, OTHERS, SCARF

from palate.contracts import Generated
from palate.generation.facts import FactChecker, FactualScorer, Lexicon


@pytest.fixture(scope="module")
def checker():
    return FactChecker(Lexicon.learn([FILM, SCARF, *OTHERS]))


@pytest.mark.parametrize(
    ("text", "mended"),
    (
        ("A comedy by John Lasseter.", "A comedy by John Lasseter."),
        ("It was released in 1996.", "It was released in 1995."),
        ("It runs 95 minutes.", "It runs 120 minutes."),
        ("Directed by Steven Spielberg.", "Directed by John Lasseter."),
        ("Steven Spielberg directed this comedy.", "John Lasseter directed this comedy."),
        ("Starring Tom Hanks and Holly Hunter.", "Starring Tom Hanks and Penélope Cruz."),
        ("You get a horror film with Tom Hanks.", "You get a comedy film with Tom Hanks."),
        ("A light film with Tom Hanks, loved in Casablanca.", "A light film with Tom Hanks."),
        ("Tom Hanks stars. It won an Oscar.", "Tom Hanks stars."),
    ),
)
def test_repairs(checker, text, mended):
    assert checker.repair(text, FILM) == mended
    assert not checker.check(mended, FILM).false_claims


def test_repairs_garments(checker):
    assert checker.repair("An orange scarf in wool.", SCARF) == "A red scarf in wool."
    assert checker.repair("Made of leather, it costs $15.", SCARF) == "Made of wool, it costs $12."


@pytest.mark.parametrize("text", ("It is not a comedy.", "The best film of all time.", "We give you Casablanca."))
def test_refuses_what_cannot_be_mended(checker, text):
    assert checker.repair(text + " Set in Casablanca.", FILM) is None


def test_scores(checker):
    scorer = FactualScorer(checker)
    generated = Generated(text="A comedy by John Lasseter. It was released in 1996.")
    assert scorer.score(FILM, [], generated) == {"factual": pytest.approx(2 / 3), "unsupported_sentences": 0.5}
    history = [{"movie_id": 6, "title": "Heat (1995)", "Director": "Michael Mann"}]
    liked = Generated(text="You liked Heat by Michael Mann.")
    assert scorer.score(FILM, history, liked)["factual"] == 1.0
    assert scorer.score(FILM, [], liked)["factual"] == 0.0
    assert scorer.score(FILM, [], Generated(image=b"x"))["factual"] != scorer.score(FILM, [], liked)["factual"]
