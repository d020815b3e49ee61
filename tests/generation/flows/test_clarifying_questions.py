"""Clarifying questions: facets by information, templates, a language model's continuations, and the dialogue."""

import math

import numpy as np
import pytest
from flow_backends import Judge, Scripted

from palate.contracts import GenerationRequest
from palate.core.errors import ConfigError
from palate.generation.flows.dialogue import ClarifyingDialogue
from palate.generation.flows.facets import NONE, FacetTable, entropy
from palate.generation.flows.questions import TEMPLATES, by_rule, cleaned, label, plainness, prompts
from palate.models.generate.clarifying_questions import ClarifyingQuestions

COLOURS = ("red", "blue", "green", "red", "blue", "green", "red", "blue")
ITEMS = [
    {"id": f"i{n}", "title": f"Thing {n}", "colour": colour, "shape": "round" if n else "square", "sold": "online"}
    for n, colour in enumerate(COLOURS)
]
EVEN = np.ones(8)


def request(**options):
    return GenerationRequest("clarifying_question", ITEMS[0], prompt="a thing", options={"results": ITEMS, **options})


def test_the_most_informative_column_is_asked_and_its_bits_are_right():
    table = FacetTable(ITEMS)
    assert set(table.rows) == {"colour", "shape", "sold"}, "neither ids nor titles"
    colour, shape = table.best(EVEN)
    assert colour.column == "colour" and set(colour.values) == {"red", "blue"}
    expected = -(3 / 8 * math.log2(3 / 8)) * 2 - 2 / 8 * math.log2(2 / 8)
    assert colour.usefulness == pytest.approx(expected)
    assert shape.column == "shape" and shape.usefulness == pytest.approx(entropy([1], 8))
    assert table.facet("sold", EVEN) is None, "its answer is known"
    assert table.best(EVEN, {("colour", "red"), ("colour", "blue")})[0].values == ("green",)
    only_first = np.eye(8)[0]
    assert table.best(only_first) == []


def test_an_item_with_several_values_counts_for_the_first_that_is_offered():
    items = [{"id": "a", "kind": ["x", "y"]}, {"id": "b", "kind": "y"}, {"id": "c", "kind": "z"}, {"id": "d"}]
    table = FacetTable(items)
    facet = table.facet("kind", np.ones(4))
    parts = {answer: table.matching(facet, answer).astype(int) for answer in (*facet.values, NONE)}
    assert sum(parts.values()).tolist() == [1, 1, 1, 1], "every item gives exactly one answer"
    assert facet.usefulness == pytest.approx(entropy([part.sum() for part in parts.values()], 4))


def test_there_is_a_question_by_each_template_and_labels_are_words():
    facet = FacetTable(ITEMS).best(EVEN)[0]
    filled = by_rule(facet)
    assert len(filled) == len(TEMPLATES) == 8 == len(set(filled))
    assert all("red" in one and "blue" in one and one.endswith("?") for one in filled)
    assert filled[6] == f"Which colour do you want: {facet.values[0]} or {facet.values[1]}?"
    assert label("releaseYear") == "release year" and label("main_colour") == "main colour"


def test_plain_questions_are_more_natural():
    good, *bad = ("Do you prefer red or blue?", "do you prefer red or blue", "Do you prefer RED_SHOES [x]?",
                  "Which colour colour do you want? Or?", "Red?")  # fmt: skip
    values = plainness([good, *bad])
    assert values[0] == 1.0 and max(values[1:]) < 1.0


def test_answers_narrow_the_list_and_a_wrong_one_loses_nothing():
    dialogue = ClarifyingDialogue(ITEMS, EVEN)
    facet = dialogue.facets()[0]
    dialogue.answer(facet, NONE)
    assert {int(row) for row in dialogue.ranking()[:2]} == {2, 5}
    assert dialogue.weights.min() > 0 and dialogue.weights.sum() == pytest.approx(1)
    again = dialogue.facets()
    assert not {(one.column, value) for one in again for value in one.values} & {("colour", "red"), ("colour", "blue")}
    with pytest.raises(ConfigError, match="none of these"):
        dialogue.answer(facet, "none of thes")
    with pytest.raises(ConfigError, match="8 results"):
        ClarifyingDialogue(ITEMS, np.zeros(8))
    with pytest.raises(ConfigError, match="trust"):
        ClarifyingDialogue(ITEMS, trust=1.0)


def test_questions_find_a_hidden_item():
    rng = np.random.default_rng(0)
    values = [[f"{column}{n}" for n in range(4)] for column in "abcd"]
    items = [{"id": str(n), **{column: str(rng.choice(values[at])) for at, column in enumerate("abcd")}}
             for n in range(120)]  # fmt: skip
    for target in rng.choice(120, 10, replace=False):
        dialogue = ClarifyingDialogue(items, np.ones(120))
        for _ in range(8):
            facet = dialogue.facets(1)[0]
            fits = [value for value in facet.values if dialogue.table.holds(facet.column, value)[target]]
            dialogue.answer(facet, fits[0] if fits else NONE)
        assert target in dialogue.ranking()[:10]


def test_the_generator_asks_by_rule_without_a_language_model():
    model = ClarifyingQuestions()
    made = model.generate([request()])[0]
    assert made.provenance["facet"] == "colour" and made.text in by_rule(FacetTable(ITEMS).best(1 / (EVEN.cumsum()))[0])
    assert {(one.column, one.value) for one in made.evidence} >= {("colour", "red")}
    later = model.generate([request(asked=[("colour", "red"), ("colour", "blue"), ("colour", "green")])])[0]
    assert later.provenance["facet"] == "shape"
    only = model.generate([request(columns=["sold"])])[0]
    assert only.text is None and "no facet" in only.provenance["fallback"]
    assert model.generate([request()], seed=1)[0].text == made.text


def test_usefulness_and_naturalness_are_weighed():
    def odd(texts):
        return [1.0 if "shape" in text or "round" in text or "square" in text else 0.0 for text in texts]

    useful = ClarifyingQuestions(naturalness=odd, usefulness_weight=1.0).generate([request(weights=EVEN)])[0]
    natural = ClarifyingQuestions(naturalness=odd, usefulness_weight=0.0).generate([request(weights=EVEN)])[0]
    assert useful.provenance["facet"] == "colour" and natural.provenance["facet"] == "shape"


def test_a_language_model_continues_the_templates_and_its_choices_are_checked():
    def reply(prompt, constraint):
        if prompt.answer_start.startswith("Do you prefer"):
            return f"something {' or '.join(constraint.must_include)}? Then buy it."
        if prompt.answer_start.startswith("Would"):
            return "no question " + " ".join(constraint.must_include)
        return f"{prompt.answer_start} {' or maybe '.join(constraint.must_include)}?"

    def likelihood(prompt, answer):
        return -0.1 if "something" in answer else -40.0

    backend = Judge(reply, likelihood)
    made = ClarifyingQuestions(backend=backend).generate([request(weights=EVEN)])[0]
    assert made.text.startswith("Do you prefer something") and made.text.endswith("?") and "buy" not in made.text
    assert made.provenance["backend"] == "scripted" and "fallback" not in made.provenance
    asked = [one for one in backend.prompts if one.answer_start]
    assert len(asked) == 8 * 2 and all(one.data["search"] == "a thing" for one in asked)
    assert not any("a thing" in one.instruction for one in backend.prompts)
    unable = ClarifyingQuestions(backend=Scripted(reply, able=())).generate([request(weights=EVEN)])[0]
    assert unable.provenance["fallback"] == "filled by rule" and unable.text.endswith("?")


def test_a_continuation_without_its_choices_is_no_question():
    facet = FacetTable(ITEMS).best(EVEN)[0]
    assert cleaned("Do you prefer", "red?", facet) is None
    assert cleaned("Do you prefer", "red or blue", facet) is None
    assert cleaned("Do you prefer", "red or  blue ? And?", facet) == "Do you prefer red or blue?"
    assert cleaned("Do you prefer", "do you prefer red or blue?", facet) == "do you prefer red or blue?"
    assert len(prompts(facet, None)[0]) == 8
