"""Constrained decoding: of many random draws of a model without sense, none is invalid."""

import json
import re

import numpy as np
import pytest

from palate.contracts import Constraint, Prompt, Sampling
from palate.core.errors import ConfigError
from palate.generation.backends.transformers import TransformersBackend

IDS = ["item-1", "item-12", "item-133", "the thing (1982)", 'q"uote\\d', "é1"]
SCHEMA = {
    "type": "object",
    "properties": {
        "item": {"enum": IDS[:3]},
        "reason": {"type": "string"},
        "stars": {"type": "integer", "minimum": 1, "maximum": 5},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "more": {"type": "object", "properties": {"year": {"type": "integer"}}, "required": ["year"]},
    },
    "required": ["item", "reason", "stars", "tags", "more"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def backend(llama):
    return TransformersBackend(llama, batch_size=32)


def _is_answer(text):
    value = json.loads(text)
    return (
        list(value) == list(SCHEMA["required"])
        and value["item"] in IDS[:3]
        and isinstance(value["reason"], str)
        and value["stars"] in range(1, 6)
        and len(value["tags"]) >= 1
        and all(isinstance(tag, str) for tag in value["tags"])
        and isinstance(value["more"]["year"], int)
    )


def _balanced(text):
    depth = 0
    for char in text:
        depth += {"(": 1, ")": -1}.get(char, 0)
        if depth < 0:
            return False
    return depth == 0 and set(text) <= set("()x") and "x" in text and "()" not in text


CASES = {
    "choices": (Constraint(choices=IDS), lambda text: text in IDS, 12),
    "schema": (Constraint(json_schema=SCHEMA), _is_answer, 64),
    "regex": (Constraint(regex=r"[a-z ]{3,}, \d{4}[.!]"), re.compile(r"[a-z ]{3,}, \d{4}[.!]").fullmatch, 12),
    "grammar": (Constraint(grammar='start: "x" | "(" start+ ")"'), _balanced, 10),
    "words": (
        Constraint(must_include=["lamp", "red wool"], must_exclude=["a", "film"]),
        lambda text: (
            all(re.search(rf"(?<!\w){word}(?!\w)", text, re.I) for word in ("lamp", "red wool"))
            and not re.search(r"(?<!\w)(a|film)(?!\w)", text, re.I)
        ),
        14,
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_no_draw_is_invalid(backend, name, temperature):
    constraint, is_valid, max_tokens = CASES[name]
    n = 24 if name in ("words", "schema") else 40
    sampling = Sampling(max_tokens, temperature=temperature, constraint=constraint)
    answers = backend.complete([Prompt("Say anything.")] * n, sampling, seed=int(temperature))
    invalid = [answer.text for answer in answers if not is_valid(answer.text)]
    assert invalid == [] and len(answers) == n
    assert all(answer.tokens_out <= max_tokens for answer in answers)
    if name != "choices":
        # the limit came before the model's own end at least once: the end was forced, and is valid
        assert any(answer.finished == "length" for answer in answers)
    assert len({answer.text for answer in answers}) > 1


def test_a_limit_that_no_valid_answer_fits_is_refused_before_anything_is_drawn(backend):
    sampling = Sampling(10, constraint=Constraint(json_schema=SCHEMA))
    with pytest.raises(ConfigError, match="at most 10 tokens"):
        backend.complete([Prompt("Say anything.")], sampling, seed=0)
    with pytest.raises(ConfigError, match="no room"):
        words = Constraint(must_include=["restore", "wooden shelf"])
        backend.complete([Prompt("Say anything.")], Sampling(4, constraint=words), seed=0)


def test_the_model_chooses_among_what_is_allowed(backend):
    """The most probable choice, token by token, is taken at temperature 0."""
    prompt = Prompt("Which one?", {"item": "a lamp"})
    constraint = Constraint(choices=["a", "b", "c", "d"])
    (answer,) = backend.complete([prompt], Sampling(4, constraint=constraint), seed=0)
    scores = backend.log_likelihood([prompt] * 4, list(constraint.choices))
    assert answer.text == constraint.choices[int(np.argmax(scores))]
    assert np.isclose(answer.log_probability, max(scores), atol=1e-4)


def test_words_are_placed_where_they_are_most_probable(backend):
    prompt, limit, compared = Prompt("Say anything."), 24, 0
    constraint = Constraint(must_include=["lamp"])
    for seed in range(8):
        sampling = Sampling(limit, temperature=1.0, stop=["e"], constraint=constraint)
        (answer,) = backend.complete([prompt], sampling, seed=seed)
        # what the model says where room is left for the word
        sampling = Sampling(limit - backend.count(" lamp"), temperature=1.0, stop=["e"])
        (free,) = backend.complete([prompt], sampling, seed=seed)
        others = [text for text in (f"lamp {free.text}", f"{free.text} lamp") if backend.count(text) <= limit]
        scores = backend.log_likelihood([prompt] * (1 + len(others)), [answer.text, *others])
        assert np.isclose(answer.log_probability, scores[0], atol=1e-3)
        if others and "lamp" not in free.text:
            compared += 1
            assert scores[0] >= max(scores[1:]) - 1e-4
            assert "".join(answer.text.replace("lamp", "").split()) == "".join(free.text.split())
    assert compared


def test_choices_share_the_prompt(backend):
    before = backend.local.causal.tokens_read
    prompt = Prompt("Which one of all these things would you take? " * 4)
    backend.log_likelihood([prompt] * 6, IDS)
    length = len(backend.layout.tokenizer(backend.layout.text(prompt))["input_ids"])
    assert backend.local.causal.tokens_read - before < length + 6 * 20
