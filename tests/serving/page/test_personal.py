"""What the page makes for its user: a headline and an explanation of an item, a creative on the home page."""

import io
import re
from html import unescape

import pytest
from PIL import Image

from palate.serving.content import ContentMaker
from palate.serving.generators import GeneratorPool
from palate.serving.moderation import Blocklist


@pytest.fixture
def making(app):
    app.state.content = ContentMaker(GeneratorPool(), Blocklist(), 5)
    return app


def test_a_known_user_sees_what_was_made_for_them(making, known, service):
    home = known.get("/").text
    address = unescape(re.search(r'class="creative".*?src="([^"]+)"', home, re.S)[1])
    response = known.get(address)
    assert response.headers["content-type"] == "image/jpeg" and "private" in response.headers["cache-control"]
    with Image.open(io.BytesIO(response.content)) as image:
        assert image.size == (1200, 420)
    item = re.search(r'class="creative" href="([^"]+)"', home)[1]
    page = known.get(item)
    headline = unescape(re.search(r'class="lead pitch" dir="auto">([^<]+)<', page.text)[1])
    title = unescape(re.search(r'<h1 dir="auto">([^<]+)<', page.text)[1])
    assert title in headline and "script-src" in page.headers["content-security-policy"] + "script-src"
    told = known.get(f"/explanation?item={item.rpartition('/')[2]}").text
    assert (told.count('class="sentence"') == 1 and "Recommended because" in told) or "about" in told
    assert known.get("/creative?item=nothing").status_code == 404


def test_titles_are_escaped_in_what_is_made(making, known, service):
    service.put_items([("odd", {"title": "lamp <3 & {{ 7 * 7 }}"}, None)])
    page = known.get("/item/odd").text
    headline = re.search(r'class="lead pitch" dir="auto">([^<]+)<', page)[1]
    assert "lamp &lt;3 &amp; {{ 7 * 7 }}" in headline and "lamp <3" not in page


def test_without_a_maker_or_a_user_the_page_is_as_before(app, client, known):
    assert "/creative" not in client.get("/").text
    item = next(iter(app.state.service.snapshot.rows))
    assert "pitch" not in known.get(f"/item/{item}").text
    assert known.get(f"/creative?item={item}").status_code == 404
