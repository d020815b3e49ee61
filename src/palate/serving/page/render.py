"""Templates with their common context, and static files."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple
from urllib.parse import quote

from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from palate.core.files import digest
from palate.serving.page import values
from palate.serving.page.aspect import image_shape
from palate.serving.page.cookies import Flash, can_manage, clear_flash, current_user, get_flash
from palate.serving.service import RecommenderService

MEDIA_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}


class StaticFile(NamedTuple):
    """A static file.

    Attributes:
        data: its bytes.
        media_type: its media type.
        version: beginning of its hash.
    """

    data: bytes
    media_type: str
    version: str


@lru_cache(1)
def static_files() -> dict[str, StaticFile]:
    """Static files by name, served as ``/static/<name>``."""
    assets = {}
    for file in files(__package__).joinpath("static").iterdir():
        media_type = MEDIA_TYPES.get(file.name.rpartition(".")[2])
        if media_type is not None:
            data = file.read_bytes()
            assets[file.name] = StaticFile(data, media_type, digest(data)[:12])
    return assets


def asset_url(name: str) -> str:
    """Address of a static file; it changes with the content, so that browsers can cache it forever.

    Args:
        name: file name.
    """
    return f"/static/{name}?v={static_files()[name].version}"


@lru_cache(1)
def environment() -> Environment:
    """The Jinja environment: everything is escaped, and an undefined name is an error."""
    jinja = Environment(
        loader=PackageLoader(__package__, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.globals["asset"] = asset_url
    jinja.filters |= {
        "number": values.format_number,
        "percent": values.format_percent,
        "label": values.column_label,
        "path": lambda text: quote(str(text), safe=""),
    }
    return jinja


def service_of(request: Request) -> RecommenderService:
    """The service that answers.

    Args:
        request: the request.
    """
    service: RecommenderService = request.app.state.service
    return service


def render_fragment(template: str, **context: object) -> HTMLResponse:
    """A part of a page.

    Args:
        template: file name of the template.
        context: its variables.
    """
    return HTMLResponse(environment().get_template(template).render(**context))


def render_page(request: Request, template: str, status: int = 200, **context: object) -> Response:
    """A complete page; a message of the last request is shown once.

    Args:
        request: the request.
        template: file name of the template.
        status: HTTP status.
        context: its variables, besides the common ones.
    """
    service, flash = service_of(request), get_flash(request)
    address = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    common: dict[str, object] = {
        "address": address if request.method == "GET" else "/",
        "path": request.url.path,
        "user": current_user(request),
        "can_manage": can_manage(request),
        "flash": None if flash is None else _flash_text(service, flash),
        "about": service.snapshot.deployment.about,
        "shape": image_shape(service.snapshot),
    }
    response = render_fragment(template, **{**common, **context})
    response.status_code = status
    if flash:
        clear_flash(response)
    return response


def _flash_text(service: RecommenderService, flash: Flash) -> str:
    # a removed item still has its title
    row, titles = service.snapshot.rows.get(flash.item, -1), service.snapshot.stats.titles
    title = titles[row] if 0 <= row < len(titles) else flash.item
    texts = {
        "like": f"Liked: {title}. Your recommendations are updated.",
        "hide": f"Hidden: {title}. It will not be shown again.",
        "unlike": f"No longer liked: {title}. Your recommendations are updated.",
        "unhide": f"Shown again: {title}.",
        "updated": f"Saved: {title}.",
        "removed": f"Removed: {title}. It no longer appears in any list.",
    }
    return texts.get(flash.kind, "")
