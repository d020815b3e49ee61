"""What a creative says and shows for a user: the attribute that is put forward, which picture, which colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from palate.contracts import Evidence, GenerationRequest
from palate.core.errors import FeatureError
from palate.features.media import open_image
from palate.generation.compose.colour import Rgb, palette, to_lab
from palate.generation.compose.words import Copy
from palate.generation.evidence import facts_of, item_id
from palate.generation.templates.language import language_of
from palate.generation.templates.slots import capital, fill_slots, ordered_facts, read_request

NEAR, MAX_LIKED = 900, 4
"""Shorter side at which pictures are read, in pixels; pictures of the history that are looked at, the latest."""


class Brief(NamedTuple):
    """What a creative is made of.

    Attributes:
        copy: its words.
        picture: RGB; None where there is none that can be opened.
        liked: colours of pictures that the user took.
        category: of the item.
        evidence: what the words say, row by row.
        note: why a picture is missing, or empty.
    """

    copy: Copy
    picture: Image.Image | None
    liked: tuple[Rgb, ...]
    category: str
    evidence: tuple[Evidence, ...]
    note: str


def brief_of(request: GenerationRequest) -> Brief:
    """The brief of a request: the title, what of it is in the user's taste, and further facts.

    Args:
        request: of a kind that has a picture; ``options`` may hold ``headline``, ``pictures`` (bytes of several
            pictures of the item), ``picture_vectors`` (one a picture) and ``history_vectors``.
    """
    language, _ = language_of(request.language)
    slots = read_request(request)
    fill_slots(slots, request, language)
    rows = list(slots.rows["item_plain"])
    title = str(request.options.get("headline") or slots.texts["item_plain"])
    tag = ""
    if "values" in slots.texts:
        pattern = language.file["tag"]
        tag = pattern.replace("{values}", slots.texts["values"]).replace("{liked}", slots.texts["liked_one"])
        rows += slots.rows["values"]
    facts = [
        fact for fact in ordered_facts(slots, title) if fact.role not in ("duration", "rated", "language", "other")
    ]
    said = {(row.column, str(row.value)) for row in rows}
    if not tag and facts:
        tag, first = facts[0].values[0], facts[0]
        rows += first.evidence([tag])
        said.add((first.column, tag))
    details = list[str]()
    for fact in facts:
        fresh = [value for value in fact.values if (fact.column, value) not in said][:2]
        if fresh and len(details) < 3:
            details.append(", ".join(language.number(fact.role, value) for value in fresh))
            rows += fact.evidence(fresh)
    category = next((fact.values[0] for fact in facts_of(request.item) if fact.role == "category"), "")
    picture, note = _picture(request)
    copy = Copy(title, _shouted(tag), capital(" · ".join(details)))
    return Brief(copy, picture, _liked_colours(request), category, tuple(dict.fromkeys(rows)), note)


def closest(pictures: Sequence[Image.Image], liked: Sequence[Image.Image]) -> int:
    """The picture whose colours are nearest to those of pictures that the user took.

    Args:
        pictures: of the item.
        liked: of the history.
    """
    taste = np.mean([_descriptor(one) for one in liked], axis=0)
    return int(np.argmin([np.linalg.norm(_descriptor(one) - taste) for one in pictures]))


def _picture(request: GenerationRequest) -> tuple[Image.Image | None, str]:
    """The item's picture; of several the one that is closest to the history."""
    own = request.images.get(item_id(request.item))
    given = [*request.options.get("pictures", ()), *([own] if own else [])]
    vectors, taken = request.options.get("picture_vectors"), request.options.get("history_vectors")
    if vectors is not None and taken is not None and len(vectors) == len(given) > 1 and len(taken):
        nearness = _unit(np.asarray(vectors, np.float64)) @ _unit(np.asarray(taken, np.float64)).mean(0)
        given = [given[int(at)] for at in np.argsort(-nearness, kind="stable")]
        opened = [one for one in map(_open, given) if isinstance(one, Image.Image)][:1]
    else:
        opened = [one for one in map(_open, given) if isinstance(one, Image.Image)]
    if not opened:
        return None, "no picture" if not given else f"the picture cannot be used: {_open(given[-1])}"
    liked = _liked_pictures(request) if len(opened) > 1 else []
    return opened[closest(opened, liked) if liked else 0], ""


def _liked_pictures(request: GenerationRequest) -> list[Image.Image]:
    ids = [item_id(one) for one in request.history[::-1]]
    found = [request.images[name] for name in ids if name in request.images and name != item_id(request.item)]
    return [one for one in map(_open, found[:MAX_LIKED]) if isinstance(one, Image.Image)]


def _liked_colours(request: GenerationRequest) -> tuple[Rgb, ...]:
    return tuple(colour for one in _liked_pictures(request) for colour, share in palette(one) if share > 0.08)


def _open(data: bytes) -> Image.Image | str:
    """A picture, or why it cannot be used."""
    try:
        picture = open_image(data, near=NEAR)
    except FeatureError as error:
        return error.message
    return picture if min(picture.size) >= 8 else f"{picture.width} x {picture.height} pixels are too few"


def _descriptor(picture: Image.Image) -> np.ndarray:
    return to_lab(np.asarray(picture.resize((6, 6), Image.Resampling.BOX), np.float64)).ravel()


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9))


def _shouted(text: str) -> str:
    """Capitals where the script has them and no letter changes its length."""
    upper = text.upper()
    return upper if len(upper) == len(text) else text
