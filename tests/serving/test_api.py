"""The HTTP API: endpoints, problem details, keys, rates and sizes, renamed keys, generators."""

import base64
import dataclasses
import json
import logging
import threading
from typing import ClassVar

import polars as pl
import pytest

fastapi = pytest.importorskip("fastapi")

from starlette.testclient import TestClient  # noqa: E402
from test_list_only import Lists  # noqa: E402

import palate  # noqa: E402
from palate.contracts import Generated, Generator, generators  # noqa: E402
from palate.core.errors import ConfigError  # noqa: E402
from palate.features.plan import plan_content  # noqa: E402
from palate.serving.api.access import MAX_BODY_BYTES  # noqa: E402
from palate.serving.api.app import Settings, create_app  # noqa: E402
from palate.serving.api.keys import ApiKeys  # noqa: E402
from palate.serving.api.rate_limit import RateLimiter  # noqa: E402
from palate.serving.api.responses import JsonResponse  # noqa: E402
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


def ids(response):
    assert response.status_code == 200, response.text
    return [item["id"] for item in response.json()["items"]]


def is_problem(answer, status, *words):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status and body["title"] and body["type"].startswith("urn:palate:problem:")
    for word in words:
        assert word in answer.text
    return body


def test_a_session_of_requests(api, world):
    client = api()
    ready = client.get("/readyz").json()
    assert ready["items"] == 80 and client.get("/healthz").json() == {"status": "ok"}
    items = palate.load(world).items
    row = items.frame["image"].is_not_null().arg_true()[0]
    picture = base64.b64encode((world / items.frame["image"][row]).read_bytes()).decode()
    first = ids(client.post("/v1/recommend", json={"k": 3}))
    sent = {"events": [{"user": "ada", "item": first[0], "type": "like", "event_id": "e1"}]}
    assert client.post("/v1/events", json=sent).json() == {"stored": 1, "duplicates": 0}
    assert client.post("/v1/events", json=sent).json() == {"stored": 0, "duplicates": 1}
    clash = {"events": [{**sent["events"][0], "type": "hide"}]}
    is_problem(client.post("/v1/events", json=clash), 409, "another event", "e1")
    theirs = {"events": [{**clash["events"][0], "user": "ben"}]}
    assert client.post("/v1/events", json=theirs).json() == {"stored": 1, "duplicates": 0}
    told = client.post("/v1/recommend", json={"user": "ada", "k": 5, "include_reasons": True}).json()
    assert first[0] not in [one["id"] for one in told["items"]] and told["items"][0]["reasons"] == [first[0]]
    assert told["run"] == ready["run"] and told["source"] == "match" and told["timings"][0]["outcome"] == "ok"
    assert told["notes"] == []
    one = {"id": "a/b?c", "fields": {"title": "Umberly lamp", "price": 12.5}, "image": picture}
    assert client.post("/v1/items", json={"items": [one]}).json() == {"items": [{"id": "a/b?c", "status": "added"}]}
    assert "a/b?c" in ids(client.post("/v1/search", json={"text": "umberly lamp", "k": 3}))
    assert "a/b?c" in ids(client.post("/v1/search", json={"image": picture, "k": 3}))
    assert "a/b?c" in ids(client.post("/v1/recommend", json={"text": "umberly lamp", "k": 3, "user": "ada"}))
    known = client.get("/v1/items/a/b%3Fc").json()
    assert known["fields"]["price"] == 12.5 and known["image_url"] == "/v1/images/a%2Fb%3Fc"
    shown = client.get(known["image_url"] + "?size=96")
    assert shown.headers["content-type"] == "image/jpeg" and shown.content[:2] == b"\xff\xd8"
    is_problem(client.get("/v1/images/a/b%3Fc?size=97"), 422, "96, 192")
    why = client.post("/v1/explain", json={"user": "ada", "item": "a/b?c"}).json()
    assert [part["id"] for part in why["history"]] in ([first[0]], []) and why["text"]
    assert sum(part["share"] for part in why["modalities"]) + (why["behaviour"] or 0) == pytest.approx(1)
    batch = client.post("/v1/recommend/batch", json={"requests": [{"user": "ada", "k": 5}, {"k": 3}]}).json()
    assert [len(answer["items"]) for answer in batch["responses"]] == [5, 3]
    batch = client.post("/v1/similar/batch", json={"requests": [{"item": first[0], "k": 2}, {"item": "a/b?c"}]}).json()
    assert [one["id"] for one in batch["responses"][0]["items"]] == ids(
        client.post("/v1/similar", json={"item": first[0], "k": 2})
    )
    assert client.delete("/v1/items/a/b%3Fc").status_code == 204
    is_problem(client.get("/v1/items/a/b%3Fc"), 404)
    assert client.delete("/v1/users/ada").json() == {"events": 1, "known": False, "run_files_erased": True}
    told = client.post("/v1/recommend", json={"user": "ada"}).json()
    assert (told["source"], told["fallback"]) == ("popular", "new_user")
    figures = client.get("/metrics").text
    assert 'route="/v1/recommend",status="200"' in figures and 'palate_size{kind="items"} 80.0' in figures
    assert 'palate_stage_seconds_count{outcome="ok",stage="match"}' in figures and "a/b" not in figures
    assert 'palate_fallback_total{reason="new_user",source="popular"}' in figures


@pytest.mark.parametrize(
    "path, sent, status, told",
    [
        ("/v1/recommend", b"{", 400, "not valid JSON"),
        ("/v1/recommend", b"\xff\x1dk\xc3", 400, "not valid JSON"),
        ("/v1/recommend", b"[]", 422, "body"),
        ("/v1/recommend", {"k": 0}, 422, "body.k"),
        ("/v1/recommend", {"kk": 3}, 422, "body.kk"),
        ("/v1/recommend", {"user": "a", "history": []}, 422, "not both"),
        ("/v1/recommend", {"user": "a\0b"}, 422, "body.user"),
        ("/v1/recommend", b'{"user": "\\ud800"}', 422, "body.user"),
        ("/v1/recommend", {"history": ["nothing"]}, 422, "no such item"),
        ("/v1/recommend", {"exclude": ["nothing"]}, 422, "no such item to exclude"),
        ("/v1/recommend", {"history": [True]}, 422, "body.history"),
        ("/v1/recommend", {"model": "gpt"}, 422, "main"),
        ("/v1/recommend", {"filters": {"prize": "3"}}, 422, "did you mean price"),
        ("/v1/recommend", {"filters": {"price": {}}}, 422, "min"),
        ("/v1/recommend", b'{"filters": {"price": {"min": NaN}}}', 422, "finite"),
        ("/v1/recommend", b'{"diversity": 1e999}', 422, "diversity"),
        ("/v1/recommend", {"image": "%%%"}, 422, "base64"),
        ("/v1/recommend", {"image": base64.b64encode(b"<svg/>").decode()}, 422, "picture"),
        ("/v1/similar", {"item": "nothing"}, 404, "no such item"),
        ("/v1/search", {}, 422, "text, image or similar_to"),
        ("/v1/search", {"text": "red", "similar_to": "nothing"}, 404, "no such item"),
        ("/v1/explain", {"item": "nothing", "user": "a"}, 404, "no such item"),
        ("/v1/events", {"events": [{"user": "a", "item": "nothing"}]}, 422, "no such item"),
        ("/v1/events", {"events": [{"user": "a", "item": "b", "type": "steal"}]}, 422, "body.events.0.type"),
        ("/v1/items", {"items": [{"id": "a", "fields": {"titel": "x"}}]}, 422, "did you mean title"),
        ("/v1/items", {"items": [{"id": "a", "fields": {"image": "/etc/passwd"}}]}, 422, "the image itself"),
        ("/v1/nothing", {}, 404, "Not Found"),
    ],
)
def test_invalid_requests_say_what_is_wrong(api, path, sent, status, told):
    raw = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    is_problem(api().post(path, content=raw, headers={"content-type": "application/json"}), status, told)


@pytest.mark.parametrize("whole", [True, False])
def test_ids_are_as_they_are_spelled(tmp_path, whole):
    ids = [str(n) if whole else f"{n:03}" for n in range(1, 9)]
    items = pl.DataFrame({"item_id": ids, "title": [f"red lamp {n}" for n in ids]})
    pairs = [(f"{user:02}", ids[(user + step) % 8]) for user in range(9) for step in range(4)]
    log = pl.DataFrame(pairs, schema=["user_id", "item_id"], orient="row")
    for name, frame in (("items", items), ("interactions", log)):
        frame.write_csv(tmp_path / f"{name}.csv")
    data = palate.load(tmp_path)
    assert data.items.ids.ids.dtype == (pl.Int64 if whole else pl.String)
    palate.models.ContentKNN().fit(data, content=plan_content(data, {"text": "tfidf"})).save(tmp_path / "run")
    with TestClient(create_app(Settings(str(tmp_path / "run"), str(tmp_path / "state"), page=False))) as client:
        listed = client.post("/v1/recommend", json={"user": "01", "k": 8}).json()
        assert {one["id"] for one in listed["items"]} <= set(ids) and listed["source"] == "match"
        assert client.get(f"/v1/items/{ids[0]}").json()["id"] == ids[0]
        answers = {
            one: client.post("/v1/recommend", json={"history": [one], "k": 8}).status_code for one in (1, "1", "001")
        }
        assert answers == ({1: 200, "1": 200, "001": 422} if whole else {1: 422, "1": 422, "001": 200})
        rest = client.post("/v1/recommend", json={"history": [ids[0]], "exclude": ids[1:4], "k": 8}).json()
        assert {one["id"] for one in rest["items"]} == set(ids[4:])
        new = [{"id": "031", "fields": {"title": "blue vase"}}]
        assert client.post("/v1/items", json={"items": new}).status_code == (422 if whole else 201)


def test_text_with_an_item_needs_a_shared_space(api, world):
    first = palate.load(world).items.frame["item_id"][0]
    is_problem(api().post("/v1/search", json={"text": "red", "similar_to": first}), 422, "--model clip")


def test_keys_grant_their_permissions(api, tmp_path, caplog):
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


def test_a_session_opens_the_page_and_not_the_api(runs, tmp_path):
    file = tmp_path / "keys"
    file.write_text(f"{USE} use\n")
    app = create_app(Settings(str(runs("knn")), str(tmp_path / "state"), keys=str(file), rate=0))
    with TestClient(app, follow_redirects=False) as client:
        closed = client.get("/")
        assert closed.status_code == 303 and closed.headers["location"] == "/login"
        assert client.get("/login").status_code == 200 == client.get("/static/page.css").status_code
        assert client.post("/login", data={"key": "wrong"}).status_code == 403
        opened = client.post("/login", data={"key": USE})
        assert opened.status_code == 303 and "palate_session=" in opened.headers["set-cookie"]
        assert client.get("/").status_code == 200
        is_problem(client.post("/v1/recommend", json={}), 401)
        is_problem(client.post("/remove", data={"item": "a"}), 403, "manage")


def test_sessions_expire_and_cannot_be_forged(tmp_path, monkeypatch):
    keys = ApiKeys({MANAGE: "manage", USE: "use"}, b"secret")
    cookie = keys.session_cookie(USE)
    assert keys.session_cookie("wrong") is None and keys.verify_session(cookie).permission == "use"
    assert keys.verify_session(cookie[:-1] + ("0" if cookie[-1] != "0" else "1")) is None
    mark, until, signature = cookie.split(".")
    assert keys.verify_session(f"{mark}.{int(until) + 1}.{signature}") is None
    assert (
        keys.verify_session(keys.session_cookie(MANAGE).replace(keys.session_cookie(MANAGE).split(".")[0], mark))
        is None
    )
    assert ApiKeys({USE: "use"}, b"other").verify_session(cookie) is None and keys.verify_session("") is None
    monkeypatch.setattr("palate.serving.api.keys.time.time", lambda: int(until) + 1)
    assert keys.verify_session(cookie) is None


@pytest.mark.parametrize("text, told", [("short", "16"), (f"{USE} own", "KEY use"), ("# nobody", "no key")])
def test_an_invalid_file_of_keys_is_refused_by_line(tmp_path, text, told):
    (tmp_path / "keys").write_text(text)
    with pytest.raises(ConfigError, match=told) as error:
        ApiKeys.from_file(tmp_path / "keys", b"")
    assert USE not in str(error.value)


def test_the_rate_of_a_client_is_limited(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("palate.serving.api.rate_limit.time.monotonic", lambda: now[0])
    limits = RateLimiter(2)
    assert [limits.allow("a") for _ in range(6)] == [True] * 4 + [False] * 2 and limits.allow("b")
    now[0] = 0.5
    assert [limits.allow("a") for _ in range(2)] == [True, False]
    now[0] = 100
    assert [limits.allow("a") for _ in range(5)] == [True] * 4 + [False]
    assert all(RateLimiter(0).allow("a") for _ in range(1000))


def test_a_client_over_its_rate_gets_retry_after(runs, tmp_path):
    app = create_app(Settings(str(runs("knn")), str(tmp_path / "state"), rate=1, page=False))
    with TestClient(app) as client:
        answers = [client.post("/v1/recommend", json={}) for _ in range(4)]
        assert [one.status_code for one in answers[:2]] == [200, 200]
        is_problem(answers[-1], 429)
        assert answers[-1].headers["retry-after"] == "1"


def test_requests_in_flight_are_limited(api, monkeypatch):
    client = api(queue=1)
    go, inside = threading.Event(), threading.Event()
    service = client.app.state.service
    recommend = service.recommend

    def slow(request):
        inside.set()
        go.wait(10)
        return recommend(request)

    monkeypatch.setattr(service, "recommend", slow)
    answers = []
    first = threading.Thread(
        target=lambda: answers.append(client.post("/v1/recommend", json={"include_reasons": True}))
    )
    first.start()
    assert inside.wait(10)
    is_problem(client.post("/v1/recommend", json={"include_reasons": True}), 503, "in flight")
    assert client.get("/healthz").status_code == 200, "health is reported under overload, too"
    go.set()
    first.join()
    assert answers[0].status_code == 200 == client.post("/v1/recommend", json={"include_reasons": True}).status_code
    assert "palate_rejected_total 1.0" in client.get("/metrics").text


def test_the_size_of_bodies_is_limited(api):
    client = api()
    is_problem(client.post("/v1/recommend", content=b"x" * (MAX_BODY_BYTES + 1)), 413)

    def endless():
        for _ in range(MAX_BODY_BYTES // 2**20 + 2):
            yield b"x" * 2**20

    is_problem(client.post("/v1/recommend", content=endless()), 413)
    is_problem(client.post("/v1/recommend", content=b"{}", headers={"content-length": "-1"}), 413)


def test_other_origins_need_cors(api, runs, tmp_path):
    asking = {"origin": "https://other.example"}
    client = api()
    assert "access-control-allow-origin" not in client.post("/v1/recommend", json={}, headers=asking).headers
    app = create_app(Settings(str(runs("knn")), str(tmp_path / "two"), page=False, cors=("https://other.example",)))
    with TestClient(app) as client:
        answer = client.post("/v1/recommend", json={}, headers=asking)
        assert answer.headers["access-control-allow-origin"] == "https://other.example"
        answer = client.post("/v1/recommend", json={}, headers={"origin": "https://third.example"})
        assert "access-control-allow-origin" not in answer.headers


def test_internal_errors_reveal_nothing(api, monkeypatch, caplog):
    client = api()
    monkeypatch.setattr(client.app.state.service, "recommend", lambda request: 1 / 0)
    body = is_problem(client.post("/v1/recommend", json={}), 500)
    assert "zero" not in json.dumps(body) and "ZeroDivisionError" in caplog.text


def test_errors_do_not_name_files(api, monkeypatch):
    client = api()

    def broken(request):
        raise palate.core.errors.DataError("damaged", file="/home/shop/secret.db")

    monkeypatch.setattr(client.app.state.service, "recommend", broken)
    assert "secret.db" not in client.post("/v1/recommend", json={}).text


class Echo(Generator):
    """Repeats the titles of the request; counts how often it is made."""

    name, kinds = "echo", ("title", "cover")
    made: ClassVar[int] = 0

    def __init__(self):
        super().__init__()
        type(self).made += 1

    def generate(self, requests, *, seed=0):
        return [
            Generated(
                f"{request.item['title']}, {len(request.history)} liked, {request.prompt}, seed {seed}",
                b"\x89PNG" if request.kind == "cover" else None,
                provenance={"model": self.name},
                scores={"length": float("nan")},
            )
            for request in requests
        ]


def test_generation_without_a_generator_says_so(api, monkeypatch):
    client = api()
    first = ids(client.post("/v1/recommend", json={"k": 1}))[0]
    monkeypatch.setattr(generators, "items", lambda: iter(()))
    body = is_problem(client.post("/v1/generate", json={"kind": "title", "item": first}), 422, "no generator")
    assert "palate.generators" in body["hint"]


def test_a_generator_is_made_once_and_seeded_by_the_request(api, monkeypatch):
    monkeypatch.setitem(generators._known, "echo", Echo)
    monkeypatch.setattr(Echo, "made", 0)
    client = api()
    first = ids(client.post("/v1/recommend", json={"k": 2}))
    request = {"kind": "title", "item": first[0], "history": [first[1]], "prompt": "short", "seed": 7}
    content = client.post("/v1/generate", json=request).json()
    assert content["text"].endswith("1 liked, short, seed 7") and content["provenance"] == {"model": "echo"}
    assert content["image"] is None and content["generator"] == "echo" and content["scores"] == {"length": None}
    mixed = client.post("/v1/generate", json={"kind": "cover", "item": first[0]}).json()
    assert base64.b64decode(mixed["image"]) == b"\x89PNG" and mixed["text"].endswith("0 liked, None, seed 0")
    assert Echo.made == 1
    for request, status, words in (
        ({"kind": "banner", "item": first[0]}, 422, "echo: title, cover"),
        ({"kind": "title", "item": first[0], "generator": "eco"}, 422, "did you mean echo"),
        ({"kind": "banner", "item": first[0], "generator": "echo"}, 422, "does not generate"),
        ({"kind": "picture", "item": first[0]}, 422, "body.kind"),
        ({"kind": "title", "item": "nothing"}, 404, "no such item"),
        ({"kind": "title", "item": first[0], "history": ["nothing"]}, 422, "no such item"),
    ):
        is_problem(client.post("/v1/generate", json=request), status, words)


@pytest.mark.parametrize(
    "path, body, new",
    [
        ("/v1/recommend", {"liked": []}, "history"),
        ("/v1/recommend", {"seen": True}, "include_seen"),
        ("/v1/recommend", {"because": True}, "include_reasons"),
        ("/v1/recommend/batch", {"requests": [{"liked": []}]}, "history"),
        ("/v1/search", {"like": "a"}, "similar_to"),
        ("/v1/explain", {"item": "a", "liked": []}, "history"),
        ("/v1/events", {"events": [{"user": "a", "item": "b", "kind": "like"}]}, "type"),
        ("/v1/events", {"events": [{"user": "a", "item": "b", "key": "e"}]}, "event_id"),
        ("/v1/events", {"events": [{"user": "a", "item": "b", "time": 0}]}, "timestamp"),
        ("/v1/generate", {"kind": "title", "item": "a", "liked": []}, "history"),
        ("/v1/generate", {"kind": "title", "item": "a", "wish": "b"}, "prompt"),
    ],
)
def test_a_key_of_an_earlier_version_is_refused_by_naming_the_new_one(api, path, body, new):
    body = is_problem(api().post(path, json=body), 422)
    assert [error["message"].endswith(f"was renamed to '{new}'") for error in body["errors"]] == [True]


def test_every_response_has_an_id_of_its_own(api):
    client = api()
    responses = [client.post("/v1/recommend", json={}).json() for _ in range(3)]
    responses += client.post("/v1/recommend/batch", json={"requests": [{}, {}]}).json()["responses"]
    assert len({response["recommendation_id"] for response in responses}) == 5


def test_numbers_that_are_not_finite_are_null():
    assert JsonResponse({"a": [1.5, float("nan")], "b": float("-inf")}).body == b'{"a":[1.5,null],"b":null}'


def test_a_model_that_only_lists_answers_with_notes_and_refuses_explanations_with_a_hint(api):
    client = api()
    snapshot = client.app.state.service.snapshot
    main = snapshot.models["main"]
    snapshot.models["lists"] = dataclasses.replace(main, name="lists", scorer=Lists(main.scorer), index=None)
    user = next(iter(snapshot.users))
    request = {"user": user, "k": 3, "include_reasons": True, "model": "lists"}
    listed = client.post("/v1/recommend", json=request).json()
    assert len(listed["items"]) == 3 and [item["reasons"] for item in listed["items"]] == [[]] * 3
    assert len(listed["notes"]) == 1 and "'lists'" in listed["notes"][0]
    request = {"user": user, "item": listed["items"][0]["id"], "model": "lists"}
    body = is_problem(client.post("/v1/explain", json=request), 422, "explanation needs scores")
    assert body["hint"] == "ask another model of this service"


def test_a_public_address_needs_keys(runs, tmp_path):
    with pytest.raises(ConfigError, match="--keys"):
        serve(Settings(str(runs("knn")), str(tmp_path / "state")), "0.0.0.0")


def test_the_openapi_description_is_complete(api):
    described = api().get("/openapi.json").json()
    routes = {(method.upper(), path) for path, item in described["paths"].items() for method in item}
    assert {
        ("POST", f"/v1/{name}") for name in ("recommend", "similar", "search", "explain", "items", "events")
    } <= routes
    assert ("DELETE", "/v1/users/{user}") in routes and ("DELETE", "/v1/items/{item}") in routes
    for path, item in described["paths"].items():
        for method, operation in item.items():
            assert operation.get("description") or operation.get("summary"), (method, path)


def test_a_database_that_is_away(api, monkeypatch):
    client = api()
    service = client.app.state.service
    known, first = next(iter(service.snapshot.users)), service.snapshot.ids[0]
    event = {"events": [{"user": "ada", "item": first, "type": "like"}]}

    def away(*given, **values):
        raise TimeoutError

    with monkeypatch.context() as patch:
        for name in ("_rows", "_data_version", "_transaction"):
            patch.setattr(service.database, name, away)
        told = client.post("/v1/recommend", json={"user": known, "k": 3}).json()
        assert len(told["items"]) == 3 and told["fallback"] is None and "database" in told["notes"][0]
        assert told["timings"][0]["stage"] == "history" and told["timings"][0]["outcome"] == "failed"
        told = client.post("/v1/recommend", json={"user": "ada", "k": 3}).json()
        assert len(told["items"]) == 3 and told["fallback"] == "history_unavailable"
        refused = client.post("/v1/events", json=event)
        is_problem(refused, 503, "at the moment")
        assert refused.headers["retry-after"] == "1"
        is_problem(client.delete("/v1/users/ada"), 503)
        is_problem(client.get("/readyz"), 503, "at the moment")
        assert client.get("/healthz").status_code == 200
        figures = client.get("/metrics")
        assert figures.status_code == 200 and 'reason="history_unavailable"' in figures.text
    service.database.reads.succeeded()
    service.database.writes.succeeded()
    assert client.get("/readyz").status_code == 200
    assert client.post("/v1/events", json=event).json() == {"stored": 1, "duplicates": 0}


def test_likes_and_hides_are_taken_back(api):
    client = api()
    first = ids(client.post("/v1/recommend", json={"k": 2}))

    def send(item, kind):
        sent = {"events": [{"user": "ada", "item": item, "type": kind}]}
        assert client.post("/v1/events", json=sent).status_code == 201

    near = ids(client.post("/v1/similar", json={"item": first[0], "k": 3, "user": "ada"}))
    send(near[0], "hide")
    send(first[1], "like")
    for path, body in (
        ("/v1/similar", {"item": first[0], "k": 80, "user": "ada"}),
        ("/v1/search", {"similar_to": first[0], "k": 80, "user": "ada"}),
        ("/v1/recommend", {"user": "ada", "k": 80, "include_seen": True}),
    ):
        assert near[0] not in ids(client.post(path, json=body))
    send(near[0], "unhide")
    assert near[0] in ids(client.post("/v1/similar", json={"item": first[0], "k": 80, "user": "ada"}))
    assert client.post("/v1/recommend", json={"user": "ada"}).json()["fallback"] is None
    send(first[1], "unlike")
    assert client.post("/v1/recommend", json={"user": "ada"}).json()["fallback"] == "new_user"


def test_a_filter_that_nothing_matches_gives_an_empty_list_and_a_warning(api):
    client = api()
    told = client.post("/v1/recommend", json={"filters": {"category": "sold out"}}).json()
    assert told["items"] == [] and told["notes"] == ["filters: no item has 'sold out' as its category"]
    frame = client.app.state.service.snapshot.items.frame
    price = frame["price"][0]
    same = {str(item) for item in frame.filter(frame["price"] == price)["item_id"]}
    assert set(ids(client.post("/v1/recommend", json={"filters": {"price": price}, "k": 80}))) == same


def test_a_late_search_is_an_answer_of_its_own(api, monkeypatch):
    """503 with Retry-After rather than items that nobody searched for; lists go on, and metrics count it."""
    client, release = api(), threading.Event()
    item = ids(client.post("/v1/recommend", json={"k": 1}))[0]
    for module in ("text_relevance", "item_similarity"):
        monkeypatch.setattr(f"palate.serving.recommend.{module}", lambda *given: release.wait(30))
    monkeypatch.setattr("palate.serving.stages.match.SEARCH_BUDGET", 0.05)
    monkeypatch.setattr("palate.serving.stages.pipeline.FAST", 0.0)
    searches = {"/v1/search": {"text": "lamp"}, "/v1/similar": {"item": item}, "/v1/recommend": {"text": "lamp"}}
    try:
        for path, body in searches.items():
            answer = client.post(path, json=body)
            is_problem(answer, 503, "the search took too long", "again")
            assert answer.headers["retry-after"] == "1" and answer.json()["type"].endswith("unavailable")
        assert ids(client.post("/v1/recommend", json={"k": 1})) == [item]
        assert 'palate_fallback_total{reason="late",source="none"} 3.0' in client.get("/metrics").text
    finally:
        release.set()


def test_a_search_that_fails_is_no_list_either(api, monkeypatch, caplog):
    def fail(*given):
        raise ZeroDivisionError

    client = api()
    monkeypatch.setattr("palate.serving.recommend.text_relevance", fail)
    is_problem(client.post("/v1/search", json={"text": "lamp"}), 503, "the server's log says why")
    assert "ZeroDivisionError" in caplog.text


def test_a_run_that_cannot_take_over_is_said_while_the_former_answers(api, monkeypatch):
    client = api()
    assert client.get("/readyz").json()["warnings"] == []
    replication = client.app.state.service.replication
    monkeypatch.setattr(type(replication), "failed_runs", property(lambda self: ["main"]))
    answer = client.get("/readyz")
    assert answer.status_code == 200 and "'main' was replaced by one that cannot be" in answer.json()["warnings"][0]
    assert "palate_failed_runs 1.0" in client.get("/metrics").text


def test_filters_with_parts(api, world):
    client, frame = api(), palate.load(world).items.frame
    known = {row["item_id"]: row for row in frame.to_dicts()}

    def found(**filters):
        return [known[item] for item in ids(client.post("/v1/recommend", json={"k": 80, "filters": filters}))]

    category = frame["category"].drop_nulls()[0]
    without = found(category={"not": category})
    assert without and all(row["category"] != category for row in without)
    both = found(category=category, price={"min": "20", "not": {"min": 50}})
    assert both and all(row["category"] == category and 20 <= row["price"] < 50 for row in both)
    for wrong in ({}, {"least": 3}, {"any": []}, {"not": {}}):
        is_problem(client.post("/v1/recommend", json={"filters": {"price": wrong}}), 422)
    is_problem(client.post("/v1/recommend", json={"filters": {"price": {"min": "cheap"}}}), 422, "not a number")
    body = is_problem(client.post("/v1/recommend", json={"filters": {"price": {"least": 3}}}), 422)
    assert [error["location"] for error in body["errors"]] == ["body.filters.price.parts.least"], "and no other form"
    assert client.post("/v1/recommend", json={"filters": {"price": True}}).status_code == 422
