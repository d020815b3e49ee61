"""Before a request is read: may it come in, is there room for it, and how large may it be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from palate.serving.api.keys import Keys, Right
from palate.serving.api.metrics import Measures
from palate.serving.api.problems import problem
from palate.serving.api.rate_limit import Limits

BODY = 12 * 2**20
"""Bytes of a body."""
COOKIE = "palate_entry"
FREE = ("/healthz", "/readyz")
OPEN = ("/enter", "/static/", "/favicon.ico")
"""Prefixes that need no key: what lets people in, and what it looks like."""
MANAGE = (("POST", "/v1/items"), ("DELETE", "/v1/items/"), ("DELETE", "/v1/users/"), ("GET", "/metrics"))
PAGE_MANAGE = ("/add", "/remove")
FULL = "no room for another request just now"
HOLDS = {b"x-content-type-options": b"nosniff", b"referrer-policy": b"same-origin"}


class Guard:
    """ASGI middleware: keys, rates, room, size, and what everything took.

    A worker has room for ``room`` requests at once; more are answered 503 at once, before their bodies are read, so
    that those inside are answered in time and it recovers as soon as fewer come.
    """

    def __init__(self, app: ASGIApp, keys: Keys, limits: Limits, room: int, measures: Measures) -> None:
        self.app, self.keys, self.limits, self.room, self.measures = app, keys, limits, room, measures
        self.inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, path = time.perf_counter(), str(scope["path"])
        told = 500

        async def answer(message: Message) -> None:
            nonlocal told
            if message["type"] == "http.response.start":
                told = int(message["status"])
                given = {name.lower() for name, _ in message.get("headers", ())}
                more = [(name, value) for name, value in HOLDS.items() if name not in given]
                message = {**message, "headers": [*message.get("headers", ()), *more]}
            await send(message)

        if path in FREE:
            await self.app(scope, receive, answer)
            return
        refused = self._refused(scope, path)
        if refused is not None:
            status, detail = refused
            away = {"Location": "/enter"} if status == 303 else {}
            headers = {**away, **({"WWW-Authenticate": "Bearer"} if status == 401 else {})}
            await problem(status, detail, headers=headers)(scope, receive, answer)
        else:
            self.inside += 1
            try:
                # lists are made on the loop itself; this lets all that has come by now be counted before the next one
                await asyncio.sleep(0)
                if self.inside > self.room:
                    self.measures.shed()
                    await problem(503, FULL)(scope, receive, answer)
                    return
                await self.app(scope, _counted(receive), answer)
            finally:
                self.inside -= 1
        route = scope.get("route")
        self.measures.took(getattr(route, "path", "other"), scope["method"], told, time.perf_counter() - started)

    def _refused(self, scope: Scope, path: str) -> tuple[int, str] | None:
        headers: Mapping[bytes, bytes] = dict(scope["headers"])
        client = scope["client"][0] if scope.get("client") else "unknown"
        if self.keys and not path.startswith(OPEN):
            found, page = self._right(headers, path)
            if found is None:
                if page and scope["method"] == "GET":
                    return 303, "a key is needed"
                return 401, "a key is needed: Authorization: Bearer KEY"
            right, client = found
            if right != "manage" and _manages(scope["method"], path):
                return 403, "this key may not do that"
        if not self.limits.allow(client):
            return 429, "too many requests from this client"
        if self.inside >= self.room:
            self.measures.shed()
            return 503, FULL
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > BODY:
            return 413, f"a body above {BODY // 2**20} MiB"
        return None

    def _right(self, headers: Mapping[bytes, bytes], path: str) -> tuple[tuple[Right, str] | None, bool]:
        """What the request may do, and whether it is for the page, where a cookie will do."""
        page = not path.startswith("/v1/") and path not in ("/metrics", "/openapi.json")
        scheme, _, key = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if scheme.lower() == "bearer":
            return self.keys.right(key.strip()), page
        if page:
            try:
                cookies = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1"))
            except CookieError:
                return None, page
            if COOKIE in cookies:
                return self.keys.entered(cookies[COOKIE].value), page
        return None, page


def _manages(method: str, path: str) -> bool:
    if method == "POST" and path.startswith(PAGE_MANAGE):
        return True
    return any(method == known and path.startswith(start) for known, start in MANAGE)


def _counted(receive: Receive) -> Receive:
    """``receive`` that stops a body which turns out larger than it said."""
    total = 0

    async def counting() -> Message:
        nonlocal total
        message = await receive()
        if message["type"] == "http.request":
            total += len(message.get("body", b""))
            if total > BODY:
                raise HTTPException(413, f"a body above {BODY // 2**20} MiB")
        return message

    return counting
