"""Explained pairs of users and items, split by user, with the outputs of a published system."""

from __future__ import annotations

import hashlib
import html
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import polars as pl

from _common import real
from palate.contracts import Evidence, GenerationRequest
from palate.generation.facts import history_evidence

TEST, VALIDATION = 0.15, 0.10
"""Shares of users."""
HISTORY = 5
"""Items of a history."""


@dataclass(frozen=True)
class Pair:
    """A user, an item, and why the user would take it.

    Attributes:
        user: id. item: id. title: of the item. user_summary: what the user likes. item_summary: who likes the item.
        reference: the explanation. published: that of the published system; None where it gave none.
        history: other items that the user took, with title and summary.
    """

    user: str
    item: str
    title: str
    user_summary: str
    item_summary: str
    reference: str
    published: str | None
    history: tuple[dict[str, str], ...] = ()

    @property
    def columns(self) -> dict[str, Any]:
        """What is known of the item."""
        return {"item_id": self.item, "title": self.title, "summary": self.item_summary}

    @property
    def evidence(self) -> list[Evidence]:
        """What may be said beside the item's own columns."""
        return [Evidence("user", self.user, "summary", self.user_summary), *history_evidence(self.history)]

    @property
    def request(self) -> GenerationRequest:
        """The request of an explanation; the reference is not in it."""
        return GenerationRequest(
            "explanation", self.columns, self.history, user=self.user, evidence=self.evidence, max_words=60
        )


@dataclass(frozen=True)
class Split:
    """Pairs by their users' part.

    Attributes:
        train: pairs to learn from. validation: pairs to choose settings on. test: pairs with a published output.
    """

    train: list[Pair]
    validation: list[Pair]
    test: list[Pair]


def share(*names: object) -> float:
    """A number in [0, 1) that these names alone decide."""
    told = hashlib.sha256("\x1f".join(map(str, names)).encode()).digest()
    return int.from_bytes(told[:8], "big") / 2**64


@cache
def pairs(name: str) -> tuple[list[Pair], dict[str, int]]:
    """All explained pairs of ``amazon`` or ``yelp``, and counts of what was left out of histories.

    Args:
        name: of the data.
    """
    folder = real("xrec") / name
    rows = pl.read_parquet(folder / "explanations.parquet").unique(["uid", "iid"], maintain_order=True)
    given = pl.read_parquet(folder / "published_predictions.parquet")
    published = dict(zip(given["reference"].str.strip_chars(), given["xrec_prediction"].str.strip_chars()))
    items = {
        row["iid"]: {"item_id": str(row["iid"]), "title": _clean(row["title"]), "summary": _clean(row["item_summary"])}
        for row in rows.iter_rows(named=True)
    }
    files = sorted(folder.glob("interactions_*.parquet"))
    log = pl.concat([pl.read_parquet(file, columns=["user", "item"]) for file in files]).unique(maintain_order=True)
    explained = set(rows.select("uid", "iid").iter_rows())
    kept = [pair for pair in log.iter_rows() if pair not in explained]
    assert explained.isdisjoint(kept), "an explained pair is in a history"
    taken: dict[int, list[int]] = {}
    for user, item in kept:
        if item in items:
            taken.setdefault(user, []).append(item)

    def history(user: int) -> tuple[dict[str, str], ...]:
        return tuple(items[i] for i in sorted(taken.get(user, ()), key=lambda item: share(user, item))[:HISTORY])

    out = [
        Pair(
            str(row["uid"]), str(row["iid"]), items[row["iid"]]["title"], _clean(row["user_summary"]),
            items[row["iid"]]["summary"], _clean(row["explanation"]), published.get(row["explanation"].strip()),
            history(row["uid"]),
        )
        for row in rows.iter_rows(named=True)
    ]  # fmt: skip
    counts = {
        "explained pairs": len(out),
        "pairs in the interaction files": len(log),
        "explained pairs excluded from histories": len(log) - len(kept),
        "explained pairs with a published output": sum(pair.published is not None for pair in out),
        "explained pairs whose user has a history": sum(bool(pair.history) for pair in out),
    }
    return out, counts


def split(name: str, seed: int, most: int) -> Split:
    """A split by user: a user's pairs are all in one part.

    Args:
        name: of the data.
        seed: of the split.
        most: pairs of the test and of the validation part.
    """
    parts: tuple[list[Pair], list[Pair], list[Pair]] = ([], [], [])
    for pair in pairs(name)[0]:
        place = share("split", seed, pair.user)
        part = 2 if place < TEST else 1 if place < TEST + VALIDATION else 0
        parts[part].append(pair)
    by_user = [{pair.user for pair in part} for part in parts]
    assert by_user[0].isdisjoint(by_user[1] | by_user[2]) and by_user[1].isdisjoint(by_user[2])
    test = drawn([pair for pair in parts[2] if pair.published], seed, most)
    validation = drawn([pair for pair in parts[1] if pair.published], seed, most)
    return Split(parts[0], validation, test)


def drawn(rows: Sequence[Pair], seed: int, most: int) -> list[Pair]:
    """Some pairs at random."""
    return sorted(rows, key=lambda pair: share("draw", seed, pair.user, pair.item))[:most]


def in_every_training(name: str, seeds: Sequence[int]) -> list[Pair]:
    """Pairs whose users are in the training part of each of these splits, in a random order.

    Args:
        name: of the data.
        seeds: of the splits.
    """
    rows = [pair for pair in pairs(name)[0] if all(share("split", s, pair.user) >= TEST + VALIDATION for s in seeds)]
    return drawn(rows, 0, len(rows))


def _clean(text: str) -> str:
    return " ".join(html.unescape(text).split())
