"""Who somebody is: a user of the run, one who came later, a new name, or nobody in particular."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from palate.serving.page.cookies import back, forget, guest, remember
from palate.serving.page.form import Form
from palate.serving.page.render import fragment, page, service_of
from palate.serving.service import RecommenderService
from palate.serving.snapshot import ModelSnapshot

LIST, RECENT, SOME, ENOUGH = 48, 12, 5, 5
_COUNTS: WeakKeyDictionary[ModelSnapshot, list[int]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Known:
    """A user that can be chosen, and how many items they took before the run was made."""

    id: str
    taken: int


def put(router: APIRouter) -> None:
    """Add the routes."""
    router.get("/people")(people)
    router.get("/people/list")(listed)
    router.post("/become")(become)
    router.post("/leave")(leave)


def people(request: Request) -> Response:
    """Choose who to be."""
    service, words = service_of(request), request.query_params.get("q", "")
    recent = [Known(name, _taken(service, name)) for name in service.events.recent_users(RECENT)]
    found, more = _found(service, words)
    return page(
        request, "users.html", q=words, found=found, more=more, recent=recent, total=len(service.snapshot.users)
    )


def listed(request: Request) -> Response:
    """The list alone, for the script."""
    found, more = _found(service_of(request), request.query_params.get("q", ""))
    return fragment("user_list.html", found=found, more=more)


def become(request: Request, sent: Form) -> Response:
    """From now on this browser is that user; without a name, a new guest."""
    response = back(request, sent.get("next"))
    remember(request, response, sent.get("user") or guest())
    return response


def leave(request: Request, sent: Form) -> Response:
    """From now on this browser is nobody."""
    response = back(request, sent.get("next"))
    forget(response)
    return response


def some(service: RecommenderService) -> list[Known]:
    """A few users of whom enough is known to show something."""
    counts, users = _counts(service.snapshot), service.snapshot.users
    enough = min(ENOUGH, int(np.median(counts)) if counts else 0)
    names = [name for name, row in users.items() if counts[row] >= enough]
    places = np.linspace(0, len(names) - 1, min(SOME, len(names))).astype(int).tolist()
    return [Known(names[place], counts[users[names[place]]]) for place in places if _there(service, names[place])]


def _found(service: RecommenderService, words: str) -> tuple[list[Known], int]:
    """Users whose id holds the words, those that begin with them first; and how many more there are."""
    part = words.strip().lower()
    names = [name for name in service.snapshot.users if part in name.lower()]
    names.sort(key=lambda name: not name.lower().startswith(part))
    shown = [Known(name, _taken(service, name)) for name in names[: LIST + 8] if _there(service, name)][:LIST]
    return shown, len(names) - len(shown)


def _taken(service: RecommenderService, name: str) -> int:
    row = service.snapshot.users.get(name, -1)
    return _counts(service.snapshot)[row] if row >= 0 else 0


def _counts(snapshot: ModelSnapshot) -> list[int]:
    if snapshot not in _COUNTS:
        _COUNTS[snapshot] = [int(length) for length in snapshot.deployment.seen.lengths]
    return _COUNTS[snapshot]


def _there(service: RecommenderService, name: str) -> bool:
    """Whether the run may still know them: who asked to be forgotten is not offered."""
    return service.user_state(service.snapshot, name, None).user >= 0
