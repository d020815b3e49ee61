"""A page to rate pairs of contents: which is better, without knowing what made it; every answer is on disk at once."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from fastapi import FastAPI, Request
from jinja2 import DictLoader, Environment, StrictUndefined
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from palate.core.errors import DataError, FeatureError, PalateError
from palate.evaluation.rating.pairs import RatingPair, read_pairs
from palate.evaluation.rating.ratings import Rating, RatingFile, check_rater
from palate.serving.api.hosts import AllowedHosts
from palate.serving.images import sanitize_image
from palate.serving.page.form import Form
from palate.serving.page.page_route import require_same_origin

QUESTION = "Which one is better?"
SIDE = 900
"""Longest side of a shown picture, in pixels."""
MAX_SECONDS = 3600.0
"""Longest time that counts for a pair: who leaves a page open is not reading it."""
POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)


class Shown(NamedTuple):
    """One content of a pair.

    Attributes:
        side: ``left`` or ``right``.
        label: what it is called on the page.
        text: its text.
        image: data address of its picture, or empty.
    """

    side: str
    label: str
    text: str
    image: str


def rating_app(pairs_file: str | Path, ratings_file: str | Path, seed: int = 0, host: str = "127.0.0.1") -> FastAPI:
    """An ASGI app that shows the pairs of a file and stores ratings.

    Args:
        pairs_file: of :func:`palate.evaluation.rating.pairs.read_pairs`.
        ratings_file: of JSON Lines; ratings that it has already count.
        seed: of the orders in which pairs and their sides are shown.
        host: address that it listens on; requests for other hosts are refused.

    Raises:
        DataError: for a wrong file of pairs or of ratings, or a picture that cannot be shown.
    """
    pairs = read_pairs(pairs_file)
    folder, ratings = Path(pairs_file).parent, RatingFile(ratings_file, pairs, seed)
    _check_pictures(pairs_file, pairs)
    allowed = AllowedHosts(host)
    app = FastAPI(openapi_url=None)
    lock = threading.Lock()

    def show(rater: str, wanted: str | None, error: str = "", status: int = 200) -> Response:
        with lock:
            done, order = ratings.of(rater), ratings.order(rater)
        left_over = [name for name in order if name not in done]
        name = wanted if wanted in ratings.pairs else next(iter(left_over), None)
        context: dict[str, Any] = {"rater": rater, "done": len(done), "total": len(order), "error": error}
        if name is None:
            return _page("rate_done.html", {**context, "last": order[-1]}, status)
        pair, left = ratings.pairs[name], ratings.left(rater, name)
        before = order[order.index(name) - 1] if order.index(name) else None
        given = done.get(name)
        chosen = "" if given is None else {"tie": "tie", left: "left"}.get(given.choice, "right")
        return _page(
            "rate.html",
            {
                **context,
                "pair": pair,
                "question": pair.question or QUESTION,
                "shown": _shown(folder, pair, left),
                "before": before,
                "chosen": chosen,
                "at": order.index(name) + 1,
                "since": f"{time.time():.3f}",
            },
            status,
        )

    @app.middleware("http")
    async def guard(request: Request, call_next: Callable[..., Any]) -> Any:
        if not allowed.allows(request.headers.raw):
            return HTMLResponse("This server does not answer to that name.", 421)
        answered = await call_next(request)
        answered.headers.update(
            {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
             "Referrer-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin"}
        )  # fmt: skip
        return answered

    @app.get("/")
    def page(rater: str = "", pair: str | None = None) -> Response:
        if not rater.strip():
            return _page("rate_start.html", {"error": "", "rater": "", "total": len(pairs)})
        try:
            return show(check_rater(rater), pair)
        except DataError as error:
            return _page("rate_start.html", {"error": error.message, "rater": rater, "total": len(pairs)}, 422)

    @app.post("/")
    def rate(request: Request, form: Form) -> Response:
        require_same_origin(request)
        rater, pair, choice = (form.fields.get(name, "") for name in ("rater", "pair", "choice"))
        try:
            rater = check_rater(rater)
        except DataError as error:
            return _page("rate_start.html", {"error": error.message, "rater": rater, "total": len(pairs)}, 422)
        if pair not in ratings.pairs:
            return show(rater, None, "There is no such pair; nothing was stored.", 422)
        left = ratings.left(rater, pair)
        right = "b" if left == "a" else "a"
        chosen = {"left": left, "right": right, "tie": "tie"}.get(choice)
        if chosen is None:
            return show(rater, pair, "Choose left, right or no difference; nothing was stored.", 422)
        now = time.time()
        try:
            seconds = min(max(0.0, now - float(form.fields.get("since", ""))), MAX_SECONDS)
        except ValueError:
            seconds = float("nan")
        with lock:
            ratings.add(Rating(pair, rater, chosen, left, round(seconds, 3), round(now, 3)))  # type: ignore[arg-type]
        return RedirectResponse(f"/?rater={quote(rater)}", 303)

    @app.exception_handler(PalateError)
    def fault(request: Request, error: PalateError) -> Response:
        return PlainTextResponse(f"This cannot be stored or read at the moment: {error.message}.", 503)

    return app


def _shown(folder: Path, pair: RatingPair, left: str) -> list[Shown]:
    sides = {"left": left, "right": "b" if left == "a" else "a"}
    return [
        Shown(side, side.capitalize(), getattr(pair, name), _picture(folder, getattr(pair, f"image_{name}")))
        for side, name in sides.items()
    ]


@lru_cache(maxsize=64)
def _picture(folder: Path, name: str) -> str:
    if not name:
        return ""
    data = sanitize_image(folder / name, SIDE)
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"


def _check_pictures(file: str | Path, pairs: list[RatingPair]) -> None:
    """Refuse pictures that cannot be shown, before anybody rates."""
    for row, pair in enumerate(pairs, 1):
        for column in ("image_a", "image_b"):
            if name := getattr(pair, column):
                try:
                    sanitize_image(Path(file).parent / name, 64)
                except (FeatureError, OSError) as error:
                    reason = getattr(error, "message", None) or getattr(error, "strerror", None) or str(error)
                    raise DataError(reason, file=file, row=row, column=column, key=name) from error


def _page(template: str, context: dict[str, Any], status: int = 200) -> HTMLResponse:
    folder = files(__package__).joinpath("page/templates")
    names = ("rate_base.html", template)
    loader = DictLoader({name: folder.joinpath(name).read_text(encoding="utf-8") for name in names})
    jinja = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return HTMLResponse(jinja.get_template(template).render(**context), status)
