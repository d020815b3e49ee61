"""Lists with their reasons, as the service gives them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from palate.serving.explain import explain
from palate.serving.snapshot import MAIN, ModelSnapshot, ResolvedModel
from palate.serving.snapshot_builder import open_snapshot
from palate.serving.user_state import UserState, anonymous_user, known_user

UNKNOWN = "Popular: nothing is known of the user"
"""Reason of an item that is listed for a user without a history."""


def with_reasons(run: str | Path, lists: pl.DataFrame, history: Sequence[str] | None = None) -> pl.DataFrame:
    """The lists with a column ``why``: a sentence for each item, computed from the model's scores.

    Args:
        run: run folder.
        lists: of known users, with columns ``user`` and ``item``.
        history: item ids of the visitor whose list it is, instead of users.

    Raises:
        UnsupportedError: if the model only lists items.
    """
    snapshot, states, sentences = open_snapshot(run), dict[str, UserState](), list[str]()
    resolved = ResolvedModel(snapshot, snapshot.models[MAIN])
    resolved.model.require_scores("an explanation")
    for user, item in zip(lists["user"].to_list(), lists["item"].to_list()):
        key = str(user)
        if key not in states:
            states[key] = _state(snapshot, key, history)
        known = states[key].is_known
        sentences.append(explain(resolved, states[key], snapshot.require_row(str(item))).text if known else UNKNOWN)
    return lists.with_columns(pl.Series("why", sentences, pl.String))


def _state(snapshot: ModelSnapshot, user: str, history: Sequence[str] | None) -> UserState:
    if history is not None:
        return anonymous_user(snapshot, [str(item) for item in history])
    return known_user(snapshot, snapshot.users.get(user, -1), ())
