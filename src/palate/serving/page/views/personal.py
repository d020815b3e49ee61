"""What is made for the current user: the headline and explanation of an item, and the creative of the home page."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from palate.contracts import Generated
from palate.contracts.generator import ContentKind
from palate.core.errors import PalateError
from palate.serving.api.threads import run_apart
from palate.serving.content import ContentMaker
from palate.serving.content_request import ContentOptions, content_request
from palate.serving.generators import DEFAULTS
from palate.serving.page.cookies import current_user
from palate.serving.page.render import service_of
from palate.serving.service import FoundItem
from palate.serving.snapshot import ResolvedModel
from palate.serving.user_state import UserState

SIZE = (1200, 420)
"""Width and height of the creative of the home page, in pixels."""
FIVE_MINUTES = "private, max-age=300"


def register(router: APIRouter) -> None:
    """Add the routes.

    Args:
        router: router of the page.
    """
    router.get("/creative")(creative)


async def creative(request: Request) -> Response:
    """A creative of an item for the current user.

    Args:
        request: the request; its parameter ``item`` is the item.

    Raises:
        UnknownItem: for an unknown item.
        HTTPException: 404 where this server makes no content, or it is withheld.
    """
    return await run_apart("files", lambda: _creative(request))


def personal_text(request: Request, kind: ContentKind, found: FoundItem, state: UserState, user: str) -> str | None:
    """A text for the current user, without a model, so that no page waits for one; None where there is none.

    Args:
        request: the request.
        kind: headline or explanation.
        found: the item.
        state: the user, in rows of its snapshot.
        user: id of the user.
    """
    made = _made(request, kind, found, state, user, ContentOptions())
    return None if made is None else made.text


def _made(
    request: Request, kind: ContentKind, found: FoundItem, state: UserState, user: str, options: ContentOptions
) -> Generated | None:
    maker: ContentMaker | None = getattr(request.app.state, "content", None)
    if maker is None:
        return None
    snapshot, model, row = found
    try:
        asked = content_request(ResolvedModel(snapshot, model), kind, row, state, user, options)
        return maker.make(asked, generator=DEFAULTS[asked.medium]).generated
    except PalateError:
        # a page without its headline is better than none
        return None


def _creative(request: Request) -> Response:
    service, user = service_of(request), current_user(request)
    found = service.find_item(request.query_params.get("item", ""))
    state = service.user_state(found.snapshot, user, None)
    made = _made(request, "banner", found, state, user or "", ContentOptions(size=SIZE))
    if made is None or made.image is None:
        raise HTTPException(404, "There is no such picture.")
    return Response(made.image, media_type="image/jpeg", headers={"Cache-Control": FIVE_MINUTES})
