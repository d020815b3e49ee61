"""The current user: a user of the run, one seen since, a new one, or none."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from palate.core.errors import DataError
from palate.serving.api.ids import user_id
from palate.serving.availability import DatabaseUnavailable
from palate.serving.page.cookies import can_manage, clear_user, current_user, guest_id, redirect_back, set_user
from palate.serving.page.form import Form
from palate.serving.page.render import render_fragment, render_page, service_of
from palate.serving.service import RecommenderService
from palate.serving.snapshot import ModelSnapshot

MAX_LISTED, MAX_RECENT, SPARE = 48, 12, 8
"""Users that are listed, and recent ones; further ones that are read, for some may have been erased."""
SUGGESTIONS, MIN_LIKES = 5, 5
"""Users that the home page suggests, and items that they have taken at least."""
_HISTORY_LENGTHS: WeakKeyDictionary[ModelSnapshot, list[int]] = WeakKeyDictionary()


@dataclass(frozen=True)
class UserOption:
    """A user that can be selected.

    Attributes:
        id: user id.
        likes: items of the history that the run knows.
    """

    id: str
    likes: int


def register(router: APIRouter) -> None:
    """Add the routes.

    Args:
        router: router of the page.
    """
    router.get("/users")(users)
    router.get("/users/list")(user_list)
    router.post("/users/select")(select)
    router.post("/users/clear")(clear)


def users(request: Request) -> Response:
    """The page on which a user is selected.

    Args:
        request: the request.
    """
    service, query = service_of(request), request.query_params.get("q", "")
    recent = list[UserOption]()
    with suppress(DatabaseUnavailable):
        recent = [UserOption(user, _likes(service, user)) for user in service.events.recent_users(MAX_RECENT)]
    options, more = _matching(service, query)
    total = len(service.snapshot.users)
    return render_page(request, "users.html", q=query, options=options, more=more, recent=recent, total=total)


def user_list(request: Request) -> Response:
    """The list alone, for the page's script.

    Args:
        request: the request.
    """
    options, more = _matching(service_of(request), request.query_params.get("q", ""))
    return render_fragment("user_list.html", options=options, more=more)


def select(request: Request, form: Form) -> Response:
    """Select a user for this browser; a new guest without a name.

    Where keys are required, only one who may manage can select a user that exists: a name is no password.

    Args:
        request: the request.
        form: ``user`` and the address to go back to, ``next``.

    Raises:
        DataError: for an invalid id, or one that is taken.
    """
    service, named = service_of(request), form.get("user")
    user = guest_id() if named is None else user_id(service, named)
    if named is not None and user != current_user(request) and not can_manage(request) and _exists(service, user):
        raise DataError("This name is taken.", key=user, hint="Choose another name, or continue as a guest.")
    response = redirect_back(form.get("next"))
    set_user(request, response, user)
    return response


def clear(request: Request, form: Form) -> Response:
    """Leave this browser without a user.

    Args:
        request: the request.
        form: the address to go back to, ``next``.
    """
    response = redirect_back(form.get("next"))
    clear_user(response)
    return response


def suggested_users(service: RecommenderService) -> list[UserOption]:
    """A few users with a sufficient history.

    Args:
        service: the service.
    """
    lengths, known = _history_lengths(service.snapshot), service.snapshot.users
    least = min(MIN_LIKES, int(np.median(lengths)) if lengths else 0)
    names = [name for name, row in known.items() if lengths[row] >= least]
    chosen = np.linspace(0, len(names) - 1, min(SUGGESTIONS, len(names))).astype(int).tolist()
    return [UserOption(names[at], lengths[known[names[at]]]) for at in chosen if _is_known(service, names[at])]


def _exists(service: RecommenderService, user: str) -> bool:
    return user in service.snapshot.users or bool(service.events.for_user(user))


def _matching(service: RecommenderService, query: str) -> tuple[list[UserOption], int]:
    """Users whose id contains the query, those that begin with it first; and the number of further ones."""
    part = query.strip().lower()
    names = [name for name in service.snapshot.users if part in name.lower()]
    names.sort(key=lambda name: not name.lower().startswith(part))
    known = [name for name in names[: MAX_LISTED + SPARE] if _is_known(service, name)][:MAX_LISTED]
    return [UserOption(name, _likes(service, name)) for name in known], len(names) - len(known)


def _likes(service: RecommenderService, user: str) -> int:
    row = service.snapshot.users.get(user, -1)
    return _history_lengths(service.snapshot)[row] if row >= 0 else 0


def _history_lengths(snapshot: ModelSnapshot) -> list[int]:
    if snapshot not in _HISTORY_LENGTHS:
        _HISTORY_LENGTHS[snapshot] = [int(length) for length in snapshot.deployment.seen.lengths]
    return _HISTORY_LENGTHS[snapshot]


def _is_known(service: RecommenderService, user: str) -> bool:
    """Whether the run knows a user and may use it: erased users are not listed."""
    return user in service.snapshot.users and not service.replication.is_erased(user)
