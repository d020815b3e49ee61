"""Parts of the benchmark of explanations that decide what is compared."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def parts(monkeypatch):
    """The benchmark's modules."""
    for package in ("bm25s", "rouge_score", "rapidfuzz"):
        pytest.importorskip(package)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)
    import _xrec_cheap
    import _xrec_data
    import _xrec_frames
    import xrec

    yield SimpleNamespace(cheap=_xrec_cheap, data=_xrec_data, frames=_xrec_frames, xrec=xrec)
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(BENCHMARKS)):
            del sys.modules[name]


@pytest.fixture
def pair(parts):
    def make(user="u", item="i", title="Amber Road", reference="A warm story.", **more):
        summaries = {"user_summary": "Likes warm family stories.", "item_summary": "For readers of family stories."}
        return parts.data.Pair(user, item, title, **summaries, reference=reference, published="x", **more)

    return make


def test_all_pairs_of_a_user_are_in_one_part(parts, pair, monkeypatch):
    rows = [pair(user=f"u{n % 40}", item=f"i{n}") for n in range(120)]
    monkeypatch.setattr(parts.data, "pairs", lambda name: (rows, {}))
    users = []
    for seed in (0, 1, 2):
        one = parts.data.split("any", seed, 1000)
        assert len(one.train) + len(one.validation) + len(one.test) == len(rows)
        users.append([{row.user for row in part} for part in (one.train, one.validation, one.test)])
        assert not users[-1][0] & users[-1][2] and not users[-1][0] & users[-1][1] and not users[-1][1] & users[-1][2]
        assert all(users[-1])
    assert users[0] != users[1]
    common = {row.user for row in parts.data.in_every_training("any", (0, 1, 2))}
    assert common == users[0][0] & users[1][0] & users[2][0]


def test_the_request_does_not_tell_the_reference(pair):
    request = pair(reference="Zanzibar at dawn.").request
    assert "Zanzibar" not in repr(request)


def test_a_neighbours_title_is_replaced(parts, pair):
    found = pair(title="Deep River: A Novel (Vol. 2)", reference="You would like Deep River: it is warm.")
    assert parts.cheap.retitled(found, pair()) == "You would like Amber Road: it is warm."


def test_what_is_said_of_another_item_is_not_kept(parts, pair):
    from palate.generation.facts import FactChecker

    wrong = "The user would enjoy this story because it was written by Nora Keller in 1987."
    right = "The user would enjoy this one because it tells a warm story of a family."
    check = FactChecker()
    assert parts.cheap.first_true([wrong], pair(), check) != wrong
    assert parts.cheap.first_true([right, wrong], pair(), check) == right
    assert parts.cheap.first_true([right], pair(), check, used={right}) is None


def test_no_text_is_given_twice(parts, pair):
    from palate.generation.facts import FactChecker

    pool = [
        "The user would enjoy this one because it tells a warm story of a family.",
        "The user would enjoy this one because it tells a warm story of a town.",
    ]
    texts = parts.cheap.first_new([pool] * 3, [pair()] * 3, FactChecker(), ["spare"] * 3)
    assert texts == [*pool, "spare"]


def test_the_candidate_most_like_the_others_comes_first(parts):
    pool = ["quite another tale", "a warm story of a town", "a warm story of a family"]

    def even(texts):
        return np.zeros(len(texts))

    assert parts.cheap.by_consensus(pool, even) == [*pool[1:], pool[0]]


def test_scores_are_averaged_by_user(parts):
    rows = [{"rougeL": 1.0}, {"rougeL": 0.0}, {"rougeL": 0.2}]
    assert parts.xrec.by_user(rows, ["b", "b", "a", "c"], "rougeL").tolist() == [0.2, 0.5]


@pytest.mark.parametrize(
    ("summary", "offer"),
    [
        ("Fans of gritty romance novels will enjoy 'Amber Road' by Nora Flite.", "gritty romance novels"),
        ("Users who enjoy live music, along with good tea, would love Amber Road in Reno.",
         "live music, along with good tea"),
        ("Fans of ramen looking for good service would enjoy Amber Road. It is loud.", "ramen, good service"),
        ("Fans of ramen, as well as those who value calm, may enjoy it for its broth.",
         "ramen, as well as calm for its broth"),
        ("The place is loud.", ""),
    ],
)  # fmt: skip
def test_what_an_item_offers_is_read_from_whom_it_suits(parts, pair, summary, offer):
    from dataclasses import replace

    assert parts.frames.offered(replace(pair(), item_summary=summary)) == offer


def test_what_an_item_offers_stands_behind_the_first_clause(parts):
    text = "You would like it for its food, friendly staff, making it a fine place."
    assert parts.frames.inserted(text, "good tea", True) == (
        "You would like it for its food, good tea, friendly staff, making it a fine place."
    )
    assert parts.frames.inserted(text, "good tea", False) == (
        "You would like it for its food, good tea, making it a fine place."
    )
    assert parts.frames.inserted("You would like it.", "good tea", False) == "You would like it, good tea."
    assert parts.frames.inserted(text, "", False) == text


def test_openings_and_endings_are_those_of_training_explanations(parts, pair):
    near = [
        pair(reference="You would enjoy this place for its tea, making it a calm place to read."),
        pair(reference="You would enjoy this place for its cakes, making it a calm place to sit."),
        pair(reference="You may like that place because it offers cakes, making it loud."),
    ]
    opening = parts.frames.openings(near)[0]
    assert opening == "You would enjoy this place for its"
    made = parts.frames.framed(opening, "good tea", near)
    assert made.startswith("You would enjoy this place for its good tea, making it a calm place to ")
    assert parts.frames.framed(opening, "good tea", []) == "You would enjoy this place for its good tea."
