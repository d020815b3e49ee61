"""The HTTP API: routes, errors in one form, who may come in, how much and how often, and what a key never meets."""

import base64
import json
import logging
import threading

import pytest

fastapi = pytest.importorskip("fastapi")

from starlette.testclient import TestClient  # noqa: E402

import palate  # noqa: E402
from palate.contracts import Content, Generator, generators  # noqa: E402
from palate.core.errors import ConfigError  # noqa: E402
from palate.serving.api.app import Settings, create_app  # noqa: E402
from palate.serving.api.guard import BODY  # noqa: E402
from palate.serving.api.keys import Keys  # noqa: E402
from palate.serving.api.limits import Limits  # noqa: E402
from palate.serving.run import serve  # noqa: E402

MANAGE, USE = "manage-0123456789abcdef", "use-0123456789abcdef"


@pytest.fixture
def api(runs, tmp_path):
    """``api(**settings)``: a client of an app over the run ``knn``."""
    open_clients = []

    def make(name="knn", **settings):
        app = create_app(Settings(str(runs(name)), str(tmp_path / "state"), rate=0, page=False, **settings))
        open_clients.append(TestClient(app, raise_server_exceptions=False))
        return open_clients[-1].__enter__()

    yield make
    for client in open_clients:
        client.__exit__(None, None, None)


def names(answer):
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["items"]]


def is_problem(answer, status, *told):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status and body["title"] and body["type"] == "about:blank"
    for word in told:
        assert word in answer.text
    return body


def test_a_customers_day(api, world):
    client = api()
    ready = client.get("/readyz").json()
    assert ready["items"] == 80 and client.get("/healthz").json() == {"status": "ok"}
    items = palate.load(world).items
    row = items.frame["image"].is_not_null().arg_true()[0]
    picture = base64.b64encode((world / items.frame["image"][row]).read_bytes()).decode()
    first = names(client.post("/v1/recommend", json={"k": 3}))
    sent = {"events": [{"user": "ada", "item": first[0], "kind": "like", "key": "e1"}]}
    assert [client.post("/v1/events", json=sent).json() for _ in range(2)] == [{"stored": 1}] * 2
    told = client.post("/v1/recommend", json={"user": "ada", "k": 5, "because": True}).json()
    assert first[0] not in [one["id"] for one in told["items"]] and told["items"][0]["because"] == [first[0]]
    assert told["run"] == ready["run"] and told["said_by"] == "match" and told["steps"][0]["outcome"] == "ok"
    one = {"id": "a/b?c", "fields": {"title": "Umberly lamp", "price": 12.5}, "image": picture}
    assert client.post("/v1/items", json={"items": [one]}).json() == {"items": [{"id": "a/b?c", "status": "added"}]}
    assert "a/b?c" in names(client.post("/v1/search", json={"text": "umberly lamp", "k": 3}))
    assert "a/b?c" in names(client.post("/v1/search", json={"image": picture, "k": 3}))
    assert "a/b?c" in names(client.post("/v1/recommend", json={"text": "umberly lamp", "k": 3, "user": "ada"}))
    known = client.get("/v1/items/a/b%3Fc").json()
    assert known["fields"]["price"] == 12.5 and known["picture"] == "/pictures/a/b?c"
    shown = client.get("/pictures/a/b%3Fc?side=96")
    assert shown.headers["content-type"] == "image/jpeg" and shown.content[:2] == b"\xff\xd8"
    why = client.post("/v1/explain", json={"user": "ada", "item": "a/b?c"}).json()
    assert [part["id"] for part in why["liked"]] in ([first[0]], []) and why["words"]
    assert sum(part["share"] for part in why["modalities"]) + (why["behaviour"] or 0) == pytest.approx(1)
    batch = client.post("/v1/recommend/batch", json={"requests": [{"user": "ada", "k": 5}, {"k": 3}]}).json()
    assert [len(answer["items"]) for answer in batch["answers"]] == [5, 3]
    batch = client.post("/v1/similar/batch", json={"requests": [{"item": first[0], "k": 2}, {"item": "a/b?c"}]}).json()
    assert [one["id"] for one in batch["answers"][0]["items"]] == names(
        client.post("/v1/similar", json={"item": first[0], "k": 2})
    )
    assert client.delete("/v1/items/a/b%3Fc").status_code == 204
    is_problem(client.get("/v1/items/a/b%3Fc"), 404)
    assert client.delete("/v1/users/ada").json() == {"events": 1, "known": False}
    assert client.post("/v1/recommend", json={"user": "ada"}).json()["said_by"] == "popular"
    figures = client.get("/metrics").text
    assert 'route="/v1/recommend",status="200"' in figures and 'palate_size{what="items"} 80.0' in figures
    assert 'palate_stage_seconds_count{outcome="ok",stage="match"}' in figures and "a/b" not in figures


@pytest.mark.parametrize(
    "path, sent, status, told",
    [
        ("/v1/recommend", b"{", 400, "not JSON"),
        ("/v1/recommend", b"\xff\x1dk\xc3", 400, "not JSON"),
        ("/v1/recommend", b"[]", 422, "body"),
        ("/v1/recommend", {"k": 0}, 422, "body.k"),
        ("/v1/recommend", {"kk": 3}, 422, "body.kk"),
        ("/v1/recommend", {"user": "a", "liked": []}, 422, "not both"),
        ("/v1/recommend", {"user": "a\0b"}, 422, "body.user"),
        ("/v1/recommend", b'{"user": "\\ud800"}', 422, "body.user"),
        ("/v1/recommend", {"liked": ["nothing"]}, 422, "no such item"),
        ("/v1/recommend", {"model": "gpt"}, 422, "main"),
        ("/v1/recommend", {"filters": {"prize": "3"}}, 422, "did you mean price"),
        ("/v1/recommend", {"filters": {"price": {}}}, 422, "min"),
        ("/v1/recommend", b'{"filters": {"price": {"min": NaN}}}', 422, "finite"),
        ("/v1/recommend", b'{"diversity": 1e999}', 422, "diversity"),
        ("/v1/recommend", {"image": "%%%"}, 422, "base64"),
        ("/v1/recommend", {"image": base64.b64encode(b"<svg/>").decode()}, 422, "picture"),
        ("/v1/similar", {"item": "nothing"}, 404, "no such item"),
        ("/v1/search", {}, 422, "text, image or like"),
        ("/v1/search", {"text": "red", "like": "nothing"}, 404, "no such item"),
        ("/v1/explain", {"item": "nothing", "user": "a"}, 404, "no such item"),
        ("/v1/events", {"events": [{"user": "a", "item": "nothing"}]}, 422, "no such item"),
        ("/v1/events", {"events": [{"user": "a", "item": "b", "kind": "steal"}]}, 422, "kind"),
        ("/v1/items", {"items": [{"id": "a", "fields": {"titel": "x"}}]}, 422, "did you mean title"),
        ("/v1/items", {"items": [{"id": "a", "fields": {"image": "/etc/passwd"}}]}, 422, "the picture itself"),
        ("/v1/nothing", {}, 404, "Not Found"),
    ],
)
def test_what_cannot_be_answered_says_why(api, path, sent, status, told):
    raw = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    is_problem(api().post(path, content=raw, headers={"content-type": "application/json"}), status, told)


def test_words_beside_an_item_need_a_space(api, world):
    first = palate.load(world).items.frame["item_id"][0]
    is_problem(api().post("/v1/search", json={"text": "red", "like": first}), 422, "--model clip")


def test_keys_open_what_they_are_for(api, tmp_path, caplog):
    file = tmp_path / "keys"
    file.write_text(f"# those who may\n{MANAGE}\n{USE} use\n")
    caplog.set_level(logging.DEBUG)
    client = api(keys=str(file))
    assert client.get("/healthz").status_code == 200 == client.get("/readyz").status_code
    answer = client.post("/v1/recommend", json={})
    is_problem(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"
    for wrong in ("Bearer nothing", f"Basic {USE}", f"Bearer {USE} ", "Bearer"):
        assert client.post("/v1/recommend", json={}, headers={"authorization": wrong}).status_code in (200, 401)
    use, manage = ({"authorization": f"Bearer {key}"} for key in (USE, MANAGE))
    assert client.post("/v1/recommend", json={}, headers=use).status_code == 200
    put = {"items": [{"id": "new", "fields": {"title": "x"}}]}
    for method, path, sent in (
        ("POST", "/v1/items", put), ("DELETE", "/v1/items/new", None), ("DELETE", "/v1/users/a", None),
        ("GET", "/metrics", None),
    ):  # fmt: skip
        is_problem(client.request(method, path, json=sent, headers=use), 403)
        assert client.request(method, path, json=sent, headers=manage).status_code in (200, 201, 204)
    assert USE not in caplog.text and MANAGE not in caplog.text
    assert client.get("/openapi.json").status_code == 401


def test_cookies_let_in_for_a_while(tmp_path, monkeypatch):
    keys = Keys({MANAGE: "manage", USE: "use"}, b"secret")
    cookie = keys.entry(USE)
    assert keys.entry("wrong") is None and keys.entered(cookie)[0] == "use"
    assert keys.entered(cookie[:-1] + ("0" if cookie[-1] != "0" else "1")) is None
    mark, until, signature = cookie.split(".")
    assert keys.entered(f"{mark}.{int(until) + 1}.{signature}") is None
    assert keys.entered(keys.entry(MANAGE).replace(keys.entry(MANAGE).split(".")[0], mark)) is None
    assert Keys({USE: "use"}, b"other").entered(cookie) is None and keys.entered("") is None
    monkeypatch.setattr("palate.serving.api.keys.time.time", lambda: int(until) + 1)
    assert keys.entered(cookie) is None


@pytest.mark.parametrize("text, told", [("short", "16"), (f"{USE} own", "KEY use"), ("# nobody", "no key")])
def test_a_file_of_keys_that_is_wrong_is_refused_by_line(tmp_path, text, told):
    (tmp_path / "keys").write_text(text)
    with pytest.raises(ConfigError, match=told) as error:
        Keys.read(tmp_path / "keys", b"")
    assert USE not in str(error.value)


def test_one_client_at_most_so_often(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("palate.serving.api.limits.time.monotonic", lambda: now[0])
    limits = Limits(2)
    assert [limits.allow("a") for _ in range(6)] == [True] * 4 + [False] * 2 and limits.allow("b")
    now[0] = 0.5
    assert [limits.allow("a") for _ in range(2)] == [True, False]
    now[0] = 100
    assert [limits.allow("a") for _ in range(5)] == [True] * 4 + [False]
    assert all(Limits(0).allow("a") for _ in range(1000))


def test_who_asks_too_often_is_told_when_to_come_back(runs, tmp_path):
    app = create_app(Settings(str(runs("knn")), str(tmp_path / "state"), rate=1, page=False))
    with TestClient(app) as client:
        answers = [client.post("/v1/recommend", json={}) for _ in range(4)]
        assert [one.status_code for one in answers[:2]] == [200, 200]
        is_problem(answers[-1], 429)
        assert answers[-1].headers["retry-after"] == "1"


def test_there_is_room_for_so_many(api, monkeypatch):
    client = api(queue=1)
    go, inside = threading.Event(), threading.Event()
    shop = client.app.state.shop
    recommend = shop.recommend

    def slow(wish):
        inside.set()
        go.wait(10)
        return recommend(wish)

    monkeypatch.setattr(shop, "recommend", slow)
    answers = []
    first = threading.Thread(target=lambda: answers.append(client.post("/v1/recommend", json={})))
    first.start()
    assert inside.wait(10)
    is_problem(client.post("/v1/recommend", json={}), 503, "no room")
    assert client.get("/healthz").status_code == 200, "whether it lives is answered all the same"
    go.set()
    first.join()
    assert answers[0].status_code == 200 == client.post("/v1/recommend", json={}).status_code
    assert "palate_shed_total 1.0" in client.get("/metrics").text


def test_bodies_have_an_end(api):
    client = api()
    is_problem(client.post("/v1/recommend", content=b"x" * (BODY + 1)), 413)

    def endless():
        for _ in range(BODY // 2**20 + 2):
            yield b"x" * 2**20

    is_problem(client.post("/v1/recommend", content=endless()), 413)
    is_problem(client.post("/v1/recommend", content=b"{}", headers={"content-length": "-1"}), 413)


def test_other_pages_may_not_ask_unless_told(api, runs, tmp_path):
    asking = {"origin": "https://other.example"}
    client = api()
    assert "access-control-allow-origin" not in client.post("/v1/recommend", json={}, headers=asking).headers
    app = create_app(Settings(str(runs("knn")), str(tmp_path / "two"), page=False, cors=("https://other.example",)))
    with TestClient(app) as client:
        answer = client.post("/v1/recommend", json={}, headers=asking)
        assert answer.headers["access-control-allow-origin"] == "https://other.example"
        answer = client.post("/v1/recommend", json={}, headers={"origin": "https://third.example"})
        assert "access-control-allow-origin" not in answer.headers


def test_a_fault_of_ours_says_nothing_of_the_inside(api, monkeypatch, caplog):
    client = api()
    monkeypatch.setattr(client.app.state.shop, "recommend", lambda wish: 1 / 0)
    body = is_problem(client.post("/v1/recommend", json={}), 500)
    assert "zero" not in json.dumps(body) and "ZeroDivisionError" in caplog.text


def test_errors_do_not_name_files(api, monkeypatch):
    client = api()

    def broken(wish):
        raise palate.core.errors.DataError("damaged", file="/home/shop/secret.db")

    monkeypatch.setattr(client.app.state.shop, "recommend", broken)
    assert "secret.db" not in client.post("/v1/recommend", json={}).text


def test_generators_are_served_when_there_are_any(api, monkeypatch):
    assert api().post("/v1/generate", json={}).status_code == 404

    class Parrot(Generator):
        name, kinds = "parrot", ("text",)

        def generate(self, request):
            return Content(f"{request.item['title']}, for who liked {len(request.liked)}", None, {"by": "parrot"})

    monkeypatch.setitem(generators._known, "parrot", Parrot)
    client = api()
    first = names(client.post("/v1/recommend", json={"k": 2}))
    made = client.post("/v1/generate", json={"kind": "text", "item": first[0], "liked": [first[1]]}).json()
    assert made["text"].endswith("for who liked 1") and made["provenance"] == {"by": "parrot"}
    is_problem(client.post("/v1/generate", json={"kind": "picture", "item": first[0]}), 422, "no such generator")
    assert "/v1/generate" in client.get("/openapi.json").json()["paths"]


def test_an_address_that_others_reach_needs_keys(runs, tmp_path):
    with pytest.raises(ConfigError, match="--keys"):
        serve(Settings(str(runs("knn")), str(tmp_path / "state")), "0.0.0.0")


def test_the_description_is_whole(api):
    described = api().get("/openapi.json").json()
    routes = {(method.upper(), path) for path, item in described["paths"].items() for method in item}
    assert {
        ("POST", f"/v1/{name}") for name in ("recommend", "similar", "search", "explain", "items", "events")
    } <= routes
    assert ("DELETE", "/v1/users/{user}") in routes and ("DELETE", "/v1/items/{item}") in routes
    for path, item in described["paths"].items():
        for method, operation in item.items():
            assert operation.get("description") or operation.get("summary"), (method, path)
