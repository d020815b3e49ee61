"""report.html, its charts and thumbnails: hostile words, missing pictures, nothing from outside, every section."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import polars as pl
import pytest
from PIL import Image
from shop_frames import HOSTILE, light_content, make_shop, png

from palate.contracts.parse import parse_model
from palate.data.catalog import Catalog
from palate.data.ids import IdMap
from palate.evaluation.charts import bars, curves
from palate.evaluation.fit_result import fit_one
from palate.evaluation.report import STRIP, template_context, write_report
from palate.evaluation.thumbnails import SIDE, Thumbnails

ALLOWED = {"html", "head", "meta", "title", "style", "body", "main", "header", "section", "article", "footer", "div"}
ALLOWED |= {"h1", "h2", "h3", "p", "span", "b", "strong", "code", "details", "summary", "ul", "li", "dl", "dt", "dd"}
ALLOWED |= {"table", "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "img"}
ALLOWED |= {"svg", "text", "rect", "polyline", "line"}
VOID = {"meta", "img"}


class Page(HTMLParser):
    """Tags, attributes that load something, text; and whether tags close in order."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.loads, self.text, self.open = set(), [], [], []
        self.feed(html)
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.loads += [value for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def report(data, folder, models=("vbpr:epochs=3;dim=8", "popularity"), test=True):
    content = light_content(data)
    fits = {text.partition(":")[0]: fit_one(parse_model(text), data, content, 0, test) for text in models}
    html = write_report(folder, data, fits).read_text()
    return html, Page(html), fits


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    return report(make_shop(hostile=True), tmp_path_factory.mktemp("hostile"))


def test_words_of_the_data_are_words_on_the_page(hostile):
    html, page, _ = hostile
    assert page.tags <= ALLOWED, page.tags - ALLOWED
    assert HOSTILE in "".join(page.text)
    assert "evil.example" in html and "<script" not in html


def test_nothing_is_loaded_from_outside(hostile):
    html, page, _ = hostile
    assert page.loads and all(value.startswith("data:image/jpeg;base64,") for value in page.loads)
    assert "default-src 'none'" in html
    assert not re.search(r"url\(|@import|javascript:", html.split("</style>")[0])


def test_the_page_is_small(hostile):
    assert len(hostile[0].encode()) < 2_000_000


def test_every_section_is_there(hostile):
    _, page, fits = hostile
    text = "".join(page.text)
    for heading in ("Headline", "People", "All measures", "What the mean hides", "Learning curves", "How it was made"):
        assert heading in text
    assert f"{fits['vbpr'].judgement.metrics['recall@20']:.4f}" in text
    assert "pictures: built-in descriptors; pip install 'palate[pictures]'" in text
    assert "image_stats" in text and "3 epochs" in text and "opened test" in text
    assert "every interaction" in text and "leave_one_out" in text and "numpy" in text


def test_people_show_what_they_liked_got_and_chose(hostile):
    _, _, fits = hostile
    data, main = make_shop(hostile=True), fits["vbpr"]
    for person in template_context(data, fits)["people"]:
        user = data.users.ids.rows([person["id"]])[0]
        at = int(np.flatnonzero(main.judgement.questions.users.rows == user)[0])
        liked = set(data.items.ids.external(main.judgement.questions.users.history[at]))
        chose = set(data.items.ids.external(main.judgement.questions.relevant[at]))
        assert {tile["id"] for tile in person["liked"]} <= liked and {tile["id"] for tile in person["chose"]} == chose
        assert len(person["got"]) == STRIP and not liked & {tile["id"] for tile in person["got"]}
        assert {tile["id"] for tile in person["got"] if tile["hit"]} == chose & {tile["id"] for tile in person["got"]}


def test_items_without_a_picture_show_their_words(tmp_path):
    data = make_shop()
    tiles = Thumbnails(data.items)
    assert tiles.of(6)["image"] is None and tiles.of(6)["title"] == "lamp bright red v6 ok"
    assert tiles.of(0)["image"].startswith("data:image/jpeg")
    html, page, _ = report(data, tmp_path, ("popularity",))
    assert 'class="none"' in html and "img" in page.tags


def test_a_sealed_test_part_is_said_and_nothing_of_it_is_shown(tmp_path):
    data = make_shop()
    html, _, fits = report(data, tmp_path, ("ease:l2=50",), test=False)
    assert "sealed" in html and 'class="person"' not in html and "All measures" not in html
    assert f"{fits['ease'].model.deployment.log.valid:.4f}" in html


def test_a_shop_without_words_and_pictures(tmp_path):
    data = make_shop()
    bare = pl.DataFrame({"item_id": data.items.ids.ids})
    data = replace(data, items=Catalog(bare, IdMap(bare["item_id"])))
    _, page, fits = report(data, tmp_path, ("popularity",))
    shown = {tile["id"] for person in template_context(data, fits)["people"] for tile in person["got"]}
    assert shown and all(f"{item}\n" in "".join(page.text) or item in page.text for item in shown)
    assert not page.loads


def test_thumbnails_are_small_jpegs():
    items = Catalog(
        pl.DataFrame({"id": ["a", "b"], "image": [_big(), b"GIF89a broken"]}), IdMap(["a", "b"]), {"image": "image"}
    )
    tiles = Thumbnails(items)
    made = Image.open(io.BytesIO(base64.b64decode(tiles.of(0)["image"].partition(",")[2])))
    assert made.format == "JPEG" and max(made.size) == SIDE
    assert tiles.of(1)["image"] is None and tiles.of(1)["title"] == "b"


def test_bars_are_to_scale_and_escaped():
    svg = str(bars([("<b>", 0.2), ("half", 0.1), ("none", float("nan"))]))
    widths = [float(width) for width in re.findall(r'<rect [^>]*width="([\d.]+)"', svg)]
    assert widths[0] == pytest.approx(2 * widths[1], abs=0.2) and widths[2] == 1
    assert "<b>" not in svg and "&lt;b&gt;" in svg and ">-<" in svg
    assert re.findall(r'class="(b[01])"', svg) == ["b1", "b0", "b0"]


def test_bars_of_zeros_and_of_nothing():
    assert "<rect" in str(bars([("a", 0.0)]))
    assert "<rect" not in str(bars([]))


def test_curves_are_to_scale():
    history = [{"loss": 1.0, "valid": 0.1}, {"loss": 0.5}, {"loss": 0.25, "valid": 0.3}]
    svg = str(curves(history))
    loss, valid = re.findall(r'points="([^"]+)"', svg)
    points = [tuple(map(float, point.split(","))) for point in loss.split()]
    assert [x for x, _ in points] == sorted(x for x, _ in points) and len(valid.split()) == 2
    heights = [y for _, y in points]
    assert (heights[1] - heights[0]) / (heights[2] - heights[0]) == pytest.approx(0.5 / 0.75, abs=0.01)
    assert "loss 0.25 to 1" in svg and "valid 0.1 to 0.3" in svg and "3 epochs" in svg


def _big() -> bytes:
    assert png(1, 2).startswith(b"\x89PNG")
    buffer = io.BytesIO()
    Image.new("RGB", (900, 500), (1, 2, 3)).save(buffer, "PNG")
    return buffer.getvalue()
