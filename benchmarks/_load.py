"""Requests that come when they come, not when the server is ready for them: an open loop over kept-alive connections.

Latency counts from the moment a request was meant to be sent, so a server that falls behind cannot hide it.
"""

from __future__ import annotations

import asyncio
import json
import re
import selectors
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
PATIENCE = 30.0
"""Seconds after which an answer no longer comes."""
BROKEN = 0
"""Status of a request whose connection broke or whose answer never came."""


def run(main: Coroutine[Any, Any, T]) -> T:
    """asyncio.run, on time: epoll sleeps whole milliseconds, select does not."""
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        return runner.run(main)


def request(method: str, path: str, body: Any = None, key: str | None = None) -> bytes:
    """The bytes of a request."""
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "host: shop", f"content-length: {len(content)}"]
    lines += ["content-type: application/json"] if content else []
    lines += [f"authorization: Bearer {key}"] if key else []
    return "\r\n".join([*lines, "", ""]).encode() + content


class Line(asyncio.Protocol):
    """A connection, for one request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.found, self.waiting = b"", None  # type: tuple[bytes, asyncio.Future[tuple[int, bytes]] | None]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    @property
    def open(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    @property
    def port(self) -> int:
        """Ours; it tells which process of the server holds the other end."""
        assert self.transport is not None
        return int(self.transport.get_extra_info("sockname")[1])

    def data_received(self, data: bytes) -> None:
        self.found += data
        head = self.found.find(b"\r\n\r\n")
        if head < 0:
            return
        length = LENGTH.search(self.found, 0, head)
        end = head + 4 + (int(length[1]) if length else 0)
        if len(self.found) >= end and self.waiting is not None and not self.waiting.done():
            self.waiting.set_result((int(self.found[9:12]), self.found[head + 4 : end]))

    def connection_lost(self, error: Exception | None) -> None:
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_result((BROKEN, b""))

    async def ask(self, raw: bytes) -> tuple[int, bytes]:
        """Status and body."""
        assert self.transport is not None
        self.found, self.waiting = b"", asyncio.get_running_loop().create_future()
        self.transport.write(raw)
        clock = asyncio.get_running_loop().call_later(PATIENCE, self.transport.abort)
        try:
            return await self.waiting
        finally:
            clock.cancel()


class Client:
    """Connections to one port, used in turn so that all processes behind it get their share."""

    def __init__(self, port: int, lines: int = 16) -> None:
        self.port, self.lines = port, lines
        self.free: deque[Line] = deque()

    async def line(self) -> Line:
        """A new connection."""
        _, made = await asyncio.get_running_loop().create_connection(Line, "127.0.0.1", self.port)
        return made

    async def open(self) -> Client:
        self.free.extend([await self.line() for _ in range(self.lines)])
        return self

    async def ask(self, raw: bytes) -> tuple[int, bytes]:
        """Status and body; where all connections are busy one more is opened."""
        line = next((self.free.popleft() for _ in range(len(self.free)) if self.free[0].open or self.drop()), None)
        try:
            line = line or await self.line()
        except OSError:
            return BROKEN, b""
        answer = await line.ask(raw)
        if line.open:
            self.free.append(line)
        return answer

    def drop(self) -> bool:
        self.free.popleft()
        return False

    async def json(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        status, found = await self.ask(request(method, path, body))
        return status, json.loads(found) if found else None

    def close(self) -> None:
        for line in self.free:
            if line.transport is not None:
                line.transport.close()


@dataclass
class Answer:
    """One request. Attributes: at: when it was to be sent, seconds since the start. late: how late it was. seconds:
    from ``at`` to the whole answer. status: of HTTP, 0 where none came."""

    at: float
    late: float
    seconds: float
    status: int


async def open_loop(
    client: Client,
    make: Callable[[int], bytes],
    rate: float,
    seconds: float,
    seed: int = 0,
    look: Callable[[int, Answer, bytes], None] | None = None,
) -> list[Answer]:
    """Send ``make(number)`` at Poisson times, ``rate`` a second on average; ``look`` sees each answer."""
    gaps = np.random.default_rng(seed).exponential(1 / rate, int(rate * seconds))
    loop = asyncio.get_running_loop()
    answers: list[Answer] = []
    start = loop.time() + 0.05

    async def one(number: int, at: float) -> None:
        raw = make(number)
        sent = loop.time()
        status, body = await client.ask(raw)
        answer = Answer(at, sent - start - at, loop.time() - start - at, status)
        answers.append(answer)
        if look is not None:
            look(number, answer, body)

    tasks = set()
    for number, at in enumerate(np.cumsum(gaps)):
        wait = start + at - loop.time()
        if wait > 0:
            await asyncio.sleep(wait)
        task = asyncio.create_task(one(number, float(at)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    return sorted(answers, key=lambda answer: answer.at)


def summary(answers: list[Answer]) -> dict[str, Any]:
    """Counts by status, and percentiles in ms of what was answered well."""
    good = np.array([answer.seconds for answer in answers if 200 <= answer.status < 300])
    shown = {"p50": 50, "p90": 90, "p99": 99, "p99.9": 99.9, "max": 100}
    late = np.array([answer.late for answer in answers])
    return {
        "requests": len(answers),
        "statuses": {str(status): count for status, count in sorted(Counter(a.status for a in answers).items())},
        "ms": {name: float(np.percentile(good, q)) * 1e3 for name, q in shown.items()} if len(good) else {},
        "client_late_ms_p99": float(np.percentile(late, 99)) * 1e3 if len(late) else None,
    }
