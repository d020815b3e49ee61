"""Every view without a script: what is on it, what forms do, what is escaped, what is refused."""

import base64
import dataclasses
import json
import re
import shutil
import time
from html.parser import HTMLParser
from urllib.parse import quote, unquote

import numpy as np
import pytest
from page_shop import HOSTILE, LONG, RTL

from palate.contracts import tasks
from palate.core.errors import UnsupportedError
from palate.serving.api.keys import Grant
from palate.serving.events import Event
from palate.serving.page.values import parse_written_number
from palate.serving.service import RecommenderService

VIEWS = ("/", "/users", "/likes", "/search", "/search?q=lamp", "/add", "/compare", "/dashboard", "/login")
VOID = {"meta", "link", "input", "img", "path", "circle", "rect", "use", "br"}


class Page(HTMLParser):
    """Whether tags close in order; ids, attributes, texts."""

    def __init__(self, html):
        super().__init__()
        self.open, self.attributes, self.words, self.tags = [], [], [], []
        self.feed(html)
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag, (tag, self.open)

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))


def sound(response, status=200) -> Page:
    """A page that holds what every page must."""
    assert response.status_code == status, response.text[:2000]
    page = Page(response.text)
    policy = response.headers["content-security-policy"]
    assert "script-src 'self'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "same-origin"
    assert "style" not in page.tags and not [a for a in page.attributes if a[1] == "style" or a[1].startswith("on")]
    assert page.tags.count("script") <= 1
    assert HOSTILE not in response.text
    loads = [value for _, name, value in page.attributes if name in ("src", "href", "action", "srcset")]
    assert all(value.startswith(("/", "#", "data:image/jpeg;")) and value[:2] != "//" for value in loads), loads
    named = [value for _, name, value in page.attributes if name == "id"]
    assert len(named) == len(set(named))
    return page


def cards(html, row="for-you"):
    found = re.search(rf'<ul[^>]*data-row="{row}".*?</ul>\s*</section>', html, re.S)
    return re.findall(r'data-item="([^"]+)"', found[0]) if found else []


@pytest.mark.parametrize("view", VIEWS)
def test_views_without_a_user(client, view):
    response = client.get(view)
    if view == "/login":
        assert response.status_code == 303
        return
    page = sound(response)
    assert page.tags.count("h1") == 1 and page.tags.count("main") == 1


@pytest.mark.parametrize("view", VIEWS[:-1])
def test_views_of_a_known_user(known, fitted, view):
    assert fitted.user in sound(known.get(view)).text


def test_home_without_a_user_shows_popular_items(client, service):
    page = sound(client.get("/"))
    assert "no likes of yours yet" in page.text and "Popular" in page.text and "New here" in page.text
    assert "For you" not in page.text


def test_home_names_liked_items_as_reasons(known, service, fitted):
    html = known.get("/").text
    told = service.recommend(_wish(service, fitted.user))
    assert cards(html) == [item.id for item in told.items]
    assert "Because you liked" in sound(known.get("/")).text
    rows = re.findall(r'data-row="([^"]+)"', html)
    assert {"for-you", "like-1", "new", "popular"} <= set(rows)
    everywhere = [item for row in rows for item in cards(html, row)]
    assert len(everywhere) == len(set(everywhere))


def _wish(service, user, **more):
    from palate.serving.requests import RecommendRequest

    return RecommendRequest(12, user=user, **more)


def test_sliders_and_filters_are_in_the_address(known, service, fitted):
    category = service.snapshot.items.frame["category"][0]
    plain, tuned = known.get("/").text, known.get("/?diversity=1&novelty=0.5").text
    assert cards(plain) != cards(tuned)
    assert 'name="diversity" min="0" max="1" step="0.05" value="1.0"' in tuned
    narrowed = known.get("/", params={"is.category": category})
    sound(narrowed)
    rows = [service.snapshot.row(item) for item in cards(narrowed.text)]
    assert rows and {service.snapshot.items.frame["category"][row] for row in rows} == {category}
    bounded = known.get("/", params={"max.price": "60"}).text
    assert all(service.snapshot.items.frame["price"][service.snapshot.row(item)] <= 60 for item in cards(bounded))
    assert "No items found" in sound(known.get("/", params={"max.price": "0"})).text


@pytest.mark.parametrize("address", ["/?diversity=much", "/?freshness=nan", "/?max.price=cheap", "/?is.nothing=1"])
def test_invalid_parameters_are_reported(known, address):
    assert "Invalid request" in sound(known.get(address), 422).text


def test_a_value_that_no_item_has_gives_an_empty_list(known):
    assert "No items found" in sound(known.get("/?is.category=none")).text
    assert "No good match" in sound(known.get("/search?q=lamp&is.category=none")).text
    page = known.get("/search?q=lamp&min.price=100000").text
    assert '<details class="filters" open>' in page and "remove the filters" in page
    assert '<details class="filters">' in known.get("/search?q=lamp").text


def test_rows_alone_for_the_script(known):
    response = known.get("/rows?diversity=0.5")
    assert "<html" not in response.text and cards(response.text) == cards(known.get("/?diversity=0.5").text)
    assert response.headers["cache-control"] == "no-store"


def test_a_like_and_a_hide_count_in_the_next_view(known, service, fitted):
    first, second = cards(known.get("/").text)[:2]
    sent = known.post("/feedback", data={"item": first, "type": "like", "next": "/?diversity=0.5"})
    assert sent.status_code == 303 and sent.headers["location"] == "/?diversity=0.5"
    sent = known.post("/feedback", data={"item": second, "type": "hide"}, headers={"Accept": "application/json"})
    assert sent.json() == {"type": "hide", "item": second, "user": fitted.user}
    assert [(event.item, event.kind) for event in service.events.for_user(fitted.user)] == [
        (first, "like"),
        (second, "hide"),
    ]
    html = known.get("/").text
    assert first not in cards(html) and not re.search(f'data-item="{second}"', html)
    assert "Liked" in html and "Liked" not in re.findall(r'<p class="flash".*?</p>', known.get("/").text)
    assert service.snapshot.stats.titles[service.snapshot.row(first)] in html


def test_a_like_without_a_user_creates_a_guest(client, service, fitted):
    client.post("/feedback", data={"item": fitted.plain, "type": "like"})
    name = unquote(client.cookies["palate_user"].rpartition(".")[0])
    assert name.startswith("guest-") and service.events.for_user(name)[0].item == fitted.plain
    assert "For you" in sound(client.get("/")).text


def test_selecting_a_user(client, fitted):
    sent = client.post("/users/select", data={"user": "Åsa <b>ن</b>", "next": "/users"})
    cookie = sent.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and sent.headers["location"] == "/users"
    assert "Åsa <b>ن</b>" in sound(client.get("/")).text
    client.post("/users/select")
    assert unquote(client.cookies["palate_user"]).startswith("guest-")
    client.post("/users/clear")
    assert "no likes of yours yet" in client.get("/").text
    sound(client.post("/users/select", data={"user": "x" * 300}), 422)


def test_an_invalid_user_cookie_is_ignored(client):
    for value in ("%00", "x" * 1000, "%ff", "a.b.c"):
        client.cookies.set("palate_user", value)
        sound(client.get("/"))
        client.cookies.clear()


def test_users_are_found(client, service, fitted):
    page = sound(client.get("/users", params={"q": fitted.user}))
    assert fitted.user in page.text
    assert "No user with this id" in client.get("/users/list", params={"q": "no such"}).text
    service.events.add([Event("somebody lately", fitted.plain, "like")])
    assert "somebody lately" in sound(client.get("/users")).text


@pytest.mark.parametrize("to", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_redirects_stay_on_this_site(client, to):
    assert client.post("/users/select", data={"user": "a", "next": to}).headers["location"] == "/"


@pytest.mark.parametrize("path", ["/feedback", "/users/select", "/users/clear", "/add", "/remove", "/search", "/login"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": "//"},
    ],
)
def test_forms_of_other_sites_change_nothing(client, service, fitted, path, headers):
    data = {"item": fitted.plain, "type": "hide", "user": "mallory", "field.title": "bad"}
    sound(client.post(path, data=data, headers=headers), 403)
    assert service.events.count() == 0 and service.snapshot.row(fitted.plain) >= 0 and not client.cookies


@pytest.mark.parametrize("path", ["/feedback", "/users/select", "/add", "/search", "/login"])
@pytest.mark.parametrize("charset", ["punycode", "undefined", "unicode_escape", "utf-16", "'idna'", '"utf-7"'])
def test_a_form_that_is_not_utf8_is_refused(client, fitted, path, charset):
    body = b'--b\r\nContent-Disposition: form-data; name="q"\r\n\r\n\\ud800\r\n--b--\r\n'
    sent = {"Content-Type": f"multipart/form-data; Charset = {charset}; boundary=b"}
    assert "must be sent as UTF-8" in sound(client.post(path, content=body, headers=sent), 415).text
    sent = {"Content-Type": 'multipart/form-data; charset="UTF-8"; boundary=b'}
    assert client.post("/search", content=body, headers=sent).status_code == 200


def test_a_malformed_form_writes_nothing_into_the_log(client, caplog):
    sent = {"Content-Type": "multipart/form-data; boundary=b"}
    assert client.post("/search", content=b"--b\r\nx\r\n--bX", headers=sent).status_code == 400
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


def test_own_forms_are_accepted(client, fitted):
    for headers in ({"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://shop.test"}):
        assert client.post("/users/select", data={"user": "a"}, headers=headers).status_code == 303


def test_unknown_items_get_a_readable_page(client):
    for path in ("/item/nope", "/image/nope", "/explanation?item=nope", "/edit?item=nope", "/search?similar_to=nope"):
        page = sound(client.get(path), 404)
        assert "There is no item" in page.text and "Back to Discover" in page.text
    sound(client.post("/feedback", data={"item": "nope", "type": "like"}), 404)
    sound(client.post("/feedback", data={"item": "nope", "type": "explode"}), 422)
    told = client.post("/feedback", data={"item": "nope", "type": "like"}, headers={"Accept": "application/json"})
    assert told.status_code == 404 and "no item" in told.json()["message"]


def test_search_by_text(client, service):
    word = service.snapshot.items.frame["subcategory"][10]
    response = client.get("/search", params={"q": word})
    sound(response)
    found = re.findall(r'data-item="([^"]+)"', response.text)
    assert found and {service.snapshot.items.frame["subcategory"][service.snapshot.row(one)] for one in found} == {word}
    page = sound(client.get("/search", params={"q": "zzzzqqq"})).text
    assert "No good match" in page and 'data-item="' not in page


def test_search_by_an_item_and_personalized(known, fitted):
    response = known.get("/search", params={"similar_to": fitted.plain})
    sound(response)
    assert fitted.plain not in re.findall(r'data-item="([^"]+)"', response.text)
    assert "personalized for you" in sound(known.get("/search", params={"q": "lamp", "personalized": "1"})).text


def test_search_by_an_image_writes_it_again(client, service, fitted):
    from palate.serving.images import item_image

    own = item_image(service.snapshot, service.snapshot.row(fitted.plain)).read_bytes()
    response = client.post("/search", files={"image": ("x.jpg", own, "image/jpeg")})
    page = sound(response)
    assert re.findall(r'data-item="([^"]+)"', response.text)[0] == fitted.plain
    again = next(v for _, n, v in page.attributes if n == "src" and v.startswith("data:image/jpeg;base64,"))
    repeated = client.post("/search", data={"image_data": again.partition(",")[2]})
    assert re.findall(r'data-item="([^"]+)"', repeated.text)[0] == fitted.plain
    assert base64.b64decode(again.partition(",")[2])[:2] == b"\xff\xd8"


def test_invalid_images_are_refused(client):
    page = sound(client.post("/search", files={"image": ("x.png", b"<svg onload=alert(1)>", "image/png")}), 422)
    assert "This search is not possible" in page.text
    sound(client.post("/search", data={"image_data": "!!!"}), 422)
    sound(client.post("/search", content=b"", headers={"Content-Length": str(2**25)}), 413)


def test_text_with_an_item_is_offered_where_encoders_share_a_space(client, fitted, monkeypatch):
    page = sound(client.get("/search", params={"similar_to": fitted.plain, "q": "red"}), 422)
    assert "palate pretrain" in page.text
    assert "Like this, but" not in client.get(f"/item/{fitted.plain}").text
    for module in ("item", "search"):
        monkeypatch.setattr(f"palate.serving.page.views.{module}.shares_space", lambda snapshot: True)
    assert "Like this, but" in client.get(f"/item/{fitted.plain}").text
    assert (
        f'name="similar_to" value="{fitted.plain}"' in client.get("/search", params={"similar_to": fitted.plain}).text
    )


def test_text_with_an_item_reaches_the_query(client, service, fitted, monkeypatch):
    asked = []

    def alike(snapshot, query):
        asked.append(query)
        return np.arange(len(snapshot), dtype=np.float32)

    monkeypatch.setattr("palate.serving.recommend.content_similarity", alike)
    response = client.get("/search", params={"similar_to": fitted.plain, "q": "red <b>"})
    assert "but red <b>" in sound(response).text and len(re.findall("data-item", response.text)) == 24
    assert asked[0].text == "red <b>" and asked[0].item == service.snapshot.row(fitted.plain)


def test_ids_of_any_kind_have_pages(known, service):
    name = "a/b c?d#e&f=é <i>"
    service.put_items([(name, {"title": "Odd one"}, None)])
    page = sound(known.get(f"/item/{quote(name, safe='')}?added=1"))
    assert "Odd one" in page.text and name in page.text
    assert known.get(f"/image/{quote(name, safe='')}?size=96").headers["content-type"] == "image/svg+xml"
    known.post("/feedback", data={"item": name, "type": "like"})
    assert "Liked: Odd one" in sound(known.get("/")).text
    assert known.post("/remove", data={"item": name}).status_code == 303


def test_an_item_shows_details_images_and_similar_items(client, service, fitted):
    response = client.get(f"/item/{fitted.plain}")
    page, row = sound(response), service.snapshot.row(fitted.plain)
    frame = service.snapshot.items.frame
    assert frame["description"][row][:30] in page.text and str(frame["brand"][row]) in page.text
    assert "Similar" in page.text and "Choose a user" in page.text
    assert "image" not in [fact.lower() for fact in re.findall(r'<th scope="row">([^<]+)', response.text)]


def test_hostile_long_and_right_to_left_titles(known, fitted):
    for item, title in ((fitted.hostile, HOSTILE), (fitted.rtl, RTL), (fitted.long, LONG.strip()[:60])):
        assert title in sound(known.get(f"/item/{item}")).text
        known.post("/feedback", data={"item": item, "type": "like"})
    for view in ("/", "/compare", f"/item/{fitted.plain}?explain=1"):
        sound(known.get(view))


def test_explanations_are_those_of_the_service(known, service, fitted):
    item = cards(known.get("/").text)[0]
    assert f'data-load="/explanation?item={quote(item)}"' in known.get(f"/item/{item}").text
    told = service.explain(item, user=fitted.user)
    whole, alone = (
        sound(known.get(f"/item/{item}?explain=1")).text,
        Page(known.get(f"/explanation?item={item}").text).text,
    )
    for text in (whole, alone):
        assert told.text in text
        for _, title, share in told.history:
            assert share < 0.005 or title in text
    known.cookies.clear()
    assert "no likes of yours yet" in known.get("/explanation", params={"item": item}).text


def test_a_missing_explanation_is_explained(known, fitted, monkeypatch):
    def refuse(*args, **more):
        raise UnsupportedError("this model only lists items", hint="choose another model")

    monkeypatch.setattr(RecommenderService, "explain", refuse)
    page = sound(known.get(f"/item/{fitted.plain}?explain=1")).text
    assert "this model only lists items" in page and "Hint: choose another model" in page


def test_adding_changing_and_removing(known, service, png):
    fields = {"field.title": "Novel lamp", "field.category": "lighting", "field.price": "12,5", "field.tags": ""}
    fields["new"] = "1"
    sent = known.post("/add", data=fields, files={"image": ("x.png", png, "image/png")})
    address = sent.headers["location"]
    item = address.removeprefix("/item/").partition("?")[0]
    assert sent.status_code == 303 and address.endswith("?added=1") and item.startswith("novel-lamp-")
    page = sound(known.get(address))
    assert "can be recommended now" in page.text and "New here" in page.text and "12.50" in page.text
    assert service.snapshot.items.frame["tags"][service.snapshot.row(item)] is None
    picture = re.search(r'/image/[^"]+\?v=[0-9a-f]+', known.get(address).text)[0]
    assert "immutable" in known.get(picture).headers["cache-control"]
    assert 'value="12.5"' in known.get("/edit", params={"item": item}).text
    sent = known.post("/add", data={"item": item, "field.title": "Newer lamp", "field.category": ""})
    assert sent.headers["location"] == f"/item/{item}"
    page = sound(known.get(sent.headers["location"]))
    assert "Newer lamp" in page.text and "Saved" in page.text
    assert service.snapshot.items.frame["category"][service.snapshot.row(item)] is None
    assert "Remove this item" in page.text
    assert known.post("/remove", data={"item": item}).headers["location"] == "/"
    assert "Removed: Newer lamp" in sound(known.get("/")).text
    sound(known.get(f"/item/{item}"), 404)


def test_an_invalid_form_keeps_its_values(client, fitted, png):
    page = client.post("/add", data={"field.title": "Kept title", "field.price": "dear", "new": "1"})
    assert "not a number" in sound(page, 422).text and 'value="Kept title"' in page.text
    page = client.post("/add", data={"field.title": "x", "item": fitted.plain, "new": "1"})
    assert "An item with this id exists" in sound(page, 422).text
    bad = client.post("/add", data={"field.title": "x", "new": "1"}, files={"image": ("x.png", b"no", "image/png")})
    assert "The item was not saved" in sound(bad, 422).text
    sound(client.post("/add", data={"field.title": "x", "item": "y" * 300, "new": "1"}), 422)


def test_images_are_thumbnails_cached_and_replaced_by_placeholders(client, fitted):
    found = client.get(f"/image/{fitted.plain}?size=96")
    assert found.headers["content-type"] == "image/jpeg" and "max-age" in found.headers["cache-control"]
    again = client.get(f"/image/{fitted.plain}?size=96", headers={"If-None-Match": found.headers["etag"]})
    assert again.status_code == 304 and not again.content
    drawn = client.get(f"/image/{fitted.bare}")
    assert drawn.headers["content-type"] == "image/svg+xml" and b"<text" in drawn.content
    sound(client.get(f"/image/{fitted.plain}?size=5000"), 422)


def test_two_models_side_by_side(known, service):
    response = known.get("/compare?k=20")
    page = sound(response)
    assert "of 20 items in both" in page.text and "other" in page.text
    marks = re.findall(r'<span class="badge">([^<]+)', response.text)
    both = int(re.search(r"<strong>(\d+)</strong>", response.text)[1])
    assert len(marks) == 40 and sum(mark == "only here" for mark in marks) == 40 - 2 * both
    assert sound(known.get("/compare?left=main&right=main")).text.count("same rank") == 20
    assert "did you mean" in sound(known.get("/compare?left=mian"), 422).text


def test_dashboard_shows_the_metrics_of_the_run(client, service, fitted):
    page = sound(client.get("/dashboard"))
    told = json.loads((fitted.run / "metrics.json").read_text())
    for name, found in told.items():
        assert name in page.text and f"{found['metrics']['recall@20']:.4f}" in page.text
    report = client.get("/report")
    assert report.status_code == 200 and report.headers["content-security-policy"].startswith("sandbox;")


def test_dashboard_of_a_run_without_files(client, service, fitted, tmp_path):
    for text in (None, "not json", "[]", '{"a": 1, "b": {"metrics": {"recall@20": null}}}'):
        run = tmp_path / f"run{time.monotonic_ns()}"
        run.mkdir()
        if text is not None:
            for name in ("metrics.json", "manifest.json"):
                (run / name).write_text(text)
        object.__setattr__(service.snapshot, "run", run)
        sound(client.get("/dashboard"))
        sound(client.get("/report"), 404)
        shutil.rmtree(run)


def write_metrics(service, tmp_path, metrics, manifest=None):
    run = tmp_path / f"run{time.monotonic_ns()}"
    run.mkdir()
    (run / "metrics.json").write_text(json.dumps(metrics))
    (run / "manifest.json").write_text(json.dumps(manifest or {}))
    object.__setattr__(service.snapshot, "run", run)


def test_dashboard_takes_headline_and_shown_metrics_from_the_run(client, service, tmp_path):
    own = {
        "metrics": {"recall@5": 0.1, "auc": 0.7, "logloss": 0.5, "ndcg@5": 0.2},
        "headline": "auc",
        "shown": ["logloss", "auc"],
        "impressions": 90,
        "slices": {"cold": {"recall@5": 0.1, "impressions": 12.0}, "warm": {"auc": 0.8, "recall@5": 0.3}},
    }
    write_metrics(service, tmp_path, {"other": {"metrics": {"auc": 0.6}}, service.snapshot.model.name: own})
    html = client.get("/dashboard").text
    sound(client.get("/dashboard"))
    charts = re.search(r'<div class="quad">(.*?)<details', html, re.S)[1]
    assert re.findall(r"<h3>([^<\s]+)", charts) == ["auc", "logloss", "recall@5", "ndcg@5"]
    assert "auc by slice" in html and "12 impressions" in html
    assert html.index(service.snapshot.model.name) < html.index("other")


def test_dashboard_of_an_earlier_run_takes_the_metric_of_validation(client, service, tmp_path):
    metrics = {"ease": {"metrics": {"recall@5": 0.1, "ndcg@20": 0.2}, "slices": {"cold": {"recall@5": 0.1}}}}
    write_metrics(service, tmp_path, metrics, {"log": {"metric": "ndcg@20", "valid": 0.3}})
    html = client.get("/dashboard").text
    assert re.findall(r"<h3>([^<\s]+)", html)[:2] == ["ndcg@20", "recall@5"] and "recall@5 by slice" in html


def test_dashboard_names_metrics_of_which_lower_values_are_better(client, service, tmp_path, monkeypatch):
    class Task:
        lower_is_better = frozenset({"logloss"})

    monkeypatch.setitem(tasks._known, "probe", Task())
    metrics = {"m": {"metrics": {"logloss": 0.5, "auc": 0.7}, "headline": "logloss", "shown": [], "task": "probe"}}
    write_metrics(service, tmp_path, metrics)
    html = client.get("/dashboard").text
    assert html.count("lower is better") == 1 and html.index("logloss") < html.index("lower is better")


def test_parameters_and_fields_of_an_earlier_version_are_refused_by_naming_the_new_ones(client, fitted):
    for path, old, new in (
        ("/search", "like", "similar_to"), ("/search", "mine", "personalized"), ("/compare", "a", "left"),
        ("/compare", "b", "right"), (f"/item/{fitted.plain}", "why", "explain"),
        (f"/image/{fitted.plain}", "side", "size"),
    ):  # fmt: skip
        page = sound(client.get(path, params={old: "1"}), 422).text
        assert repr(old) in page and repr(new) in page
    page = sound(client.post("/feedback", data={"item": fitted.plain, "kind": "like"}), 422).text
    assert "'kind'" in page and "'type'" in page


def test_notes_of_a_response_are_shown(known, monkeypatch):
    recommend = RecommenderService.recommend

    def noted(self, request):
        return dataclasses.replace(recommend(self, request), notes=("include_reasons: scores of single items",))

    monkeypatch.setattr(RecommenderService, "recommend", noted)
    for address in ("/", "/search?q=lamp", "/compare"):
        assert "Note: include_reasons: scores of single items" in sound(known.get(address)).text


class FakeKeys:
    """Keys as the app has them."""

    def session_cookie(self, key):
        return "signed" if key in ("open", "manage") else None

    def verify_session(self, cookie):
        return {"signed": Grant("use", "x"), "managed": Grant("manage", "x")}.get(cookie)


def test_a_key_starts_a_session(client, app):
    app.state.keys = FakeKeys()
    page = sound(client.get("/login"))
    assert "API key required" in page.text and "Compare" not in page.text
    assert "not valid" in sound(client.post("/login", data={"key": "guess"}), 403).text
    sent = client.post("/login", data={"key": " open "})
    cookie = sent.headers["set-cookie"]
    assert sent.status_code == 303 and "palate_session=signed" in cookie
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie
    assert 'href="/add"' not in client.get("/").text
    client.cookies.clear()
    client.cookies.set("palate_session", "managed")
    assert 'href="/add"' in client.get("/").text


def test_static_files_change_their_address_with_their_content(client):
    html = client.get("/").text
    for address in re.findall(r'"(/static/[^"]+)"', html):
        found = client.get(address)
        assert found.status_code == 200 and "immutable" in found.headers["cache-control"]
    assert client.get("/favicon.ico").headers["content-type"] == "image/svg+xml"
    sound(client.get("/static/none.js"), 404)


def test_a_first_view_is_light(known):
    html = known.get("/")
    size = len(html.content) + sum(len(known.get(a).content) for a in re.findall(r'"(/static/[^"]+)"', html.text))
    assert size < 300_000


def test_images_have_alternative_texts_and_fields_have_labels(known, fitted):
    for view in ("/", "/search", "/add", "/compare", f"/item/{fitted.plain}"):
        page = sound(known.get(view))
        images = page.tags.count("img")
        assert images == sum(1 for tag, name, _ in page.attributes if tag == "img" and name == "alt")


def feed(client, item, kind):
    sent = client.post("/feedback", data={"item": item, "type": kind, "next": "/likes"})
    assert sent.status_code == 303 and sent.headers["location"] == "/likes"


def every_card(response):
    """Ids of all cards of a page, in any row."""
    assert response.status_code == 200
    return re.findall(r'data-item="([^"]+)"', response.text)


def button(response, item, which):
    """Value and state of one button of an item."""
    form = response.text.partition(f'name="item" value="{item}"')[2].partition("</form>")[0]
    tag = next(tag for tag in re.findall(r"<button[^>]*>", form) if f"round {which}" in tag)
    return re.search(r'value="(\w+)"', tag)[1], re.search(r'aria-pressed="(\w+)"', tag)[1]


def test_likes_and_hidden_items_are_listed_and_taken_back(client, service):
    assert "No user is chosen" in sound(client.get("/likes")).text
    client.post("/users/select", data={"user": "ada"})
    assert "Nothing is liked or hidden yet" in sound(client.get("/likes")).text
    first, second, third = cards(client.get("/").text)[:3]
    feed(client, first, "like")
    feed(client, second, "hide")
    service.log_events([Event("ada", third, "click")])
    client.get("/")
    page = sound(client.get("/likes")).text
    assert page.index("Items you liked here") < page.index("in none of your lists") < page.index("Items you opened")
    assert "learnt from" not in page
    response = client.get(f"/item/{first}")
    assert button(response, first, "like") == ("unlike", "true") and button(response, first, "hide") == (
        "hide",
        "false",
    )
    assert button(client.get(f"/item/{second}"), second, "hide") == ("unhide", "true")
    for item, kind in ((first, "unlike"), (second, "unhide"), (third, "unlike")):
        feed(client, item, kind)
    assert "Nothing is liked or hidden yet" in sound(client.get("/likes")).text
    assert not len(service.user_state(service.snapshot, "ada", None).history)


def test_a_click_is_not_called_a_like(client, service):
    client.post("/users/select", data={"user": "ada"})
    first, second = cards(client.get("/").text)[:2]
    service.log_events([Event("ada", first, "click")])
    page = sound(client.get("/")).text
    assert "Because you viewed" in page and "Because you liked" not in page
    reasons = client.get("/explanation", params={"item": second}).text
    assert "you liked" not in reasons.partition("<h3")[0]
    service.log_events([Event("ada", first, "like")])
    assert "Because you liked" in sound(client.get("/")).text


def test_a_hidden_item_is_in_no_list(known, fitted):
    similar, search = f"/item/{fitted.plain}", f"/search?similar_to={fitted.plain}"
    near = next(card for card in every_card(known.get(similar)) if card in every_card(known.get(search)))
    feed(known, near, "hide")
    for address in (similar, search, "/search?q=lamp", "/"):
        assert near not in every_card(known.get(address)), address
    feed(known, near, "unhide")
    assert near in every_card(known.get(similar)) and near in every_card(known.get(search))


def test_a_personal_search_shows_nothing_that_is_known(known, service, fitted):
    taken = service.snapshot.deployment.seen[service.snapshot.users[fitted.user]].tolist()
    ids = {service.snapshot.ids[row] for row in taken}
    assert not ids & set(every_card(known.get("/search", params={"q": "lamp", "personalized": "1"})))


def late(*given, **values):
    raise TimeoutError


def test_the_page_says_why_a_list_is_not_ones_own(known, service, monkeypatch, fitted):
    assert "Based on" in sound(known.get("/")).text
    monkeypatch.setattr(service.recommender.pipeline.stages[0], "run", late)
    page = sound(known.get("/")).text
    assert "For you" in page and "Your last list" in page
    known.post("/users/select", data={"user": next(user for user in service.snapshot.users if user != fitted.user)})
    page = sound(known.get("/")).text
    assert "took too long" in page and "Popular with all users" not in page
    compared = sound(known.get("/compare")).text
    assert "took too long" in compared and "Nothing is known" not in compared
    assert "The search could not be done" in sound(known.get("/search", params={"q": "lamp"}), 503).text


def test_the_page_without_its_database(known, service, monkeypatch, fitted):
    monkeypatch.setattr(service.database, "_rows", late)
    monkeypatch.setattr(service.database, "_transaction", late)
    page = sound(known.get("/")).text
    assert "For you" in page and "cannot be read at the moment" in page
    sound(known.get("/users"))
    assert "cannot be read at the moment" in sound(known.get("/likes")).text
    refused = known.post("/feedback", data={"item": fitted.plain, "type": "like"})
    assert "at the moment" in sound(refused, 503).text and refused.headers["retry-after"] == "1"
    known.post("/users/select", data={"user": "ada"})
    page = sound(known.get("/")).text
    assert "Your likes cannot be read at the moment" in page and "Popular with all users" not in page


def test_an_invalid_form_marks_every_field_and_keeps_the_image(client, service, png):
    numbers = [column for column, dtype in service.snapshot.items.frame.schema.items() if dtype.is_numeric()][:2]
    wrong = {f"field.{column}": "dear" for column in numbers} | {"field.title": "Kept lamp", "item": "..", "new": "1"}
    response = client.post("/add", data=wrong, files={"image": ("x.png", png, "image/png")})
    page = sound(response, 422)
    marked = [name for tag, attribute, name in page.attributes if attribute == "aria-describedby"]
    assert marked == [f"error-field.{column}" for column in numbers], "both at once, and nothing else yet"
    assert page.text.count("'dear' is not a") == 2 * len(numbers), "above the form and at the field"
    kept = re.search(r'name="image_data" value="([^"]+)"', response.text)[1]
    again = {"field.title": "Kept lamp", "item": "..", "new": "1", "image_data": kept}
    response = client.post("/add", data=again)
    page = sound(response, 422)
    assert ("input", "aria-describedby", "error-item") in page.attributes and "cannot be an id" in page.text
    assert re.search(r'<details class="more" open>', response.text), "the field of the id is seen"
    assert re.search(r'name="image_data" value="([^"]+)"', response.text)[1] == kept
    sent = client.post("/add", data={**again, "item": "kept-lamp"})
    assert sent.status_code == 303
    assert client.get("/image/kept-lamp?size=96").headers["content-type"] == "image/jpeg"
    bad = client.post("/add", data={"field.title": "x", "new": "1"}, files={"image": ("x.png", b"no", "image/png")})
    assert 'id="error-image"' in bad.text and "image_data" not in bad.text


def test_a_whole_number_is_edited_as_one(client, service):
    service.put_items([("even", {"title": "Even lamp", "price": 1995}, None)])
    text = client.get("/edit", params={"item": "even"}).text
    assert 'value="1995"' in text and "1995.0" not in text


def test_each_value_of_a_cell_is_a_link(client, service):
    column = "tags" if "tags" in service.snapshot.stats.filters.values else "category"
    assert column in service.snapshot.stats.filters.values
    service.put_items([("pair", {"title": "Pair lamp", column: "Lighting, Small Things"}, None)])
    page = client.get("/item/pair").text
    for value in ("Lighting", "Small Things"):
        link = re.search(rf'<a href="/\?([^"]+)">{value}</a>', page)
        assert link, page.partition("<table")[2].partition("</table>")[0]
        answer = client.get(f"/?{link[1]}")
        assert answer.status_code == 200 and "pair" in every_card(answer)


def test_what_is_filtered_by_is_always_among_the_filters(client, service, monkeypatch):
    monkeypatch.setattr("palate.serving.page.facets.MAX_CHOICES", 2)
    monkeypatch.setattr("palate.serving.page.facets.MAX_FACETS", 1)
    values = service.snapshot.stats.filters.values
    column = list(values)[-1]
    rare = min(values[column], key=lambda value: (len(values[column][value]), value))
    text = client.get("/", params={f"is.{column}": rare}).text
    assert f'name="is.{column}"' in text and re.search(rf'value="{re.escape(rare)}" (checked|selected)', text)


NAVIGATION = {"sec-fetch-site": "same-origin", "sec-fetch-mode": "navigate"}


def test_opening_an_item_is_a_click(known, service, fitted):
    def clicks():
        return [event.item for event in service.events.for_user(fitted.user) if event.kind == "click"]

    first, second, third = cards(known.get("/").text)[:3]
    for headers in ({}, {**NAVIGATION, "sec-fetch-site": "none"}, {**NAVIGATION, "sec-purpose": "prefetch"}):
        known.get(f"/item/{first}", headers=headers)
    assert not clicks(), "typed, sent by a script or fetched ahead"
    for _ in range(2):
        response = known.get(f"/item/{first}", headers=NAVIGATION)
    assert clicks() == [first], "once"
    assert button(response, first, "like") == ("like", "false"), "no like"
    assert first not in cards(known.get("/").text)
    told = service.explain(first, user=fitted.user)
    assert first not in [name for name, *_ in told.history], "an item is not its own reason"
    feed(known, second, "hide")
    known.get(f"/item/{second}", headers=NAVIGATION)
    assert clicks() == [first] and button(known.get(f"/item/{second}"), second, "hide") == ("unhide", "true")
    service.put_items([("fresh", {"title": "Fresh lamp"}, None)])
    known.cookies.clear()
    known.get(f"/item/{third}", headers=NAVIGATION)
    assert clicks() == [first], "nobody has clicked"


def test_a_click_that_cannot_be_stored_is_no_error(known, service, monkeypatch):
    item = cards(known.get("/").text)[0]
    monkeypatch.setattr(service.database, "_transaction", late)
    assert known.get(f"/item/{item}", headers=NAVIGATION).status_code == 200


def test_one_match_is_not_called_several(client, service):
    service.put_items([("umber", {"title": "Quixotry zymurgy"}, None)])
    assert "One match" in sound(client.get("/search", params={"q": "Quixotry zymurgy"})).text


@pytest.mark.parametrize(
    ("written", "number"),
    [("12.5", 12.5), ("12,5", 12.5), ("1.940,34 €", 1940.34), ("$1,940.34", 1940.34), ("1 940,5", 1940.5), ("-3", -3)],
)
def test_numbers_as_people_write_them(written, number):
    assert parse_written_number(written) == number


@pytest.mark.parametrize("written", ["", "dear", "1.2.3", "1,2,3", "12x"])
def test_what_is_no_number(written):
    with pytest.raises(ValueError, match="could not convert"):
        parse_written_number(written)
