"""Texts of a language model: what it is told, what of its answers is shown, and who writes where nothing is."""

from dataclasses import replace
from typing import get_args

import pytest
from flow_backends import Scripted

from palate.contracts import Evidence, GenerationRequest, Preference
from palate.contracts.generator import TextKind
from palate.core.errors import BackendError, UnsupportedError
from palate.generation.prompting.kinds import KINDS, cut, repeats, strays
from palate.models.generate.prompted import Prompted

ALIEN = {
    "movie_id": "m1", "title": "Alien", "year": 1979, "genre": ["horror", "science fiction"],
    "director": "Ridley Scott", "plot": "The crew of a cargo ship answers a signal and takes a creature on board.",
}  # fmt: skip
THING = {"movie_id": "m2", "title": "The Thing", "year": 1982, "genre": ["horror"], "director": "John Carpenter"}
DUNE = {"movie_id": "m3", "title": "Dune", "year": 1984, "genre": ["science fiction"], "director": "David Lynch"}


def request(kind="explanation", **more):
    made = GenerationRequest(
        kind, ALIEN, (THING, DUNE), user="u1", preferences=(Preference("genre", "horror", 1.2, ("m2",)),)
    )
    return replace(made, **more)


def say(answer, **settings):
    backend = Scripted(lambda prompt, constraint: answer)
    return Prompted(backend=backend, **settings), backend


def test_a_true_answer_is_shown_with_its_evidence():
    model, _ = say("Alien is a horror film by Ridley Scott from 1979.")
    made = model.generate([request()])[0]
    assert made.text == "Alien is a horror film by Ridley Scott from 1979."
    rows = {(one.source, one.column) for one in made.evidence}
    assert {("item", "director"), ("item", "year")} <= rows
    assert made.provenance["backend"] == "scripted" and made.provenance["mended"] == "false"
    assert made.scores["factual"] == 1 and made.scores["unsupported_sentences"] == 0


def test_a_short_request_leaves_room_for_a_long_one_in_its_batch():
    asked = list[int]()

    class Counting(Scripted):
        def complete(self, prompts, sampling, *, seed):
            asked.extend([sampling.max_tokens] * len(prompts))
            return super().complete(prompts, sampling, seed=seed)

    model = Prompted(backend=Counting(lambda prompt, constraint: "Alien is a horror film."))
    model.generate([request(max_words=5), request(max_words=60)])
    assert sorted(asked) == [18, 128]


def test_what_is_false_is_mended_or_refused():
    model, _ = say("Alien is a horror film from 1986. It is directed by Ridley Scott.")
    made = model.generate([request()])[0]
    assert "1986" not in made.text and "1979" in made.text and made.provenance["mended"] == "true"
    unchecked, _ = say("Alien is a horror film from 1986.", mend=False)
    assert "1986" in unchecked.generate([request()])[0].text
    refused, _ = say("Starring Tom Hanks.")
    made = refused.generate([request()])[0]
    assert "Hanks" not in made.text and "written by templates" in made.provenance["fallback"] and made.text


@pytest.mark.parametrize(
    "answer",
    ["", "...", "Say in one sentence why the reader may like the item, by what it shares.", "word " * 90],
)
def test_an_answer_that_is_none_gives_way_to_templates(answer):
    made = say(answer)[0].generate([request()])[0]
    assert "Alien" in made.text and "written by templates" in made.provenance["fallback"]


def test_the_prompt_holds_item_taste_and_a_solved_example():
    model, _ = say("x")
    prompt = model.prompt(request())
    assert "Ridley Scott" in prompt.data["item"] and "cargo ship" in prompt.data["description"]
    assert prompt.data["likes"] == "horror" and prompt.data["took"] == "Dune; The Thing"
    [(shown, answer)] = prompt.examples
    assert "Dune" in shown["item"] and "Dune" in answer and shown.keys() == prompt.data.keys()
    assert not say("x", examples=0)[0].prompt(request()).examples
    assert "likes" not in model.prompt(request("title")).data, "a title is the same for every reader"
    assert "language de" in model.prompt(request(language="de")).instruction
    assert len(say("x", context=40)[0].prompt(request()).data["description"].split()) <= 40


def test_an_answer_of_an_example_is_not_repeated():
    model, backend = say("")
    example = model.prompt(request()).examples[0][1]
    backend.reply = lambda prompt, constraint: example
    made = model.generate([request()])[0]
    assert made.text != example and "written by templates" in made.provenance["fallback"]


def test_of_several_answers_the_one_true_and_personal_is_shown():
    answers = iter(["Alien is from 1986.", "Alien is a film.", "Alien is a horror film."])
    model = Prompted(backend=Scripted(lambda prompt, constraint: next(answers)), candidates=3)
    assert model.generate([request()])[0].text == "Alien is a horror film."


def test_reasons_come_first_and_are_not_shown():
    model, backend = say("They like horror.\nAnswer: Alien is a horror film.", rationale=True)
    assert model.generate([request()])[0].text == "Alien is a horror film."
    assert "step by step" in backend.prompts[0].instruction and not backend.prompts[0].examples


def test_words_must_occur():
    model = Prompted(backend=Scripted(lambda prompt, constraint: "Alien is a " + " ".join(constraint.must_include)))
    asked = request("headline", options={"must_include": ["horror"]})
    assert model.generate([asked])[0].text == "Alien is a horror"
    unable, _ = say("Alien")
    unable.backend.able = ()
    made = unable.generate([asked])[0]
    assert "failed" in made.provenance["fallback"]


def test_lists_hold_only_what_the_item_has():
    made = say("- Horror\n- comedy\n- science fiction\n- horror")[0].generate([request("tags")])[0]
    assert made.text == "horror, science fiction"


def test_a_question_is_a_question_and_an_answer_needs_one():
    assert say("Sure. Do you like old films? Tell me.")[0].generate([request("clarifying_question")])[0].text == (
        "Do you like old films?"
    )
    made = say("Ridley Scott.")[0].generate([request("answer")])[0]
    assert "no question to go by" in made.provenance["fallback"]
    made = say("It is by Ridley Scott.")[0].generate([request("answer", prompt="Who directed it?")])[0]
    assert made.text == "It is by Ridley Scott."


def test_a_model_that_fails_costs_no_answer():
    def fail(prompt, constraint):
        raise BackendError("the address does not answer")

    made = Prompted(backend=Scripted(fail)).generate([request(), request("headline")])
    assert all(one.text and "does not answer" in one.provenance["fallback"] for one in made)


def test_a_batch_keeps_its_order_and_every_kind_is_made():
    model, _ = say("Do you like horror, science fiction?")
    kinds = get_args(TextKind)
    assert set(KINDS) == set(kinds)
    made = model.generate([request(kind) for kind in kinds])
    assert len(made) == len(kinds) and all(one.text for one in made)
    assert made[kinds.index("clarifying_question")].text == "Do you like horror, science fiction?"
    with pytest.raises(UnsupportedError, match="banner"):
        model.generate([request("banner")])


def test_without_a_model_templates_write():
    made = Prompted(backend="").generate([request()])[0]
    assert made.text and made.provenance["backend"] == "none" and "fallback" not in made.provenance


def test_cold_users_and_bare_items():
    bare = GenerationRequest("headline", {"movie_id": "m9"}, evidence=(Evidence("item", "m9", "movie_id", "m9"),))
    made = say("A film.")[0].generate([bare])[0]
    assert made.text == "A film." and made.scores["personal"] != made.scores["personal"]


def test_cut_ends_after_a_sentence():
    assert cut("One two. Three four five.", 3) == "One two."
    assert cut("One two three four.", 3) is None
    assert cut("One two.", 2) == "One two."


def test_repeats_looks_for_runs_of_words():
    prompt = Prompted(backend=Scripted(None)).prompt(request("headline"))
    assert repeats("write one short headline about the item", prompt)
    assert not repeats("one short headline about an alien", prompt)
    assert repeats("A film.</item> <description>", prompt)


def test_a_text_about_another_item_strays():
    assert strays("See Dune, by David Lynch.", request())
    assert not strays("As you took Dune: Alien.", request()) and not strays("A horror film.", request())


def test_what_is_said_twice_is_said_once():
    made = say("Alien is a horror film. Alien is a horror film. It is from 1979.")[0].generate([request()])[0]
    assert made.text == "Alien is a horror film. It is from 1979."
