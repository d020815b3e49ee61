"""Requests for generated content, filled with what a snapshot knows of an item and a user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from palate.contracts import Evidence, GenerationRequest
from palate.contracts.generator import MEDIA, ContentKind
from palate.core.batch import IntArray
from palate.core.errors import UnsupportedError
from palate.generation.evidence import item_id, may_be_said
from palate.generation.taste import preferences
from palate.serving.explain import history_shares, leave_one_out, named_reasons
from palate.serving.images import item_image
from palate.serving.item_pictures import picture_options, read_bytes
from palate.serving.snapshot import ModelSnapshot, ResolvedModel
from palate.serving.user_state import UserState

MAX_HISTORY, MAX_LIKES, HISTORY_IMAGES = 50, 40, 4
"""Items of the history and likes that a request holds, and pictures of them, the latest or strongest."""
LEFT_OUT = 8
"""Latest items of the history that may be named for what they add to the score; each costs the whole catalogue once."""


@dataclass(frozen=True)
class ContentOptions:
    """What a client asks for, beside item and user.

    Attributes:
        prompt: the user's own words.
        language: language to write in.
        max_words: length of a text, at most.
        size: width and height of a picture.
        options: settings of the kind.
    """

    prompt: str | None = None
    language: str = "en"
    max_words: int | None = None
    size: tuple[int, int] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def content_request(
    resolved: ResolvedModel,
    kind: ContentKind,
    row: int,
    state: UserState,
    user: str | None = None,
    options: ContentOptions | None = None,
) -> GenerationRequest:
    """A request about an item for a user: cells, likes, evidence and pictures.

    Args:
        resolved: model that scores, and its snapshot.
        kind: what is to be generated.
        row: row of the item.
        state: the user, in rows.
        user: id of the user.
        options: what else is asked for.
    """
    snapshot, options = resolved.snapshot, options or ContentOptions()
    state = state.without(row)
    rows = _taken(state)
    item, history = cells(snapshot, row), {int(at): cells(snapshot, int(at)) for at in rows}
    liked = preferences(
        snapshot.stats.taste.likes(history)[:MAX_LIKES], {at: (item_id(one), one) for at, one in history.items()}
    )
    counts = snapshot.stats.interaction_counts
    taken = int(counts[row]) if row < len(counts) else None
    evidence = may_be_said(item, list(history.values()), liked, taken)
    if kind == "explanation" and not any(row.source == "history" for row in evidence):
        # what item and history have in common says more than figures, which take time proportional to the catalogue
        evidence += _carried(resolved, row, rows, history)
    images, more = dict[str, bytes](), dict(options.options)
    if MEDIA[kind] != "text":
        images = _images(snapshot, row, item, history)
        more = {**picture_options(snapshot, row, rows), **more}
    return GenerationRequest(
        kind, item, list(history.values()), options.prompt, user, liked, evidence, images, options.language,
        options.max_words, options.size, more,
    )  # fmt: skip


def cells(snapshot: ModelSnapshot, row: int) -> dict[str, Any]:
    """Cells of an item, its id first.

    Args:
        snapshot: the catalogue.
        row: row of the item.
    """
    found = snapshot.items.frame.row(row, named=True)
    name = snapshot.items.id_column
    return {name: snapshot.ids[row], **{column: value for column, value in found.items() if column != name}}


def _taken(state: UserState) -> IntArray:
    """Rows of the history; what was only clicked says less, and counts only where nothing else is known."""
    taken = state.history[~np.isin(state.history, state.clicked)]
    return (taken if len(taken) else state.history)[-MAX_HISTORY:]


def _carried(
    resolved: ResolvedModel, row: int, rows: IntArray, history: Mapping[int, Mapping[str, Any]]
) -> list[Evidence]:
    """Items among the latest of the history whose absence lowers the score most."""
    try:
        shares = history_shares(leave_one_out(resolved.model, rows, np.array([row]), LEFT_OUT)[:, 0])
    except UnsupportedError:
        return []
    return [
        Evidence("history", item_id(history[int(rows[at])]), "share of the score", round(float(shares[at]), 3))
        for at in named_reasons(shares)
    ]


def _images(
    snapshot: ModelSnapshot, row: int, item: Mapping[str, Any], history: Mapping[int, Mapping[str, Any]]
) -> dict[str, bytes]:
    found = {}
    for at, one in [(row, item), *list(history.items())[::-1][:HISTORY_IMAGES]]:
        data = read_bytes(item_image(snapshot, at))
        if data is not None:
            found[item_id(one)] = data
    return found
