"""Prompts: templates, choice of examples, budgets of tokens, parsers of answers."""

from palate.generation.prompting.answers import (
    first_line,
    keep_distinct,
    keep_known,
    keep_short,
    parse_choice,
    parse_json,
    parse_list,
    parse_number,
)
from palate.generation.prompting.budget import fit_documents, truncate
from palate.generation.prompting.examples import ExampleSelector, selectors
from palate.generation.prompting.template import Example, PromptTemplate, answer_prompt, split_rationale

__all__ = [
    "Example", "ExampleSelector", "PromptTemplate", "answer_prompt", "first_line", "fit_documents", "keep_distinct",
    "keep_known", "keep_short", "parse_choice", "parse_json", "parse_list", "parse_number", "selectors",
    "split_rationale", "truncate",
]  # fmt: skip
