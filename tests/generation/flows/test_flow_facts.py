"""The check of facts in flows: by default what a language model adds is refused, in every flow that writes."""

import pytest
from flow_backends import Scripted

from palate.contracts import Evidence, GenerationRequest
from palate.generation.facts import FactChecker, Lexicon
from palate.generation.flows.fact_check import FactCheck
from palate.models.generate.co_creation import CoCreation
from palate.models.generate.gcof import GCOF
from palate.models.generate.song_reasons import SongReasons

SONG = {"id": "s1", "title": "Blue River", "artist": "Ana Lima", "genre": ["folk"], "year": 1998, "price": 9.5}
COMMENTS = ["The guitar solo lasts 3 minutes and is lovely."]
OFFER = "20 % off today"
REQUEST = GenerationRequest("headline", SONG, options={"entitlements": ["", OFFER], "comments": COMMENTS})


@pytest.mark.parametrize(
    "text",
    ["Ana Lima's folk song Blue River from 1998", "Blue River, 20 % off today", "A guitar solo of 3 minutes",
     "A warm voice and a lovely guitar"],
)  # fmt: skip
def test_what_the_request_bears_out_is_accepted(text):
    assert FactCheck()(REQUEST, text)


@pytest.mark.parametrize(
    "text",
    ["Blue River, from 2003", "Blue River: 30 % off", "Meet Blue River by John Smith", "Blue River for 12 dollars",
     "The best song ever: Blue River"],
)  # fmt: skip
def test_what_it_does_not_is_refused(text):
    assert not FactCheck()(REQUEST, text)


def test_evidence_and_history_may_be_told_and_a_catalogue_sees_more():
    other = GenerationRequest("headline", SONG, [{"id": "s2", "title": "Old Oak", "artist": "Ben Moor"}])
    told = GenerationRequest(
        "headline",
        SONG,
        evidence=[
            Evidence("document", "d", "review", "The jury of the festival gave it a medal for its voices in 2004.")
        ],
    )
    assert FactCheck()(other, "Like Old Oak by Ben Moor") and not FactCheck()(REQUEST, "Like Old Oak by Ben Moor")
    check = FactCheck()
    assert check(told, "A medal for its voices in 2004") and not check(other, "A medal for its voices in 2004"), (
        "the facts are those of each request"
    )
    knows = FactCheck(FactChecker(Lexicon.learn([SONG, *({"id": str(n), "genre": "grindcore"} for n in range(9))])))
    assert not knows(REQUEST, "A grindcore song") and FactCheck()(REQUEST, "A grindcore song")


@pytest.mark.parametrize("kind", ["marketing_copy", "headline", "explanation"])
def test_every_flow_refuses_claims_of_a_language_model_by_default(kind):
    def invents(prompt, constraint):
        words = [] if constraint is None else [word for word in constraint.must_include if word]
        return f"Blue River , directed by John Smith: {', '.join(words)}"

    flow = {"marketing_copy": GCOF, "headline": CoCreation, "explanation": SongReasons}[kind]
    asked = GenerationRequest(kind, SONG, options={"comments": COMMENTS})
    settings = {"budget": 5} if kind == "marketing_copy" else {}
    assert "Smith" not in (flow(backend=Scripted(invents), **settings).generate([asked])[0].text or "")
    accepting = flow(backend=Scripted(invents), check=lambda request, text: True, **settings)
    assert "Smith" in accepting.generate([asked])[0].text
