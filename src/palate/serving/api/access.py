"""Checks before a request reaches an endpoint: host, key, request rate, body, requests in flight."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from palate.serving.api import permissions
from palate.serving.api.hosts import AllowedHosts
from palate.serving.api.keys import SESSION_COOKIE, ApiKeys, Grant
from palate.serving.api.metrics import Metrics
from palate.serving.api.problems import INTERNAL_ERROR, problem
from palate.serving.api.rate_limit import RateLimiter
from palate.serving.api.request_body import MAX_BODY_BYTES, TOO_LARGE, BodyReader, BodyRefused
from palate.serving.api.room import Room
from palate.serving.limited_log import LimitedLog
from palate.serving.network.limits import Limits

__all__ = ["MAX_BODY_BYTES", "AccessMiddleware"]

LOG_SECONDS = 60.0
"""Seconds between two messages of the log about one fault of one route."""
OVERLOADED = "too many requests in flight"
SECURITY_HEADERS = {b"x-content-type-options": b"nosniff", b"referrer-policy": b"same-origin"}
CLIENT_LEFT = 499
"""Status under which metrics count a request whose client has left."""


class Refusal(NamedTuple):
    """A request that is not passed on.

    Attributes:
        status: HTTP status.
        detail: what is wrong.
        hint: what the caller can do.
        headers: headers of the response.
    """

    status: int
    detail: str
    hint: str | None = None
    headers: Mapping[str, str] | None = None


class AccessMiddleware:
    """ASGI middleware: checks every request, and measures it.

    A request takes a place in the room once its body is complete, and leaves it once its response is made, so that
    neither a slow upload nor a slow reader holds one. Pictures and static files take none.

    Args:
        app: the app behind it.
        keys: API keys.
        limiter: request rates.
        room: places of requests in flight.
        metrics: where requests are recorded.
        limits: sizes and deadlines.
        hosts: names that the server answers to; None for any.
    """

    def __init__(
        self, app: ASGIApp, keys: ApiKeys, limiter: RateLimiter, room: Room, metrics: Metrics, limits: Limits,
        hosts: AllowedHosts | None = None,
    ) -> None:  # fmt: skip
        self.app, self.keys, self.limiter, self.room = app, keys, limiter, room
        self.metrics, self.limits, self.hosts = metrics, limits, hosts
        self.bodies = BodyReader(limits)
        self._faults = LimitedLog(LOG_SECONDS)

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
        started, method = time.perf_counter(), str(scope["method"])
        response = _Response(send, without_body=method == "HEAD")
        if method == "HEAD":
            scope = {**scope, "method": "GET"}
        path = str(scope["path"])
        try:
            if path in permissions.HEALTH:
                await self.app(scope, receive, response)
                return
            await self._handle(scope, path, receive, response)
        except BodyRefused as refused:
            if refused.status:
                await problem(scope, refused.status, refused.detail)(scope, receive, response)
            else:
                response.status = CLIENT_LEFT
        except Exception as error:
            # the path may hold the id of a user
            route = getattr(scope.get("route"), "path", "other")
            self._faults.warning(f"{method} {route} {error!r}", "%s %s failed", method, route, error=error)
            if response.started:
                raise
            await problem(scope, 500, INTERNAL_ERROR)(scope, receive, response)
        finally:
            response.leave()
        route = getattr(scope.get("route"), "path", "other")
        self.metrics.observe_request(route, method, response.status, time.perf_counter() - started)

    async def _handle(self, scope: Scope, path: str, receive: Receive, response: _Response) -> None:
        refusal = self._refusal(scope, path)
        if refusal is None:
            if _has_body(scope):
                max_bytes = permissions.LOGIN_BYTES if self.keys and permissions.is_public(path) else MAX_BODY_BYTES
                receive = await self.bodies.read(receive, max_bytes)
            if not (permissions.is_file(path) or path == "/metrics"):
                refusal = await self._enter_room(response)
        if refusal is None:
            await self.app(scope, receive, response)
        else:
            status, detail, hint, headers = refusal
            await problem(scope, status, detail, hint=hint, headers=headers)(scope, receive, response)

    async def _enter_room(self, response: _Response) -> Refusal | None:
        if not self.room.enter():
            self.metrics.count_rejected()
            return Refusal(503, OVERLOADED)
        response.room = self.room
        # lists are made on the event loop itself; this lets all requests that have arrived by now be counted before the
        # next list is made
        await asyncio.sleep(0)
        return None

    def _refusal(self, scope: Scope, path: str) -> Refusal | None:
        """Why a request is not passed on, as far as its head tells."""
        method, headers = str(scope["method"]), dict[bytes, bytes](scope["headers"])
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > self.limits.url_bytes:
            return Refusal(414, f"a URL has at most {self.limits.url_bytes} bytes")
        if sum(len(name) + len(value) + 4 for name, value in scope["headers"]) > self.limits.head_bytes:
            return Refusal(431, f"the headers of a request have at most {self.limits.head_bytes} bytes")
        if self.hosts is not None and not self.hosts.allows(scope["headers"]):
            return Refusal(421, "this server does not answer to this host name", "palate serve --host-name NAME")
        client = scope["client"][0] if scope.get("client") else "unknown"
        if self.keys and not permissions.is_public(path):
            grant = self._grant(headers, permissions.is_page(path))
            if grant is None:
                return _without_key(method, path)
            client = grant.key_hash
            if grant.permission != "manage" and permissions.needs_manage(method, path):
                return Refusal(403, "this key lacks the permission 'manage'")
        if permissions.is_counted(method, path) and not self.limiter.allow(client):
            return Refusal(429, "too many requests from this client")
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length[:20]) > MAX_BODY_BYTES:
            return Refusal(413, TOO_LARGE)
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


class _Response:
    """ASGI send that notes the status, adds security headers, and frees the place in the room."""

    def __init__(self, send: Send, without_body: bool) -> None:
        self._send, self._without_body = send, without_body
        self.status, self.started = 500, False
        self.room: Room | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.started = int(message["status"]), True
            self.leave()
            present = {name.lower() for name, _ in message.get("headers", ())}
            missing = [(name, value) for name, value in SECURITY_HEADERS.items() if name not in present]
            message = {**message, "headers": [*message.get("headers", ()), *missing]}
        elif message["type"] == "http.response.body" and self._without_body:
            message = {**message, "body": b""}
        await self._send(message)

    def leave(self) -> None:
        if self.room is not None:
            self.room.leave()
            self.room = None


def _has_body(scope: Scope) -> bool:
    return any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])


def _without_key(method: str, path: str) -> Refusal:
    if permissions.is_page(path) and method == "GET" and not permissions.is_file(path):
        return Refusal(303, "an API key is required", headers={"Location": "/login"})
    headers = {"WWW-Authenticate": "Bearer"}
    return Refusal(401, "an API key is required: Authorization: Bearer KEY", headers=headers)
