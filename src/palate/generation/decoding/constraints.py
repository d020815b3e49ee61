"""Constraints as grammars of llguidance, and the check that a text keeps one; words are kept apart, in ``words``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

from palate.contracts import Constraint
from palate.core.errors import ConfigError, MissingDependencyError, UnsupportedError
from palate.generation.decoding.words import holds


def require_llguidance() -> None:
    """Refuse constraints where llguidance is absent.

    Raises:
        MissingDependencyError: without llguidance.
    """
    if find_spec("llguidance") is None:
        raise MissingDependencyError("llguidance", "generate")


def is_empty(constraint: Constraint | None) -> bool:
    """Whether a constraint allows every text.

    Args:
        constraint: as in :class:`palate.contracts.Sampling`.
    """
    return constraint is None or constraint == Constraint()


def has_grammar(constraint: Constraint) -> bool:
    """Whether a constraint is kept by a grammar, beside or in place of words.

    Args:
        constraint: as in :class:`palate.contracts.Sampling`.
    """
    return bool(constraint.choices or constraint.grammar) or (
        constraint.json_schema is not None or constraint.regex is not None
    )


def check_constraint(constraint: Constraint) -> None:
    """Refuse what no text can keep, and what cannot be combined.

    Args:
        constraint: as in :class:`palate.contracts.Sampling`.

    Raises:
        ConfigError: for several of choices, schema, pattern and grammar, an empty word, or a word that is both
            demanded and forbidden.
        UnsupportedError: for words beside a schema, a pattern or a grammar.
    """
    forms = [constraint.choices, constraint.json_schema is not None, constraint.regex is not None, constraint.grammar]
    if sum(map(bool, forms)) > 1:
        raise ConfigError("a constraint is one of choices, json_schema, regex and grammar", key="constraint")
    words = [*constraint.must_include, *constraint.must_exclude]
    if any(not word.strip() for word in words):
        raise ConfigError("a word is empty", key="must_include, must_exclude")
    if words and any(forms[1:]):
        raise UnsupportedError(
            "words cannot be demanded or forbidden beside a schema, a pattern or a grammar", hint="state them in it"
        )
    if clash := [word for word in constraint.must_include if not holds(word, (), constraint.must_exclude)]:
        raise ConfigError("the word is both demanded and forbidden", key=clash[0])
    if constraint.choices and not allowed_choices(constraint):
        raise ConfigError("no choice has the demanded words without the forbidden ones", key="choices")


def allowed_choices(constraint: Constraint) -> list[str]:
    """The choices that have the demanded words and none of the forbidden ones.

    Args:
        constraint: with choices.
    """
    include, exclude = constraint.must_include, constraint.must_exclude
    return [text for text in dict.fromkeys(constraint.choices) if holds(text, include, exclude)]


def grammar_of(constraint: Constraint) -> str:
    """The grammar of llguidance for choices, a schema, a pattern or a grammar.

    Args:
        constraint: one that :func:`check_constraint` accepts and that has one of the four.

    Raises:
        ConfigError: for a schema, pattern or grammar that is not valid.
        MissingDependencyError: without llguidance.
    """
    require_llguidance()
    from llguidance import LLMatcher

    if constraint.json_schema is not None:
        schema = json.dumps(constraint.json_schema)
        grammar = LLMatcher.grammar_from_json_schema(schema, overrides={"whitespace_flexible": False})
    elif constraint.grammar:
        grammar = constraint.grammar
    elif constraint.choices:
        grammar = "start: " + " | ".join(json.dumps(text, ensure_ascii=False) for text in allowed_choices(constraint))
    else:
        grammar = f"start: /{_in_lark(constraint.regex or '')}/"
    if fault := _fault(grammar):
        key = "json_schema" if constraint.json_schema is not None else "grammar" if constraint.grammar else "regex"
        raise ConfigError(f"the constraint is not valid: {fault}", key=key)
    return str(grammar)


def satisfies(constraint: Constraint | None, text: str) -> bool:
    """Whether a text keeps a constraint.

    Args:
        constraint: as in :class:`palate.contracts.Sampling`.
        text: a whole answer.

    Raises:
        ConfigError: for a constraint that is not valid.
        MissingDependencyError: without llguidance, where the constraint needs it.
    """
    if constraint is None or is_empty(constraint):
        return True
    if constraint.choices:
        return text in allowed_choices(constraint)
    if not has_grammar(constraint):
        return holds(text, constraint.must_include, constraint.must_exclude)
    grammar = grammar_of(constraint)
    return _accepts(grammar, text) or (constraint.json_schema is not None and _accepts(grammar, _compact(text)))


def in_schema_order(value: Any, schema: Mapping[str, Any]) -> Any:
    """JSON with the keys of each object in the order in which its schema names them.

    Args:
        value: parsed JSON.
        schema: its JSON schema.
    """
    if isinstance(value, dict) and isinstance(known := schema.get("properties"), Mapping):
        ordered = [name for name in known if name in value] + [name for name in value if name not in known]
        return {name: in_schema_order(value[name], known.get(name, {})) for name in ordered}
    if isinstance(value, list) and isinstance(schema.get("items"), Mapping):
        return [in_schema_order(element, schema["items"]) for element in value]
    return value


@lru_cache(maxsize=1)
def _byte_tokenizer() -> Any:
    from llguidance import LLTokenizer

    return LLTokenizer("byte")


@lru_cache(maxsize=64)
def _fault(grammar: str) -> str:
    """What is wrong with a grammar; nothing where it is valid."""
    from llguidance import LLMatcher

    invalid, messages = LLMatcher.validate_grammar_with_warnings(grammar, _byte_tokenizer())
    return messages[0].strip().splitlines()[0] if invalid else ""


@lru_cache(maxsize=64)
def _byte_matcher(grammar: str) -> Any:
    from llguidance import LLMatcher

    return LLMatcher(_byte_tokenizer(), grammar, log_level=0)


def _accepts(grammar: str, text: str) -> bool:
    matcher, tokens = _byte_matcher(grammar).deep_copy(), _byte_tokenizer().tokenize_bytes(text.encode())
    return matcher.try_consume_tokens(tokens) == len(tokens) and bool(matcher.is_accepting())


def _compact(text: str) -> str:
    """JSON without the blanks that a grammar does not foresee; other text as it is."""
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))
    except ValueError:
        return text


def _in_lark(pattern: str) -> str:
    """A pattern as it stands between the slashes of a Lark grammar."""
    return re.sub(r"(?<!\\)((?:\\\\)*)/", r"\1\\/", pattern).replace("\n", r"\n")
