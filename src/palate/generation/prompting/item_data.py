"""Slots of prompts about an item for a reader: what is known of the item, what the reader likes and took."""

from __future__ import annotations

from palate.contracts import GenerationRequest
from palate.generation.decoding.commands import row_without_commands
from palate.generation.evidence import facts_of, title_of

TAKEN, LIKES = 5, 6
"""Items of the history and likes that a prompt names."""


def item_data(request: GenerationRequest, personal: bool) -> dict[str, str]:
    """Slots with their texts, each up to its first command to a model; those without a text are left out.

    Args:
        request: item, user and question.
        personal: whether the user's likes and history are told.

    Returns:
        ``item`` (a line a column), ``description``, ``likes``, ``took`` (titles, the latest first), ``question``.
    """
    facts = facts_of(row_without_commands(request.item))
    data = {"item": "\n".join(f"{one.label}: {', '.join(one.values)}" for one in facts if one.role != "description")}
    data["description"] = " ".join(value for one in facts if one.role == "description" for value in one.values)
    if personal:
        data["likes"] = ", ".join(one.value for one in request.preferences[:LIKES])
        taken = map(row_without_commands, request.history[-TAKEN:][::-1])
        titles = [found[1] for one in taken if (found := title_of(one))]
        data["took"] = "; ".join(titles)
    data["question"] = request.prompt or ""
    return {name: text for name, text in data.items() if text}
