"""Explanations around what the item's own summary says that it offers.

The summary says who would like the item ("Fans of spicy food looking for a cosy place would enjoy X"). What these
people like is what the item offers: it is cut out and put behind a usual opening of an explanation and before the
ending of a near training explanation ("making it ..."), or behind the first clause of what the network writes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from _xrec_data import Pair
from palate.generation.scoring import consensus

_TASTE = r"(?:enjoys?|appreciates?|values?|loves?|likes?|prefers?|seeks?|seeking|looking for|interested in)"
_WOULD = re.compile(
    r"\s*,?\s*\b(?:(?:all|both|also|and)\s+)*(?:would|will|may|might|should|can)\s+(?:\w+\s+){0,3}?"
    r"(?:enjoy|appreciate|like|love|find)\b.*?(?= for its | for their |[.!?]?$)"
)
_PEOPLE = r"(?:those|fans|people|readers|individuals|customers|users|diners|families|anyone|lovers|enthusiasts)"
_WHO = re.compile(
    rf"(?:^\w+\s+)?\b{_PEOPLE}\s+(?:who\s+(?:are\s+)?{_TASTE}|{_TASTE}|of|who)\s+"
    rf"|\b(?:who|and)\s+(?:are\s+)?{_TASTE}\s+|\b(?:seeking|looking for|interested in)\s+",
    re.IGNORECASE,
)
_NAMES = re.compile(rf"\s*\b{_PEOPLE}\b", re.IGNORECASE)
_JOINED = re.compile(r"(?:^|,|\b(?:and|or|as|of|especially|particularly))\s*$")
_OPENING = re.compile(r"^(.{8,60}?\b(?:because (?:it offers|of its|of the|they enjoy)|for its|for the))\b")
_CLOSING = re.compile(r",\s+(making (?:it|this|for)\b[^.]*)\.?\s*$")


def offered(pair: Pair) -> str:
    """What the item's summary says that its people like.

    Args:
        pair: user and item.
    """
    parts = []
    for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z])", pair.item_summary):
        if not _WOULD.search(sentence) or not (_WHO.search(sentence) or _NAMES.search(sentence)):
            continue
        text = _WOULD.sub("", sentence)
        cut = _WHO.sub(lambda found, whole=text: "" if _JOINED.search(whole[: found.start()]) else ", ", text)
        text = _NAMES.sub("", cut)
        text = re.sub(r"\s+([,.;])", r"\1", " ".join(text.split())).strip(" .,;!'\"")
        text = re.sub(r"(,\s*)+", ", ", re.sub(r",?\s+(?:and|or|by|with|for|of)$", "", text))
        if len(text.split()) > 1:
            parts.append(text)
    return ", ".join(parts)


def openings(train: Sequence[Pair]) -> list[str]:
    """Usual beginnings of explanations, the most frequent first.

    Args:
        train: training pairs.
    """
    found = (_OPENING.match(pair.reference) for pair in train)
    return [words for words, _ in Counter(match[1] for match in found if match).most_common()]


def framed(opening: str, offer: str, near: Sequence[Pair]) -> str:
    """What an item offers behind a usual opening, with the ending of near explanations that is most like the others.

    Args:
        opening: first words.
        offer: of :func:`offered`.
        near: training pairs.
    """
    ends = [match[1] for pair in near if (match := _CLOSING.search(pair.reference))]
    ending = f", {ends[int(np.argmax(consensus(ends)))]}" if ends else ""
    return f"{opening} {offer}{ending}."


def inserted(text: str, offer: str, whole: bool) -> str:
    """What an item offers behind the first clause of a text.

    Args:
        text: an explanation of the network.
        offer: of :func:`offered`; the text stays as it is where it is empty.
        whole: keep all other clauses; else the last one alone.
    """
    first, _, rest = text.rstrip(" .").partition(", ")
    rest = rest if whole else rest.rpartition(", ")[2]
    return f"{', '.join(part for part in (first, offer, rest) if part)}." if offer else text
