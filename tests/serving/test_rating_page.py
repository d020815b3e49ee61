"""The page on which pairs are rated: blinded, in an order of its own for each person, resumable, nothing lost."""

import json
import re
from html import unescape

import pytest

pytest.importorskip("fastapi")
from PIL import Image
from starlette.testclient import TestClient

from palate.core.errors import DataError
from palate.evaluation.rating.pairs import RatingPair, read_pairs, write_pairs
from palate.evaluation.rating.ratings import read_ratings
from palate.serving.rating_page import rating_app

PAIRS = [RatingPair(str(n), f"text a{n} <i>", f"text b{n}", "secret-one", "secret-two") for n in range(6)]


@pytest.fixture
def files(tmp_path):
    write_pairs(tmp_path / "pairs.csv", PAIRS)
    return tmp_path / "pairs.csv", tmp_path / "out" / "ratings.jsonl"


def opened(files, seed=0):
    return TestClient(rating_app(*files, seed), base_url="http://127.0.0.1", follow_redirects=False)


def field(page, name):
    return unescape(re.search(rf'name="{name}" value="([^"]*)"', page)[1])


def test_a_person_rates_all_pairs_and_comes_back(files):
    client = opened(files)
    assert "Your name" in client.get("/").text and "6 pairs" in client.get("/").text
    seen, chosen = [], {}
    for step in range(6):
        client = opened(files)  # a server that was restarted
        page = client.get("/?rater=Ann B").text
        assert "secret" not in page and f"have answered {step}" in page and "text a" in page and "<i>" not in page
        pair = field(page, "pair")
        left = re.search(r"text ([ab])\d", page)[1]
        choice = ("left", "right", "tie")[step % 3]
        chosen[pair] = {"left": left, "right": "ab"[left == "a"], "tie": "tie"}[choice]
        sent = client.post("/", data={"rater": "Ann B", "pair": pair, "choice": choice, "since": field(page, "since")})
        assert sent.status_code == 303 and sent.headers["location"] == "/?rater=Ann%20B"
        seen.append(pair)
    assert sorted(seen) == [pair.id for pair in PAIRS] and seen != sorted(seen)
    assert (
        "Thank you, Ann B" in client.get("/?rater=Ann B").text and "have answered 0" in client.get("/?rater=Ben").text
    )
    found = read_ratings(files[1], read_pairs(files[0]))
    assert {one.pair: one.choice for one in found} == chosen and all(0 <= one.seconds < 60 for one in found)
    assert all(json.loads(line)["left"] in "ab" for line in files[1].read_text().splitlines())


def test_an_answer_can_be_changed(files):
    client = opened(files)
    first = field(client.get("/?rater=x").text, "pair")
    client.post("/", data={"rater": "x", "pair": first, "choice": "left"})
    page = client.get("/?rater=x").text
    back = unescape(re.search(r'href="([^"]+)">Back', page)[1])
    again = client.get(back).text
    assert field(again, "pair") == first and re.search(r'value="left"[^>]*aria-pressed="true"', again)
    client.post("/", data={"rater": "x", "pair": first, "choice": "tie", "since": "no number"})
    (one,) = read_ratings(files[1], PAIRS)
    assert one.choice == "tie" and one.seconds != one.seconds


def test_sides_and_orders_differ_by_person_and_seed(files):
    def layout(seed, rater):
        page = opened(files, seed).get(f"/?rater={rater}").text
        return field(page, "pair"), re.search(r"text ([ab])\d", page)[1]

    found = {layout(seed, rater) for seed in range(3) for rater in ("x", "y", "z")}
    assert len({pair for pair, _ in found}) > 2 and {side for _, side in found} == {"a", "b"}
    assert layout(1, "x") == layout(1, "x")


def test_wrong_forms_store_nothing(files):
    client = opened(files)
    for data, status in (
        ({"rater": "x", "pair": "nope", "choice": "left"}, 422),
        ({"rater": "x", "pair": "1", "choice": "best"}, 422),
        ({"rater": " ", "pair": "1", "choice": "left"}, 422),
        ({"rater": "x" * 100, "pair": "1", "choice": "left"}, 422),
        ({}, 422),
    ):
        assert client.post("/", data=data).status_code == status
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.test"}):
        sent = client.post("/", data={"rater": "x", "pair": "1", "choice": "left"}, headers=headers)
        assert sent.status_code == 403
    assert client.get("/", headers={"Host": "evil.test"}).status_code == 421
    assert not files[1].exists()
    page = client.get("/?rater=%3Cb%3E")
    assert "&lt;b&gt;" in page.text and "<b>" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert client.get(f"/?rater={'x' * 100}").status_code == 422


def test_pictures_are_shown_and_wrong_ones_refused_before_anybody_rates(tmp_path):
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    write_pairs(tmp_path / "p.jsonl", [RatingPair("1", image_a="a.png", image_b="a.png")])
    page = TestClient(rating_app(tmp_path / "p.jsonl", tmp_path / "r.jsonl"), base_url="http://localhost").get(
        "/?rater=x"
    )
    assert page.text.count("data:image/jpeg;base64,") == 2 and "a.png" not in page.text
    write_pairs(tmp_path / "p.jsonl", [RatingPair("1", "x", "y"), RatingPair("2", image_a="a.png", image_b="b.png")])
    with pytest.raises(DataError, match="row 2, column 'image_b'"):
        rating_app(tmp_path / "p.jsonl", tmp_path / "r.jsonl")
