"""Templates, what every page of them carries, and the files that a browser loads beside them."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from palate.core.files import digest
from palate.serving.page import values
from palate.serving.page.cookies import may_manage, said, unsay, visitor
from palate.serving.service import RecommenderService

KINDS = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}


@lru_cache(1)
def lists_all() -> dict[str, tuple[bytes, str]]:
    """name -> (bytes, hash) of everything that may be loaded as ``/static/name``."""
    found = {}
    for file in files(__package__).joinpath("static").iterdir():
        if file.name.rpartition(".")[2] in KINDS:
            raw = file.read_bytes()
            found[file.name] = (raw, digest(raw)[:12])
    return found


def asset(name: str) -> str:
    """Address of a static file; it changes when the file does, so that it can be kept for good."""
    return f"/static/{name}?v={lists_all()[name][1]}"


@lru_cache(1)
def environment() -> Environment:
    """Jinja, which escapes everything and knows nothing it was not told."""
    made = Environment(
        loader=PackageLoader(__package__, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["asset"] = asset
    made.filters |= {
        "number": values.number,
        "percent": values.percent,
        "label": values.label,
        "path": lambda text: quote(str(text), safe=""),
    }
    return made


def service_of(request: Request) -> RecommenderService:
    """The shop that is served."""
    service: RecommenderService = request.app.state.service
    return service


def fragment(template: str, **facts: Any) -> HTMLResponse:
    """A part of a page."""
    return HTMLResponse(environment().get_template(template).render(**facts))


def page(request: Request, template: str, status: int = 200, **facts: Any) -> Response:
    """A whole page; a message that an earlier request left is shown once."""
    service, message = service_of(request), said(request)
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    response = fragment(
        template,
        **{
            "here": here if request.method == "GET" else "/",
            "path": request.url.path,
            "user": visitor(request),
            "manages": may_manage(request),
            "message": message and _words(service, *message),
            "about": service.snapshot.deployment.about,
            **facts,
        },
    )
    response.status_code = status
    if message:
        unsay(response)
    return response


def _words(service: RecommenderService, kind: str, item: str) -> str:
    row = service.snapshot.row(item)
    title = service.snapshot.stats.titles[row] if row >= 0 else item
    told = {
        "like": f"Liked: {title}. Your lists know.",
        "hide": f"Hidden: {title}. It will not be shown again.",
        "updated": f"Saved: {title}.",
        "removed": f"Removed: {item}. It is in no list any more.",
    }
    return told.get(kind, "")
