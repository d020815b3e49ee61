"""How well every item fits words, a picture, or another item; and a change in words to what is shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.core.content import Features
from palate.core.encoder import Encoder
from palate.core.errors import FeatureError, UnsupportedError
from palate.data.catalog import Catalog
from palate.data.ids import IdMap

from .edition import Edition

REMEDY = "pretrain encoders that share one: palate pretrain DATA --model clip, then palate fit DATA --encoder FOLDER"


@dataclass(frozen=True)
class Wanted:
    """What is looked for, at least one of these.

    Attributes:
        text: words. picture: file bytes that were re-encoded here. like: row of an item.
    """

    text: str | None = None
    picture: bytes | None = None
    like: int | None = None


def likeness(edition: Edition, wanted: Wanted) -> NDArray[np.float32]:
    """float32 [items]: the higher the closer, -inf for items without the content that is compared.

    Words are compared with texts, pictures with pictures, items by every modality. Where the run's encoders map words
    and pictures into one space, both are compared with both, and words beside a picture or an item change what it
    shows: q = unit(shown) + unit(words). Each comparison is standardised over the catalogue; an item's is their mean.

    Raises:
        UnsupportedError: when the run cannot compare these; it says what would. FeatureError: for empty words.
    """
    shown = wanted.picture is not None or wanted.like is not None
    if wanted.text is not None and shown:
        return _changed(edition, wanted)
    if wanted.like is not None:
        names = edition.main_features
        own = {name: edition.features[name].take(np.array([wanted.like])) for name in names}
        return _mean([_cosines(edition, n, found.values[0]) for n, found in own.items() if found.present[0]], edition)
    modality, raw = ("text", wanted.text) if wanted.text is not None else ("image", wanted.picture)
    name = _feature(edition, modality)
    query = _read(edition, name, modality, raw)
    space = _space(edition)
    if space is not None and name in space:
        return _mean([_cosines(edition, other, query) for other in space], edition)
    return _mean([_cosines(edition, name, query)], edition)


def shares_space(edition: Edition) -> bool:
    """Whether words can change a picture: "like this but red"."""
    return _space(edition) is not None


def _changed(edition: Edition, wanted: Wanted) -> NDArray[np.float32]:
    space = _space(edition)
    if space is None:
        used = ", ".join(f"{name}: {encoder.name}" for name, encoder in _encoders(edition).items()) or "none"
        raise UnsupportedError(
            f"words can change a picture only in a space that both share; this run's encoders ({used}) share none",
            hint=REMEDY,
        )
    text, image = space
    words = _read(edition, text, "text", wanted.text)
    if wanted.picture is not None:
        shown = _read(edition, image, "image", wanted.picture)
    else:
        found = edition.features[image].take(np.array([wanted.like]))
        if not found.present[0]:
            raise FeatureError("this item has no picture to change")
        shown = found.values[0].astype(np.float32)
    query = _unit(shown) + _unit(words)
    return _mean([_cosines(edition, name, query) for name in space], edition)


def _encoders(edition: Edition) -> dict[str, Encoder]:
    return {name: edition.content.encoders[name] for name in edition.main_features if name in edition.content.encoders}


def _space(edition: Edition) -> tuple[str, str] | None:
    """Features of text and image whose encoders share a space."""
    if edition.content.trained is not None:
        return None
    by_space: dict[tuple[str, int], dict[str, str]] = {}
    for name, encoder in _encoders(edition).items():
        if encoder.shared_space is not None:
            by_space.setdefault((encoder.shared_space, encoder.dim), {})[encoder.modality] = name
    for found in by_space.values():
        if "text" in found and "image" in found:
            return found["text"], found["image"]
    return None


def _feature(edition: Edition, modality: str) -> str:
    used = edition.content.plan
    names = [n for n in edition.main_features if used.get(n, ("",))[0] == modality and n in edition.content.encoders]
    if not names:
        what = "texts" if modality == "text" else "pictures"
        raise UnsupportedError(f"this run reads no {what}", hint="see palate check DATA, and palate fit --encoder")
    return names[0]


def _read(edition: Edition, name: str, modality: str, raw: str | bytes | None) -> NDArray[np.float32]:
    """The vector of ``raw`` as items have theirs in feature ``name``."""
    content = edition.content
    plain = content.trained is None
    found = content.encoders[name].encode([raw]) if plain else _as_item(edition, name, modality, raw)
    if not found.present[0] or not np.any(found.values[0]):
        what = "no word of this means anything to the run's encoder" if modality == "text" else "the picture is empty"
        raise FeatureError(what, hint="try other words" if modality == "text" else None)
    vector: NDArray[np.float32] = found.values[0].astype(np.float32)
    return vector


def _as_item(edition: Edition, name: str, modality: str, raw: str | bytes | None) -> Features:
    """Encoded as if it were an item with nothing else."""
    columns = edition.items.columns(modality)
    dtype = pl.Binary if modality == "image" else pl.String
    frame = pl.DataFrame({c: pl.Series([raw if c == columns[0] else None], dtype=dtype) for c in columns})
    blank = {c: pl.Series(c, [None], dtype=t) for c, t in edition.items.frame.schema.items() if c not in columns}
    one = Catalog(frame.with_columns(*blank.values()), IdMap(pl.Series(["wanted"])), edition.items.kinds)
    found: Features = edition.content.encode_new(one)[name]
    return found


def _cosines(edition: Edition, name: str, query: NDArray[np.float32]) -> NDArray[np.float32]:
    """Standardised over items that have the feature; NaN where they do not."""
    found = edition.features[name]
    cosines = (found.values @ _unit(query).astype(found.values.dtype)) / edition.lengths(name)
    here = cosines[found.present]
    spread = float(here.std()) if len(here) else 0.0
    standard = (cosines - (float(here.mean()) if len(here) else 0.0)) / max(spread, 1e-9)
    return np.where(found.present, standard, np.nan).astype(np.float32)


def _mean(parts: list[NDArray[np.float32]], edition: Edition) -> NDArray[np.float32]:
    if not parts:
        raise FeatureError("nothing is known of this item but its id")
    every = np.stack(parts)
    there = ~np.isnan(every)
    total = np.where(there, every, 0).sum(0) / np.maximum(there.sum(0), 1)
    return np.where(there.any(0), total, -np.inf).astype(np.float32)


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    return (vector / max(float(np.linalg.norm(vector)), 1e-12)).astype(np.float32)
