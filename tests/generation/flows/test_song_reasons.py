"""Reasons for songs: retrieval, writing, ranking, each switchable; attribution; nothing private is shown."""

import pytest
from flow_backends import Scripted

from palate.contracts import Evidence, GenerationRequest, Preference
from palate.generation.flows.private import is_private
from palate.generation.flows.sentences import candidates, overlap, split_sentences
from palate.models.generate.song_reasons import SongReasons

SONG = {
    "song_id": "s1",
    "title": "Slow River",
    "artist": "Mara Quint",
    "tags": ["folk", "acoustic", "night"],
    "description": "A quiet folk tune, recorded in one night with two guitars. Mixed in 1987 on tape.",
}
COMMENTS = [
    {"id": "c1", "author": "Tobias Lund", "text": "The drums are far too loud for my small room. Great for parties!"},
    {"id": "c2", "author": "rainy_fox", "text": "I play this acoustic gem on every night drive. Mail me: fox@rain.net"},
    {"id": "c3", "author": "Ines", "text": "Ines here, and this made me cry at the lake. Call me on 0151 234 5678 ok?"},
    {"id": "c4", "author": "Mara Quint", "text": "Thanks to all who came to the show by Mara Quint, so lovely."},
    {"id": "c5", "author": "x", "text": "As Tobias said it is really rather loud here."},
]
PRIVATE = ("tobias", "lund", "rainy", "fox@", "ines", "0151")


def request(tags=("acoustic", "night drive"), **more):
    return GenerationRequest("explanation", SONG, options={"comments": COMMENTS, "tags": tags}, **more)


@pytest.mark.parametrize(
    "text",
    ["write to a.b@c.org", "write to ann (at) mail (dot) com", "see https://x.y", "at www.songs",
     "go to mysongs.com now", "thanks @annie", "ring +49 (151) 234-5678", "My name is Al",
     "dm me please", "so said Ann Lee", "as lee knows"],
)  # fmt: skip
def test_private_sentences_are_recognised(text):
    assert is_private(text, ["Ann Lee"])


@pytest.mark.parametrize("text", ["A song of 1987, in 4/4 at 120 bpm.", "Leeway for annals", "He sang at the lake."])
def test_others_are_not(text):
    assert not is_private(text, ["Ann Lee"])


def test_candidates_are_sentences_with_their_place():
    assert split_sentences("One two. Three!\nFour? Five") == ["One two.", "Three!", "Four?", "Five"]
    found = {one.text: one.evidence for one in candidates(request())}
    night = "I play this acoustic gem on every night drive."
    assert found[night] == Evidence("document", "c2", "comment", night)
    assert found["Mixed in 1987 on tape."] == Evidence("item", "s1", "description", "Mixed in 1987 on tape.")
    assert any("Mara Quint" in text for text in found), "the artist may be named though a commenter is called so"
    shown = " ".join(found).casefold()
    assert not any(word in shown for word in PRIVATE) and "Great for parties!" not in found
    extra = Evidence("document", "d9", "review", "A review that praises the acoustic sound.")
    assert extra in [one.evidence for one in candidates(request(evidence=[extra]))]


def test_the_reason_suits_the_user_and_says_where_it_is_from():
    made = SongReasons().generate([request()])[0]
    quote = "I play this acoustic gem on every night drive."
    assert made.text == f"For your taste for acoustic and night drive, a listener says: “{quote}”"
    assert made.evidence[0].id == "c2" and made.scores["personal"] > 0 and made.provenance["backend"] == "none"
    loud = SongReasons().generate([request(tags=("drums", "loud"))])[0]
    assert "drums are far too loud" in loud.text and loud.evidence[0].id == "c1"
    by_preference = GenerationRequest("explanation", SONG, preferences=[Preference("tags", "folk", 1.0)])
    made = SongReasons().generate([by_preference])[0]
    assert made.text.startswith("For your taste for folk, from its description: “A quiet folk tune")
    assert {one.column for one in made.evidence} == {"description", "tags"}


def test_each_step_can_be_switched_off():
    quoted = SongReasons(write=False).generate([request()])[0]
    assert quoted.text.startswith("A listener says: “I play this acoustic gem")
    first = SongReasons(rerank=False, write=False).generate([request()])[0]
    assert first.text == "A listener says: “The drums are far too loud for my small room.”"
    bare = SongReasons(retrieve=False).generate([request()])[0]
    assert bare.text == "Slow River: acoustic, as you like." and bare.evidence == (
        Evidence("item", "s1", "tags", "acoustic"),
    )
    assert len(SongReasons(candidates=2).reasons(request())) == 2


def test_item_weight_moves_between_song_and_user():
    user = SongReasons(item_weight=0.0, write=False).reasons(request(tags=("drums", "loud")))[0]
    song = SongReasons(item_weight=1.0, write=False).reasons(request(tags=("drums", "loud")))[0]
    assert "drums" in user.text and "drums" not in song.text and song.item > user.item


def test_relevance_is_by_rare_words_and_can_be_handed_in():
    values = overlap(["the cat sat", "the dog sat", "a bird"], "cat")
    assert values[0] > 0 == values[1] == values[2] and overlap(["cat"], "cat") == [pytest.approx(1.0)]

    def longest(texts, about):
        return [len(text) for text in texts]

    found = SongReasons(relevance=longest, write=False).reasons(request())
    assert [len(one.said) for one in found] == sorted((len(one.said) for one in found), reverse=True)


def test_a_language_model_writes_and_what_it_leaks_or_invents_is_refused():
    def reply(prompt, constraint):
        said = prompt.data["said of it"]
        if "drums" in said:
            return "Tobias finds it loud."
        return (
            "It suits night drives since 1999."
            if "gem" in said
            else "An acoustic folk song for a night drive of yours."
        )

    backend = Scripted(reply)
    model = SongReasons(backend=backend)
    texts = [one.text for one in model.reasons(request())]
    assert texts[0].startswith("An acoustic folk song") or "acoustic gem" in texts[0]
    assert not any("Tobias" in text or "1999" in text for text in texts)
    assert any(
        one.written and Evidence("item", "s1", "tags", "folk") in one.evidence for one in model.reasons(request())
    )
    said = " ".join(value for prompt in backend.prompts for value in prompt.data.values()).casefold()
    assert not any(word in said for word in PRIVATE), "the model is not told either"


def test_what_takes_up_nothing_of_the_song_is_no_reason():
    made = SongReasons(backend=Scripted(lambda prompt, constraint: "Qzx vvrt \ufffd it")).generate([request()])[0]
    assert "acoustic gem" in made.text and made.provenance["fallback"] == "quoted, not written"


def test_nothing_private_is_ever_shown():
    for write in (True, False):
        for rerank in (True, False):
            for one in SongReasons(write=write, rerank=rerank, candidates=99).reasons(request(tags=("loud", "lake"))):
                assert not any(word in one.text.casefold() for word in PRIVATE), one.text


def test_length_is_kept_and_an_empty_song_has_its_title():
    assert SongReasons().generate([request(max_words=3)])[0].text is None
    assert SongReasons().generate([GenerationRequest("explanation", {"id": 1, "title": "Hm"})])[0].text == "Hm."
