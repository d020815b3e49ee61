"""What every response has in common: origins, hosts, problems, pages of errors, compression, the description."""

import json
import re

import pytest

pytest.importorskip("fastapi")

from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from palate.core.errors import ConfigError, DataError
from palate.serving.api.app import Settings, create_app
from palate.serving.api.hosts import AllowedHosts
from palate.serving.api.request_body import MAX_BODY_BYTES
from palate.serving.availability import DatabaseUnavailable
from palate.serving.network.limits import Limits

MANAGE, USE = "manage-0123456789abcdef", "use-0123456789abcdef"
ORIGIN = "https://shop.example"
BROWSER = {"accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}


@pytest.fixture
def client(runs, tmp_path):
    """``client(**settings)``: a client of an app with the page and keys."""
    file, open_clients = tmp_path / "keys", []
    file.write_text(f"{MANAGE} manage\n{USE} use\n")

    def make(keys=True, **settings):
        given = {"rate": 0, "keys": str(file) if keys else None, **settings}
        app = create_app(Settings(str(runs("knn")), str(tmp_path / "state"), **given))
        open_clients.append(TestClient(app, raise_server_exceptions=False, follow_redirects=False))
        return open_clients[-1].__enter__()

    yield make
    for one in open_clients:
        one.__exit__(None, None, None)


def with_key(key, **headers):
    return {"authorization": f"Bearer {key}", **{name.replace("_", "-"): value for name, value in headers.items()}}


def test_a_preflight_needs_no_key_and_every_refusal_can_be_read_by_the_origin(client, monkeypatch):
    one = client(cors=(ORIGIN,), rate=1000, limits=Limits(head_bytes=3000, url_bytes=500))
    asked = {"origin": ORIGIN, "access-control-request-method": "POST"}
    preflight = one.options("/v1/recommend", headers={**asked, "access-control-request-headers": "authorization"})
    assert preflight.status_code == 200 and preflight.headers["access-control-allow-origin"] == ORIGIN
    assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
    assert (
        "access-control-allow-origin"
        not in one.options("/v1/recommend", headers={**asked, "origin": "https://evil.example"}).headers
    )

    def refused(status, method="POST", path="/v1/recommend", headers=None, **sent):
        answered = one.request(method, path, headers={"origin": ORIGIN, **(headers or {})}, **sent)
        assert answered.status_code == status, answered.text
        assert answered.headers["access-control-allow-origin"] == ORIGIN
        assert answered.headers["access-control-expose-headers"] == "Retry-After"
        assert answered.headers["content-type"] == "application/problem+json"
        return answered

    refused(401, json={})
    refused(403, path="/v1/items", headers=with_key(USE), json={"items": [{"id": "a"}]})
    refused(404, path="/v1/none", headers=with_key(USE), json={})
    refused(405, method="GET", headers=with_key(USE))
    refused(413, headers=with_key(USE, content_length=str(MAX_BODY_BYTES + 1)), content=b"{}")
    refused(414, path="/v1/items/" + "x" * 501, method="GET", headers=with_key(USE))
    refused(422, headers=with_key(USE), json={"k": 0})
    refused(431, headers=with_key(USE, x_large="y" * 3000), json={})
    access = one.app.middleware_stack.app
    while not hasattr(access, "limiter"):
        access = access.app
    access.room.taken = access.room.places
    assert refused(503, headers=with_key(USE), json={}).headers["retry-after"] == "1"
    access.room.taken = 0
    with monkeypatch.context() as patch:
        patch.setattr(access.limiter, "allow", lambda client: False)
        assert refused(429, headers=with_key(USE), json={}).headers["retry-after"] == "1"
    with monkeypatch.context() as patch:
        patch.setattr(one.app.state.service, "recommend", lambda request: 1 / 0)
        refused(500, headers=with_key(USE), json={})
    granted = one.post("/v1/recommend", headers=with_key(USE, origin=ORIGIN), json={})
    assert granted.status_code == 200 and granted.headers["access-control-allow-origin"] == ORIGIN


@pytest.mark.parametrize(
    "bound, names, host, allowed",
    [
        ("127.0.0.1", (), "127.0.0.1:8000", True),
        ("127.0.0.1", (), "localhost:8000", True),
        ("127.0.0.1", (), "LOCALHOST.", True),
        ("127.0.0.1", (), "[::1]:8000", True),
        ("127.0.0.1", (), "evil.example", False),
        ("127.0.0.1", (), "localhost.evil.example", False),
        ("127.0.0.1", (), "127.0.0.1.evil.example", False),
        ("127.0.0.1", (), "192.168.1.5", False),
        ("127.0.0.1", (), "localhost@evil.example", False),
        ("127.0.0.1", (), "localhost:evil", False),
        ("127.0.0.1", (), "127.0.0.1%00.evil.example", False),
        ("127.0.0.1", (), "127.0.0.1%25eth0", False),
        ("127.0.0.1", (), "", False),
        ("127.0.0.1", ("shop.example",), "shop.example:443", True),
        ("127.0.0.1", ("shop.example",), "a.shop.example", False),
        ("192.168.1.5", (), "192.168.1.5", True),
        ("192.168.1.5", (), "192.168.1.6", False),
        ("0.0.0.0", (), "192.168.1.5:80", True),
        ("::", (), "[fe80::1]", True),
        ("0.0.0.0", (), "evil.example", False),
        ("shop.local", (), "shop.local", True),
    ],
)
def test_only_hosts_that_the_server_is_told_of_are_answered(bound, names, host, allowed):
    assert AllowedHosts(bound, names).allows([(b"host", host.encode())]) is allowed


def test_a_request_names_one_host():
    hosts = AllowedHosts("127.0.0.1")
    assert not hosts.allows([]) and not hosts.allows([(b"host", b"localhost"), (b"host", b"evil.example")])
    with pytest.raises(ConfigError, match="host name"):
        AllowedHosts("127.0.0.1", ["https://shop.example"])


@given(st.text(alphabet=st.characters(codec="latin-1"), max_size=30))
def test_no_other_host_is_answered(host):
    known = re.fullmatch(r"(localhost\.*|127(\.\d{1,3}){3}\.*|\[::1\]|)(:\d{1,5})?", host.strip().lower())
    assert not AllowedHosts("127.0.0.1").allows([(b"host", host.encode("latin-1"))]) or known


def test_a_page_of_another_name_cannot_act(client):
    one = client(keys=False, host="127.0.0.1")
    evil = {"host": "evil.example", "origin": "http://evil.example"}
    assert one.get("/", headers={"host": "127.0.0.1:8000"}).status_code == 200
    for method, path, sent in (
        ("GET", "/", None), ("POST", "/v1/events", {"events": []}), ("POST", "/v1/items", {"items": []}),
        ("GET", "/image/x", None), ("GET", "/static/page.css", None), ("GET", "/metrics", None),
    ):  # fmt: skip
        answered = one.request(method, path, json=sent, headers=evil)
        assert answered.status_code == 421 and "--host-name" in answered.text
    assert one.post("/remove", data={"item": "x"}, headers=evil).status_code == 421
    assert one.get("/healthz", headers=evil).status_code == 200


@pytest.mark.parametrize(
    "path, status, words", [("/nosuchpage", 404, "Page not found"), ("/feedback", 405, "Not possible at this address")]
)
def test_browsers_get_a_page_and_clients_a_problem(client, path, status, words):
    one = client(keys=False)
    page = one.get(path, headers=BROWSER)
    assert page.status_code == status and f"<h1>{words}</h1>" in page.text and 'href="/"' in page.text
    assert (
        page.headers["content-type"].startswith("text/html")
        and "default-src 'none'" in page.headers["content-security-policy"]
    )
    problem = one.get(path)
    assert problem.status_code == status and problem.json()["type"].startswith("urn:palate:problem:")


def test_a_busy_or_broken_server_shows_a_page_with_a_retry(client, monkeypatch):
    one = client(keys=False)
    room = one.app.state.health.room
    room.taken = room.places
    busy = one.get('/search?q="><script>', headers=BROWSER)
    assert busy.status_code == 503 and busy.headers["retry-after"] == "1" and "Try again" in busy.text
    assert "<script" not in busy.text and 'href="/search?q=' in busy.text
    assert one.get("/static/page.css").status_code == 200 and one.get("/metrics").status_code == 200
    first = next(iter(one.app.state.service.snapshot.rows))
    assert one.get(f"/image/{first}").status_code == 200 == one.get(f"/v1/images/{first}").status_code
    assert one.get("/readyz").status_code == 503
    room.taken = 0
    with monkeypatch.context() as patch:
        patch.setattr("palate.serving.page.views.home.home_rows", lambda *given: 1 / 0)
        broken = one.get("/", headers=BROWSER)
    assert broken.status_code == 500 and "Something went wrong" in broken.text and "Zero" not in broken.text
    assert room.taken == 0 and one.get("/readyz").status_code == 200


def test_pictures_and_pages_do_not_count_against_the_rate(client):
    one = client(keys=False, rate=1)
    first = next(iter(one.app.state.service.snapshot.rows))
    for path in (f"/image/{first}", f"/v1/images/{first}", "/static/page.css", "/"):
        assert [one.get(path).status_code for _ in range(6)] == [200] * 6
    assert [one.post("/v1/recommend", json={}).status_code for _ in range(4)][-1] == 429
    assert one.post("/users/clear", data={}).status_code == 429


def test_readiness_tells_of_a_database_that_is_away_or_frozen(client, monkeypatch):
    one = client(keys=False)
    service = one.app.state.service

    def away():
        raise DatabaseUnavailable("the database cannot be reached")

    with monkeypatch.context() as patch:
        patch.setattr(service, "problem", lambda: "the database cannot be reached")
        patch.setattr(service.events, "count", away)
        answered = one.get("/readyz")
        assert answered.status_code == 503 and "database" in answered.text
        assert "palate_size" in one.get("/metrics").text
    assert one.get("/readyz").status_code == 200
    import threading

    frozen = threading.Event()
    with monkeypatch.context() as patch:
        patch.setattr("palate.serving.api.health.SECONDS", 0.05)
        patch.setattr(service, "problem", lambda: frozen.wait(20))
        patch.setattr(service.events, "count", lambda: frozen.wait(20))
        assert [one.get("/readyz").status_code for _ in range(6)] == [503] * 6
        assert one.get("/metrics").status_code == 200 == one.get("/healthz").status_code
        frozen.set()


def test_head_is_answered_wherever_get_is(client):
    one = client(keys=False)
    for path in ("/", "/healthz", "/readyz", "/search", "/static/page.css", "/v1/items/none"):
        got, head = one.get(path), one.head(path)
        assert head.status_code == got.status_code and head.content == b""
        assert head.headers["content-type"] == got.headers["content-type"]


def test_pages_and_json_are_compressed_and_pictures_are_not(client):
    one = client(keys=False)
    for path in ("/", "/static/page.css", "/openapi.json"):
        assert one.get(path, headers={"accept-encoding": "gzip"}).headers["content-encoding"] == "gzip"
        assert "content-encoding" not in one.get(path, headers={"accept-encoding": "identity"}).headers
    rows = one.app.state.service.snapshot.rows
    pictures = [one.get(f"/image/{item}", headers={"accept-encoding": "gzip"}) for item in list(rows)[:9]]
    kinds = {(one.headers["content-type"], one.headers.get("content-encoding")) for one in pictures}
    assert ("image/jpeg", None) in kinds and ("image/jpeg", "gzip") not in kinds


def test_pages_of_the_operator_need_manage(client):
    one = client()
    one.post("/login", data={"key": USE})
    for path in ("/users", "/users/list", "/compare", "/dashboard", "/report", "/add", "/edit?item=x"):
        answered = one.get(path, headers=BROWSER)
        assert answered.status_code == 403 and "Not allowed" in answered.text, path
    home = one.get("/").text
    service = one.app.state.service
    assert "/dashboard" not in home and '/users"' not in home
    assert not any(f'value="{user}"' in home for user in service.snapshot.users)
    one.post("/login", data={"key": MANAGE})
    for path in ("/users", "/users/list", "/compare", "/dashboard"):
        assert one.get(path).status_code == 200, path


def test_typing_a_name_does_not_make_one_that_user_where_keys_are_required(client):
    one = client()
    service = one.app.state.service
    known = next(iter(service.snapshot.users))
    one.post("/login", data={"key": USE})
    refused = one.post("/users/select", data={"user": known})
    assert refused.status_code == 422 and "taken" in refused.text and "palate_user" not in one.cookies
    assert one.post("/users/select", data={"user": "Maria"}).status_code == 303
    item = next(iter(service.snapshot.rows))
    assert one.post("/feedback", data={"item": item, "type": "like"}).status_code == 303
    assert one.post("/users/select", data={"user": "Maria"}).status_code == 303, "of the same browser"
    other = TestClient(one.app, follow_redirects=False)
    other.post("/login", data={"key": USE})
    assert other.post("/users/select", data={"user": "Maria"}).status_code == 422
    other.post("/login", data={"key": MANAGE})
    assert other.post("/users/select", data={"user": known}).status_code == 303


@pytest.mark.parametrize("forged", ["%s", "%s.", "%s.00", "%s.guest", "." * 3, "%%00.%s"])
def test_a_cookie_of_a_user_cannot_be_written_by_hand(client, forged):
    one = client(keys=False)
    user = next(iter(one.app.state.service.snapshot.users))
    one.post("/users/select", data={"user": user})
    assert f"Hello, <bdi>{user}</bdi>" in one.get("/").text
    one.cookies.clear()
    value = forged % user if "%s" in forged else forged
    assert "Hello, <bdi>" not in one.get("/", headers={"cookie": f"palate_user={value}"}).text


def test_problems_name_no_object_in_memory(client, monkeypatch):
    one = client(keys=False)
    broken = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + b"\0" * 40
    import base64

    told = one.post("/v1/search", json={"image": base64.b64encode(broken).decode()})
    assert told.status_code == 422 and "0x" not in told.text and "object" not in told.text
    assert "0x" not in one.post("/search", files={"image": ("a.png", broken)}, data={"q": ""}).text

    def leaky(request):
        raise DataError(f"cannot read {object()}", key=object, hint=str(object()))

    monkeypatch.setattr(one.app.state.service, "recommend", leaky)
    assert "0x" not in one.post("/v1/recommend", json={}).text


def test_the_description_names_errors_keys_and_operations(client):
    described = client(keys=False).get("/openapi.json").json()
    assert described["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    names = []
    for path, item in described["paths"].items():
        for operation in item.values():
            names.append(operation["operationId"])
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    assert list(response["content"]) == ["application/problem+json"], (path, status)
                    assert response["content"]["application/problem+json"]["schema"]["$ref"].endswith("/Problem")
            if path not in ("/readyz", "/healthz"):
                assert {"HTTPBearer": []} in operation["security"]
    assert len(set(names)) == len(names) and {"recommend", "search", "log_events", "erase_user"} <= set(names)
    assert all(re.fullmatch("[a-z_]+", name) for name in names)


def test_times_in_the_future_are_refused(client):
    one = client(keys=False)
    item = next(iter(one.app.state.service.snapshot.rows))
    for timestamp, status in ((9e10, 422), (1.7e12, 422), (1.7e9, 201)):
        sent = {"events": [{"user": "a", "item": item, "timestamp": timestamp}]}
        assert one.post("/v1/events", json=sent).status_code == status
    assert "milliseconds" in json.dumps(
        one.post("/v1/events", json={"events": [{"user": "a", "item": item, "timestamp": 1.7e12}]}).json()
    )
