"""Every view without a script: what is on it, what forms do, what is escaped, what is refused."""

import base64
import json
import re
import shutil
import time
from html.parser import HTMLParser
from urllib.parse import quote, unquote

import numpy as np
import pytest
from page_shop import HOSTILE, LONG, RTL

from palate.core.errors import UnsupportedError
from palate.serving.events import Event
from palate.serving.service import RecommenderService

VIEWS = ("/", "/people", "/search", "/search?q=lamp", "/add", "/compare", "/dashboard", "/enter")
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


def cards(html, shelf="for-you"):
    found = re.search(rf'<ul[^>]*data-shelf="{shelf}".*?</ul>\s*</section>', html, re.S)
    return re.findall(r'data-item="([^"]+)"', found[0]) if found else []


@pytest.mark.parametrize("view", VIEWS)
def test_views_of_a_stranger(client, view):
    response = client.get(view)
    if view == "/enter":
        assert response.status_code == 303
        return
    page = sound(response)
    assert page.tags.count("h1") == 1 and page.tags.count("main") == 1


@pytest.mark.parametrize("view", VIEWS[:-1])
def test_views_of_a_known_user(known, fitted, view):
    assert fitted.user in sound(known.get(view)).text


def test_a_stranger_sees_what_is_popular_and_is_invited(client, service):
    page = sound(client.get("/"))
    assert "Nobody knows you here yet" in page.text and "Popular now" in page.text and "New here" in page.text
    assert "For you" not in page.text


def test_home_names_liked_items_as_reasons(known, service, fitted):
    html = known.get("/").text
    told = service.recommend(_wish(service, fitted.user))
    assert cards(html) == [item.id for item in told.items]
    assert "Because you liked" in sound(known.get("/")).text
    shelves = re.findall(r'data-shelf="([^"]+)"', html)
    assert {"for-you", "like-1", "new", "popular"} <= set(shelves)
    everywhere = [item for shelf in shelves for item in cards(html, shelf)]
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
    assert "Nothing fits" in sound(known.get("/", params={"max.price": "0"})).text


@pytest.mark.parametrize(
    "address", ["/?diversity=much", "/?freshness=nan", "/?max.price=cheap", "/?is.nothing=1", "/?is.category=none"]
)
def test_what_an_address_cannot_mean_is_said(known, address):
    assert "This cannot be used" in sound(known.get(address), 422).text


def test_rows_alone_for_the_script(known):
    response = known.get("/shelves?diversity=0.5")
    assert "<html" not in response.text and cards(response.text) == cards(known.get("/?diversity=0.5").text)
    assert response.headers["cache-control"] == "no-store"


def test_a_like_and_a_hide_count_in_the_next_view(known, service, fitted):
    first, second = cards(known.get("/").text)[:2]
    sent = known.post("/act", data={"item": first, "kind": "like", "next": "/?diversity=0.5"})
    assert sent.status_code == 303 and sent.headers["location"] == "/?diversity=0.5"
    sent = known.post("/act", data={"item": second, "kind": "hide"}, headers={"Accept": "application/json"})
    assert sent.json() == {"kind": "hide", "item": second}
    assert [(event.item, event.kind) for event in service.events.for_user(fitted.user)] == [
        (first, "like"),
        (second, "hide"),
    ]
    html = known.get("/").text
    assert first not in cards(html) and not re.search(f'data-item="{second}"', html)
    assert "Liked" in html and "Liked" not in re.findall(r'<p class="said".*?</p>', known.get("/").text)
    assert service.snapshot.stats.titles[service.snapshot.row(first)] in html


def test_a_like_makes_a_guest_of_a_stranger(client, service, fitted):
    client.post("/act", data={"item": fitted.plain, "kind": "like"})
    name = unquote(client.cookies["palate_user"])
    assert name.startswith("guest-") and service.events.for_user(name)[0].item == fitted.plain
    assert "For you" in sound(client.get("/")).text


def test_becoming_somebody(client, fitted):
    sent = client.post("/become", data={"user": "Åsa <b>ن</b>", "next": "/people"})
    cookie = sent.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and sent.headers["location"] == "/people"
    assert "Åsa <b>ن</b>" in sound(client.get("/")).text
    client.post("/become")
    assert unquote(client.cookies["palate_user"]).startswith("guest-")
    client.post("/leave")
    assert "Nobody knows you here yet" in client.get("/").text
    sound(client.post("/become", data={"user": "x" * 300}), 422)


def test_a_cookie_names_a_user_and_nothing_else(client):
    for value in ("%00", "x" * 1000, "%ff", "a.b.c"):
        client.cookies.set("palate_user", value)
        sound(client.get("/"))
        client.cookies.clear()


def test_people_are_found(client, service, fitted):
    page = sound(client.get("/people", params={"q": fitted.user}))
    assert fitted.user in page.text
    assert "Nobody is called that" in client.get("/people/list", params={"q": "no such"}).text
    service.events.add([Event("somebody lately", fitted.plain, "like")])
    assert "somebody lately" in sound(client.get("/people")).text


@pytest.mark.parametrize("to", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_nobody_is_sent_elsewhere(client, to):
    assert client.post("/become", data={"user": "a", "next": to}).headers["location"] == "/"


@pytest.mark.parametrize("path", ["/act", "/become", "/leave", "/add", "/remove", "/search", "/enter"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
)
def test_forms_of_other_sites_change_nothing(client, service, fitted, path, headers):
    data = {"item": fitted.plain, "kind": "hide", "user": "mallory", "field.title": "bad"}
    sound(client.post(path, data=data, headers=headers), 403)
    assert service.events.count() == 0 and service.snapshot.row(fitted.plain) >= 0 and not client.cookies


def test_own_forms_are_let_in(client, fitted):
    for headers in ({"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://shop.test"}):
        assert client.post("/become", data={"user": "a"}, headers=headers).status_code == 303


def test_unknown_things_are_said_kindly(client):
    for path in ("/item/nope", "/picture/nope", "/why?item=nope", "/edit?item=nope", "/search?like=nope"):
        page = sound(client.get(path), 404)
        assert "There is no item" in page.text and "Back to Discover" in page.text
    sound(client.post("/act", data={"item": "nope", "kind": "like"}), 404)
    sound(client.post("/act", data={"item": "nope", "kind": "explode"}), 422)
    told = client.post("/act", data={"item": "nope", "kind": "like"}, headers={"Accept": "application/json"})
    assert told.status_code == 404 and "no item" in told.json()["message"]


def test_search_by_words_finds_what_says_them(client, service):
    word = service.snapshot.items.frame["subcategory"][10]
    response = client.get("/search", params={"q": word})
    sound(response)
    found = re.findall(r'data-item="([^"]+)"', response.text)
    assert len(found) == 24 and service.snapshot.items.frame["subcategory"][service.snapshot.row(found[0])] == word
    assert "That cannot be looked for here" in sound(client.get("/search", params={"q": "zzzzqqq"}), 422).text


def test_search_by_an_item_and_with_taste(known, fitted):
    response = known.get("/search", params={"like": fitted.plain})
    sound(response)
    assert fitted.plain not in re.findall(r'data-item="([^"]+)"', response.text)
    assert "with your taste in mind" in sound(known.get("/search", params={"q": "lamp", "mine": "1"})).text


def test_search_by_a_picture_makes_it_anew(client, service, fitted):
    from palate.serving.images import item_image

    own = item_image(service.snapshot, service.snapshot.row(fitted.plain)).read_bytes()
    response = client.post("/search", files={"picture": ("x.jpg", own, "image/jpeg")})
    page = sound(response)
    assert re.findall(r'data-item="([^"]+)"', response.text)[0] == fitted.plain
    again = next(v for _, n, v in page.attributes if n == "src" and v.startswith("data:image/jpeg;base64,"))
    repeated = client.post("/search", data={"again": again.partition(",")[2]})
    assert re.findall(r'data-item="([^"]+)"', repeated.text)[0] == fitted.plain
    assert base64.b64decode(again.partition(",")[2])[:2] == b"\xff\xd8"


def test_what_is_no_picture_is_refused(client):
    page = sound(client.post("/search", files={"picture": ("x.png", b"<svg onload=alert(1)>", "image/png")}), 422)
    assert "That cannot be looked for here" in page.text
    sound(client.post("/search", data={"again": "!!!"}), 422)
    sound(client.post("/search", content=b"", headers={"Content-Length": str(2**25)}), 413)


def test_a_change_in_words_is_offered_where_encoders_share_a_space(client, fitted, monkeypatch):
    page = sound(client.get("/search", params={"like": fitted.plain, "q": "red"}), 422)
    assert "palate pretrain" in page.text
    assert "Like this, but" not in client.get(f"/item/{fitted.plain}").text
    for module in ("item", "search"):
        monkeypatch.setattr(f"palate.serving.page.views.{module}.shares_space", lambda snapshot: True)
    assert "Like this, but" in client.get(f"/item/{fitted.plain}").text
    assert f'name="like" value="{fitted.plain}"' in client.get("/search", params={"like": fitted.plain}).text


def test_an_item_changed_in_words(client, service, fitted, monkeypatch):
    asked = []

    def alike(snapshot, wanted):
        asked.append(wanted)
        return np.arange(len(snapshot), dtype=np.float32)

    monkeypatch.setattr("palate.serving.recommend.content_similarity", alike)
    response = client.get("/search", params={"like": fitted.plain, "q": "red <b>"})
    assert "but red <b>" in sound(response).text and len(re.findall("data-item", response.text)) == 24
    assert asked[0].text == "red <b>" and asked[0].item == service.snapshot.row(fitted.plain)


def test_ids_of_any_kind_have_pages(known, service):
    name = "a/b c?d#e&f=é <i>"
    service.put_items([(name, {"title": "Odd one"}, None)])
    page = sound(known.get(f"/item/{quote(name, safe='')}?added=1"))
    assert "Odd one" in page.text and name in page.text
    assert known.get(f"/picture/{quote(name, safe='')}?side=96").headers["content-type"] == "image/svg+xml"
    known.post("/act", data={"item": name, "kind": "like"})
    assert "Liked: Odd one" in sound(known.get("/")).text
    assert known.post("/remove", data={"item": name}).status_code == 303


def test_an_item_shows_facts_pictures_and_what_is_like_it(client, service, fitted):
    response = client.get(f"/item/{fitted.plain}")
    page, row = sound(response), service.snapshot.row(fitted.plain)
    frame = service.snapshot.items.frame
    assert frame["description"][row][:30] in page.text and str(frame["brand"][row]) in page.text
    assert "Similar" in page.text and "Say who you are" in page.text
    assert "image" not in [fact.lower() for fact in re.findall(r'<th scope="row">([^<]+)', response.text)]


def test_hostile_long_and_turned_titles(known, fitted):
    for item, title in ((fitted.hostile, HOSTILE), (fitted.rtl, RTL), (fitted.long, LONG.strip()[:60])):
        assert title in sound(known.get(f"/item/{item}")).text
        known.post("/act", data={"item": item, "kind": "like"})
    for view in ("/", "/compare", f"/item/{fitted.plain}?why=1"):
        sound(known.get(view))


def test_reasons_are_those_of_the_shop(known, service, fitted):
    item = cards(known.get("/").text)[0]
    assert f'data-load="/why?item={quote(item)}"' in known.get(f"/item/{item}").text
    told = service.explain(item, user=fitted.user)
    whole, alone = sound(known.get(f"/item/{item}?why=1")).text, Page(known.get(f"/why?item={item}").text).text
    for text in (whole, alone):
        assert told.text in text
        for _, title, share in told.history:
            assert share < 0.005 or title in text
    known.cookies.clear()
    assert "Nothing is known of you" in known.get("/why", params={"item": item}).text


def test_reasons_that_cannot_be_given_are_said(known, fitted, monkeypatch):
    def refuse(*args, **more):
        raise UnsupportedError("this model gives no reasons")

    monkeypatch.setattr(RecommenderService, "explain", refuse)
    assert "this model gives no reasons" in sound(known.get(f"/item/{fitted.plain}?why=1")).text


def test_adding_changing_and_removing(known, service, png):
    fields = {"field.title": "Novel lamp", "field.category": "lighting", "field.price": "12,5", "field.tags": ""}
    fields["new"] = "1"
    sent = known.post("/add", data=fields, files={"picture": ("x.png", png, "image/png")})
    address = sent.headers["location"]
    item = address.removeprefix("/item/").partition("?")[0]
    assert sent.status_code == 303 and address.endswith("?added=1") and item.startswith("novel-lamp-")
    page = sound(known.get(address))
    assert "can be recommended now" in page.text and "New here" in page.text and "12.50" in page.text
    assert service.snapshot.items.frame["tags"][service.snapshot.row(item)] is None
    picture = re.search(r'/picture/[^"]+\?v=[0-9a-f]+', known.get(address).text)[0]
    assert "immutable" in known.get(picture).headers["cache-control"]
    assert 'value="12.5"' in known.get("/edit", params={"item": item}).text
    sent = known.post("/add", data={"item": item, "field.title": "Newer lamp", "field.category": ""})
    assert sent.headers["location"] == f"/item/{item}"
    page = sound(known.get(sent.headers["location"]))
    assert "Newer lamp" in page.text and "Saved" in page.text
    assert service.snapshot.items.frame["category"][service.snapshot.row(item)] is None
    assert "Remove this item" in page.text
    assert known.post("/remove", data={"item": item}).headers["location"] == "/"
    assert f"Removed: {item}" in sound(known.get("/")).text
    sound(known.get(f"/item/{item}"), 404)


def test_a_form_that_cannot_be_used_comes_back_filled(client, fitted, png):
    page = client.post("/add", data={"field.title": "Kept title", "field.price": "dear", "new": "1"})
    assert "no number" in sound(page, 422).text and 'value="Kept title"' in page.text
    page = client.post("/add", data={"field.title": "x", "item": fitted.plain, "new": "1"})
    assert "There is an item with this id" in sound(page, 422).text
    bad = client.post("/add", data={"field.title": "x", "new": "1"}, files={"picture": ("x.png", b"no", "image/png")})
    assert "It was not saved" in sound(bad, 422).text
    sound(client.post("/add", data={"field.title": "x", "item": "y" * 300, "new": "1"}), 422)


def test_pictures_are_small_kept_and_drawn_where_missing(client, fitted):
    found = client.get(f"/picture/{fitted.plain}?side=96")
    assert found.headers["content-type"] == "image/jpeg" and "max-age" in found.headers["cache-control"]
    again = client.get(f"/picture/{fitted.plain}?side=96", headers={"If-None-Match": found.headers["etag"]})
    assert again.status_code == 304 and not again.content
    drawn = client.get(f"/picture/{fitted.bare}")
    assert drawn.headers["content-type"] == "image/svg+xml" and b"<text" in drawn.content
    sound(client.get(f"/picture/{fitted.plain}?side=5000"), 422)


def test_two_models_side_by_side(known, service):
    response = known.get("/compare?k=20")
    page = sound(response)
    assert "of 20 items in both" in page.text and "beside" in page.text
    marks = re.findall(r'<span class="badge">([^<]+)', response.text)
    both = int(re.search(r"<strong>(\d+)</strong>", response.text)[1])
    assert len(marks) == 40 and sum(mark == "only here" for mark in marks) == 40 - 2 * both
    assert sound(known.get("/compare?a=main&b=main")).text.count("same place") == 20
    assert "did you mean" in sound(known.get("/compare?a=mian"), 422).text


def test_dashboard_shows_what_the_run_says(client, service, fitted):
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


class Keys:
    """As the app has them."""

    def entry(self, key):
        return "signed" if key in ("open", "manage") else None

    def entered(self, cookie):
        return {"signed": ("use", "x"), "managed": ("manage", "x")}.get(cookie)


def test_a_key_lets_in(client, app):
    app.state.keys = Keys()
    page = sound(client.get("/enter"))
    assert "A key is needed" in page.text and "Compare" not in page.text
    assert "not a key" in sound(client.post("/enter", data={"key": "guess"}), 403).text
    sent = client.post("/enter", data={"key": " open "})
    cookie = sent.headers["set-cookie"]
    assert sent.status_code == 303 and "palate_entry=signed" in cookie
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie
    assert 'href="/add"' not in client.get("/").text
    client.cookies.clear()
    client.cookies.set("palate_entry", "managed")
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


def test_images_have_words_and_fields_have_labels(known, fitted):
    for view in ("/", "/search", "/add", "/compare", f"/item/{fitted.plain}"):
        page = sound(known.get(view))
        images = page.tags.count("img")
        assert images == sum(1 for tag, name, _ in page.attributes if tag == "img" and name == "alt")
