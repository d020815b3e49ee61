"""What the current user liked, viewed and hid, and how to take it back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from palate.serving.page.cards import Card, item_card
from palate.serving.page.cookies import current_user
from palate.serving.page.render import render_page, service_of

MAX_ITEMS = 100
"""Items that are shown of each kind, the latest first."""


@dataclass(frozen=True)
class Entries:
    """Items of one kind.

    Attributes:
        name: id of the heading.
        title: heading.
        about: line below the heading.
        cards: the items, the latest first.
        total: number of items.
        undo: type of the event that takes one back.
        action: what the button says.
    """

    name: str
    title: str
    about: str
    cards: Sequence[Card]
    total: int
    undo: str
    action: str


def register(router: APIRouter) -> None:
    """Add the routes.

    Args:
        router: router of the page.
    """
    router.get("/likes")(likes)


def likes(request: Request) -> Response:
    """Items that the current user liked, viewed, took before the run was made, and hid.

    Args:
        request: the request.
    """
    service, user = service_of(request), current_user(request)
    snapshot = service.resolve_model(None)[0]
    state = service.user_state(snapshot, user, None)
    earlier = state.history[~np.isin(state.history, np.concatenate([state.liked, state.clicked]))]
    kinds = (
        ("liked", "Liked", "Items you liked here", state.liked, "unlike", "Remove"),
        ("hidden", "Hidden", "Items that are in none of your lists", state.hidden, "unhide", "Show again"),
        ("viewed", "Viewed", "Items you opened", state.clicked, "unlike", "Remove"),
        ("earlier", "Known from before", "Items that the model learnt from", earlier, "unlike", "Remove"),
    )
    entries = []
    for name, title, about, rows, undo, action in kinds:
        latest = [row for row in rows[::-1].tolist() if snapshot.active[row]]
        cards = [item_card(snapshot, row) for row in latest[:MAX_ITEMS]]
        entries.append(Entries(name, title, about, cards, len(latest), undo, action))
    return render_page(
        request,
        "likes.html",
        entries=[kind for kind in entries if kind.cards],
        history_complete=state.is_complete,
    )
