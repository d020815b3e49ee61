"""Hostile and unlucky connections to a server on a real socket: nobody else waits, and memory stays bounded."""

import http.client
import json
import socket
import threading
import time
from contextlib import closing, contextmanager

import pytest

pytest.importorskip("fastapi")
httptools = pytest.importorskip("httptools")

import uvicorn  # noqa: E402
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from palate.core.errors import ConfigError  # noqa: E402
from palate.serving.api.app import Settings, create_app  # noqa: E402
from palate.serving.network.connections import ConnectionTable, client_of  # noqa: E402
from palate.serving.network.limits import Limits  # noqa: E402
from palate.serving.network.sockets import bind_socket  # noqa: E402
from palate.serving.run import server_config  # noqa: E402

KEY = "manage-0123456789abcdef"
SHORT = Limits(head_seconds=0.4, body_seconds=0.4, idle_seconds=0.4)
PATIENT = Limits(head_seconds=60, body_seconds=60, idle_seconds=60)


@pytest.fixture(scope="module")
def serve(runs, tmp_path_factory):
    """``serve(**settings)``: the port and app of a server."""

    @contextmanager
    def started(limits=PATIENT, **options):
        state = tmp_path_factory.mktemp("state")
        settings = Settings(str(runs("knn")), str(state), rate=0, page=False, limits=limits, **options)
        app = create_app(settings)
        server = uvicorn.Server(server_config(settings, app))
        with bind_socket("127.0.0.1", 0) as listening:
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
            thread.start()
            while not server.started:
                time.sleep(0.01)
            yield listening.getsockname()[1], app
            server.should_exit = True
            thread.join(20)
        assert not thread.is_alive()

    return started


@pytest.fixture
def keys(tmp_path):
    file = tmp_path / "keys"
    file.write_text(KEY + "\n")
    return str(file)


def connect(port, sent=b""):
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    connection.sendall(sent)
    return connection


def answer(connection):
    """Status and everything that a connection sends until it is closed."""
    received = b""
    try:
        while part := connection.recv(65536):
            received += part
    except ConnectionError:
        pass
    return int(received.split(b" ", 2)[1]) if received else None, received


def ask(port, method="GET", path="/healthz", body=None, headers=None):
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        sent = {"content-type": "application/json", "authorization": f"Bearer {KEY}", **(headers or {})}
        connection.request(method, path, None if body is None else json.dumps(body), sent)
        response = connection.getresponse()
        return response.status, response.read(), dict(response.getheaders())


UNFINISHED = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\nAuthorization: Bearer %s\r\n\r\nx"


def test_late_heads_bodies_and_idle_connections_are_ended(serve):
    with serve(SHORT) as (port, _):
        waiting = {
            "silent": connect(port),
            "slow head": connect(port, b"GET /healthz HTTP/1.1\r\nHost: a\r\n"),
            "blank lines": connect(port, b"\r\n"),
            "unfinished body": connect(port, UNFINISHED % (b"/v1/recommend", b"x")),
            "idle": connect(port, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"),
            "unread body": connect(port, UNFINISHED.replace(b"1000", b"99999999") % (b"/v1/recommend", b"x")),
        }
        statuses = {name: answer(connection) for name, connection in waiting.items()}
    assert statuses["silent"][0] is None and statuses["slow head"][0] == 408
    assert statuses["unfinished body"][0] == 408 and b"retry-after: 1" in statuses["unfinished body"][1].lower()
    assert b"urn:palate:problem:request-timeout" in statuses["unfinished body"][1]
    assert statuses["idle"][0] == 200 and statuses["unread body"][0] == 413


def test_a_body_that_arrives_at_a_fair_rate_is_given_time():
    limits = Limits(body_seconds=10)
    assert limits.body_deadline(0) == 10 and limits.body_deadline(12 * 2**20) == 202


@pytest.mark.parametrize(
    "first, then, status",
    [
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n", b"X-Filler: " + b"y" * 990 + b"\r\n", 431),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Endless: ", b"y" * 1000, 431),
        (b"GET /", b"z" * 1000, 414),
        (b"X", b"X" * 1000, 400),
        (b"POST /v1/recommend HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
         b"X-Trailer: " + b"y" * 990 + b"\r\n", 400),
        (b"POST /v1/recommend HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2;",
         b"extension=" + b"y" * 990, 400),
    ],
)  # fmt: skip
def test_endless_heads_trailers_and_urls_are_refused_after_some_kib(serve, first, then, status):
    with serve() as (port, _), closing(connect(port, first)) as connection:
        sent = 0
        try:
            for _ in range(4000):
                sent += connection.send(then)
                time.sleep(0)
        except ConnectionError:
            pass
        told, _ = answer(connection)
        assert told in (status, None), "the answer may be lost where the client never reads"
        assert sent < 4_000_000 or told == status
        assert ask(port)[0] == 200


@pytest.mark.parametrize(
    "framing", [b"chunked\r\n\r\n-1\r\n{}", b"chunked\r\n\r\nfffffffffffffffff\r\n", b"xchunked\r\n\r\n{}"]
)
def test_a_malformed_body_is_told(serve, framing):
    head = b"POST /v1/recommend HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: "
    with serve() as (port, _), closing(connect(port, head + framing)) as connection:
        status, told = answer(connection)
        assert status == 400 and told.count(b"HTTP/1.1") == 1 and b"urn:palate:problem:malformed-request" in told
        assert ask(port, "POST", "/v1/recommend", {"k": 3})[0] == 200


def test_a_malformed_body_leaves_the_answer_before_it_whole(serve):
    first = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    bad = b"POST /v1/recommend HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n"
    with serve() as (port, _), closing(connect(port, first + bad)) as connection:
        _, told = answer(connection)
        assert told.count(b"HTTP/1.1 400") == 0 or told.index(b"HTTP/1.1 400") == told.rindex(b"HTTP/1.1")
        assert ask(port)[0] == 200


def test_a_head_that_is_complete_but_too_large_is_refused(serve):
    with serve(Limits(url_bytes=1000, head_bytes=2000)) as (port, _):
        assert ask(port, path="/v1/items/" + "x" * 1001)[0] == 414
        status, body, _ = ask(port, path="/v1/items/x", headers={"x-large": "y" * 1900})
        assert status == 431 and json.loads(body)["type"] == "urn:palate:problem:headers-too-large"
        status, body, _ = ask(port, path="/v1/items/x", headers={"x-large": "y" * 1900, "accept": "text/html"})
        assert status == 431 and b"<h1>" in body


@pytest.mark.parametrize("path", [b"/login", b"/v1/recommend"])
def test_unfinished_uploads_take_no_place(serve, keys, path):
    with serve(keys=keys, queue=2) as (port, app):
        hanging = [connect(port, UNFINISHED % (path, KEY.encode())) for _ in range(30)]
        for _ in range(3):
            assert ask(port, "POST", "/v1/recommend", {"k": 3})[0] == 200
        assert ask(port, path="/readyz")[0] == 200
        app.state.health.room.taken = 2
        assert ask(port, path="/readyz")[0] == 503 and ask(port, "POST", "/v1/recommend", {"k": 3})[0] == 503
        assert ask(port, path="/metrics")[0] == 200 and ask(port)[0] == 200
        app.state.health.room.taken = 0
        for connection in hanging:
            connection.close()


def test_a_reader_that_does_not_read_holds_no_place(serve):
    with serve(queue=1) as (port, _):
        asked = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 400
        with closing(connect(port, asked)):
            # until the buffers are full, some of its requests are being answered
            statuses = (ask(port, "POST", "/v1/recommend", {"k": 3})[0] for _ in range(200))
            assert 200 in statuses


def test_further_connections_replace_silent_ones(serve):
    with serve(Limits(idle_seconds=60, connections=12, client_connections=8)) as (port, _):
        silent = [connect(port) for _ in range(30)]
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as steady:
            for _ in range(3):
                steady.request("GET", "/healthz")
                assert steady.getresponse().read()
                silent += [connect(port) for _ in range(4)]
            assert ask(port)[0] == 200
        closed = sum(connection.recv(1) == b"" for connection in silent[:20])
        assert closed == 20
        for connection in silent:
            connection.close()


class Fake:
    """A connection that is silent, sending or busy."""

    def __init__(self, address, state):
        self.client_address, self.state, self.closed = address, state, False

    def is_waiting(self):
        return self.state == "silent"

    def is_receiving(self):
        return self.state == "sending"

    def give_way(self):
        self.closed = True
        self.table.drop(self)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(("silent", "sending", "busy"))), max_size=60))
def test_numbers_of_connections_are_kept_and_a_busy_one_never_gives_way(arrivals):
    table, kept = ConnectionTable(Limits(connections=10, client_connections=6)), []
    for address, state in arrivals:
        one = Fake(address, state)
        one.table = table
        room = len(table) < 10 or any(other.state != "busy" for other in kept if not other.closed)
        own = [other for other in kept if not other.closed and other.client_address == address]
        own_room = len(own) < 6 or any(other.state != "busy" for other in own)
        assert table.admit(one) == (room and own_room)
        if room and own_room:
            kept.append(one)
        alive = [other for other in kept if not other.closed]
        assert len(table) == len(alive) <= 10 and not any(other.closed for other in kept if other.state == "busy")
        assert all(sum(other.client_address == name for other in alive) <= 6 for name in "abc")
    for one in kept:
        table.drop(one)
        table.drop(one)
    assert len(table) == 0


def test_a_client_of_ipv6_is_a_network_and_a_trusted_proxy_is_many_clients():
    assert client_of("2001:db8::1") == client_of("2001:db8::ffff") != client_of("2001:db8:1::1")
    assert client_of("10.0.0.1") != client_of("10.0.0.2")
    table = ConnectionTable(Limits(client_connections=1), ["10.0.0.0/8"])
    assert [table.admit(Fake("10.0.0.1", "busy")) for _ in range(3)] == [True] * 3
    assert [table.admit(Fake("11.0.0.1", "busy")) for _ in range(3)] == [True, False, False]
    with pytest.raises(ConfigError, match="not an IP address"):
        ConnectionTable(Limits(), ["proxy.local"])


def test_head_requests_get_the_headers_of_get(serve):
    with serve() as (port, _):
        status, body, headers = ask(port, "HEAD", "/healthz")
        assert (status, body, headers["content-length"]) == (200, b"", str(len(ask(port)[1])))


def test_proxy_headers_are_believed_only_of_named_proxies(serve):
    told = {"x-forwarded-for": "198.51.100.7", "x-forwarded-proto": "https"}
    for proxies, expected in ((), "127.0.0.1"), (("10.0.0.1",), "127.0.0.1"), (("127.0.0.0/8",), "198.51.100.7"):
        with serve(proxies=proxies) as (port, app):
            seen = []
            limiter = app.middleware_stack.app
            while not hasattr(limiter, "limiter"):
                limiter = limiter.app
            limiter.limiter.allow = lambda client, seen=seen: seen.append(client) or True
            ask(port, "POST", "/v1/recommend", {}, told)
            assert seen == [expected]


def test_a_websocket_is_refused(serve):
    with serve() as (port, _):
        upgrade = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
        assert ask(port, path="/healthz", headers=upgrade)[0] == 200
