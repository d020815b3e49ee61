"""Access control before a request is read: keys, request rate, requests in flight and body size."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from palate.serving.api.keys import SESSION_COOKIE, ApiKeys, Grant
from palate.serving.api.metrics import Metrics
from palate.serving.api.problems import problem
from palate.serving.api.rate_limit import RateLimiter

MAX_BODY_BYTES = 12 * 2**20
UNAUTHENTICATED = ("/healthz", "/readyz")
"""Paths of health checks, which pass every check."""
PUBLIC = ("/login", "/static/", "/favicon.ico")
"""Prefixes of the paths that need no key: the login form and its files."""
MANAGED = (("POST", "/v1/items"), ("DELETE", "/v1/items/"), ("DELETE", "/v1/users/"), ("GET", "/metrics"))
"""(method, prefix) of requests that need the permission ``manage``."""
MANAGED_FORMS = ("/add", "/remove")
OVERLOADED = "too many requests in flight"
TOO_LARGE = f"the body is larger than {MAX_BODY_BYTES // 2**20} MiB"
SECURITY_HEADERS = {b"x-content-type-options": b"nosniff", b"referrer-policy": b"same-origin"}


class AccessMiddleware:
    """ASGI middleware: checks keys, rates, load and size, and measures every request.

    A worker takes ``max_in_flight`` requests at once; further ones get 503 before their bodies are read, so that those
    in flight are answered in time and the worker recovers as soon as fewer come.

    Args:
        app: the app behind it.
        keys: API keys.
        limiter: request rates.
        max_in_flight: number of requests that one worker processes at once.
        metrics: where requests are recorded.
    """

    def __init__(self, app: ASGIApp, keys: ApiKeys, limiter: RateLimiter, max_in_flight: int, metrics: Metrics) -> None:
        self.app, self.keys, self.limiter = app, keys, limiter
        self.max_in_flight, self.metrics = max_in_flight, metrics
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it here.

        Args:
            scope: ASGI scope.
            receive: ASGI receive.
            send: ASGI send.
        """
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, path, status = time.perf_counter(), str(scope["path"]), 500

        async def respond(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                present = {name.lower() for name, _ in message.get("headers", ())}
                missing = [(name, value) for name, value in SECURITY_HEADERS.items() if name not in present]
                message = {**message, "headers": [*message.get("headers", ()), *missing]}
            await send(message)

        if path in UNAUTHENTICATED:
            await self.app(scope, receive, respond)
            return
        refusal = self._refusal(scope, path)
        if refusal is not None:
            code, detail = refusal
            headers = {303: {"Location": "/login"}, 401: {"WWW-Authenticate": "Bearer"}}.get(code, {})
            await problem(code, detail, headers=headers)(scope, receive, respond)
        else:
            self.in_flight += 1
            try:
                # lists are made on the event loop itself; this lets all requests that have arrived by now be counted
                # before the next list is made
                await asyncio.sleep(0)
                if self.in_flight > self.max_in_flight:
                    self.metrics.count_rejected()
                    await problem(503, OVERLOADED)(scope, receive, respond)
                    return
                await self.app(scope, _limited(receive), respond)
            finally:
                self.in_flight -= 1
        route = getattr(scope.get("route"), "path", "other")
        self.metrics.observe_request(route, scope["method"], status, time.perf_counter() - started)

    def _refusal(self, scope: Scope, path: str) -> tuple[int, str] | None:
        """Status and detail of a request that is not passed on."""
        headers: Mapping[bytes, bytes] = dict(scope["headers"])
        client = scope["client"][0] if scope.get("client") else "unknown"
        if self.keys and not path.startswith(PUBLIC):
            is_page = _is_page(path)
            grant = self._grant(headers, is_page)
            if grant is None:
                if is_page and scope["method"] == "GET":
                    return 303, "an API key is required"
                return 401, "an API key is required: Authorization: Bearer KEY"
            client = grant.key_hash
            if grant.permission != "manage" and _needs_manage(scope["method"], path):
                return 403, "this key lacks the permission 'manage'"
        if not self.limiter.allow(client):
            return 429, "too many requests from this client"
        if self.in_flight >= self.max_in_flight:
            self.metrics.count_rejected()
            return 503, OVERLOADED
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            return 413, TOO_LARGE
        return None

    def _grant(self, headers: Mapping[bytes, bytes], is_page: bool) -> Grant | None:
        """The grant of the key in the header, or, for the page, of the session cookie."""
        scheme, _, key = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if scheme.lower() == "bearer":
            return self.keys.verify_key(key.strip())
        if not is_page:
            return None
        try:
            cookies = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1"))
        except CookieError:
            return None
        return self.keys.verify_session(cookies[SESSION_COOKIE].value) if SESSION_COOKIE in cookies else None


def _is_page(path: str) -> bool:
    return not path.startswith("/v1/") and path not in ("/metrics", "/openapi.json")


def _needs_manage(method: str, path: str) -> bool:
    if method == "POST" and path.startswith(MANAGED_FORMS):
        return True
    return any(method == managed and path.startswith(prefix) for managed, prefix in MANAGED)


def _limited(receive: Receive) -> Receive:
    """``receive`` that stops a body which turns out larger than declared."""
    total = 0

    async def counting() -> Message:
        nonlocal total
        message = await receive()
        if message["type"] == "http.request":
            total += len(message.get("body", b""))
            if total > MAX_BODY_BYTES:
                raise HTTPException(413, TOO_LARGE)
        return message

    return counting
