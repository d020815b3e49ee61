"""Similarity of every item to an image, or to an image or item that a text changes; and cosines with a text."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.core.content import Features
from palate.core.encoder import Encoder
from palate.core.errors import ArtefactError, FeatureError, MissingDependencyError, UnsupportedError
from palate.data.catalog import Catalog
from palate.data.ids import IdMap
from palate.serving.snapshot import ModelSnapshot

REMEDY = (
    "fit with --encoder text=minilm --encoder image=conse (extras minilm and pictures), or pretrain encoders that "
    "share one: palate pretrain DATA --model clip, then palate fit DATA --encoder FOLDER"
)


@dataclass(frozen=True)
class SearchQuery:
    """A search query: an image, or an image or item together with a text.

    Attributes:
        text: text to change the image or the item by.
        image: bytes of an image that was encoded again here.
        item: row of an item.
    """

    text: str | None = None
    image: bytes | None = None
    item: int | None = None


def content_similarity(snapshot: ModelSnapshot, query: SearchQuery) -> NDArray[np.float32]:
    """Similarity of all items to a search query.

    An image is compared with images, and with texts where the run's encoders map both into one space. There a text
    together with an image or an item changes what it shows: q = unit(shown) + unit(text). Cosines are standardised over
    the catalogue; the similarity of an item is their mean.

    Args:
        snapshot: the snapshot.
        query: the search query.

    Returns:
        float32 [items], the higher the closer; -inf for items without the content that is compared.

    Raises:
        UnsupportedError: if the run cannot compare these; the message says what would be needed.
        FeatureError: if the query has no content that can be compared.
    """
    if query.text is not None:
        return _changed_by_text(snapshot, query)
    name = _feature(snapshot, "image")
    vector = _encode(snapshot, name, "image", query.image)
    space = _shared_space(snapshot)
    if space is not None and name in space:
        return _mean([_cosines(snapshot, other, vector) for other in space])
    return _mean([_cosines(snapshot, name, vector)])


def text_cosines(snapshot: ModelSnapshot, text: str) -> NDArray[np.float32]:
    """Cosine of every item's text vector, and of its image vector where both share a space, with a text.

    Args:
        snapshot: the snapshot.
        text: the text.

    Returns:
        float32 [items], the higher of the two; NaN for items that have neither.

    Raises:
        UnsupportedError: if the run reads no texts.
        FeatureError: if the run's encoder knows no word of the text.
        ArtefactError: if the encoder is of another version.
        MissingDependencyError: if it is not installed.
    """
    name = _feature(snapshot, "text")
    vector = _unit(_encode(snapshot, name, "text", text))
    names = [name]
    space = _shared_space(snapshot)
    if space is not None and name in space:
        names = list(space)
    parts = []
    for name in names:
        features = snapshot.features[name]
        cosines = (features.values @ vector.astype(features.values.dtype)) / snapshot.stats.vector_norms(name)
        parts.append(np.where(features.present, cosines, np.nan))
    return np.asarray(np.fmax.reduce(parts), np.float32)


def shares_space(snapshot: ModelSnapshot) -> bool:
    """Whether a text can change an image ("like this but red")."""
    return _shared_space(snapshot) is not None


def _changed_by_text(snapshot: ModelSnapshot, query: SearchQuery) -> NDArray[np.float32]:
    space = _shared_space(snapshot)
    if space is None:
        used = ", ".join(f"{name}: {encoder.name}" for name, encoder in _encoders(snapshot).items()) or "none"
        raise UnsupportedError(
            f"a text can change an image only in a space that both share; this run's encoders ({used}) share none",
            hint=REMEDY,
        )
    text, image = space
    change = _encode(snapshot, text, "text", query.text)
    if query.image is not None:
        shown = _encode(snapshot, image, "image", query.image)
    else:
        features = snapshot.features[image].take(np.array([query.item]))
        if not features.present[0]:
            raise FeatureError("this item has no image that a text could change")
        shown = features.values[0].astype(np.float32)
    vector = _unit(shown) + _unit(change)
    return _mean([_cosines(snapshot, name, vector) for name in space])


def _encoders(snapshot: ModelSnapshot) -> dict[str, Encoder]:
    """Encoders of whole modalities, without those that are not installed here or are of another version."""
    fitted, found = snapshot.content.encoders, dict[str, Encoder]()
    for name in snapshot.stats.modality_features:
        if name in fitted:
            with suppress(ArtefactError, MissingDependencyError):
                found[name] = fitted[name]
    return found


def _shared_space(snapshot: ModelSnapshot) -> tuple[str, str] | None:
    """Features of text and image whose encoders share a space."""
    if snapshot.content.trained is not None:
        return None
    by_space: dict[tuple[str, int], dict[str, str]] = {}
    for name, encoder in _encoders(snapshot).items():
        if encoder.shared_space is not None:
            by_space.setdefault((encoder.shared_space, encoder.dim), {})[encoder.modality] = name
    for features in by_space.values():
        if "text" in features and "image" in features:
            return features["text"], features["image"]
    return None


def _feature(snapshot: ModelSnapshot, modality: str) -> str:
    """The feature by which items are searched for a text or an image."""
    used = snapshot.content.plan
    encoded = (name for name in snapshot.stats.modality_features if name in snapshot.content.encoders)
    names = [name for name in encoded if used.get(name, ("",))[0] == modality]
    if not names:
        what = "texts" if modality == "text" else "images"
        raise UnsupportedError(f"this run reads no {what}", hint="see palate check DATA, and palate fit --encoder")
    return names[0]


def _encode(snapshot: ModelSnapshot, name: str, modality: str, raw: str | bytes | None) -> NDArray[np.float32]:
    """The vector of ``raw`` as items have theirs in feature ``name``."""
    content = snapshot.content
    if content.trained is None:
        features = content.encoders[name].encode([raw])
    else:
        features = _as_item(snapshot, name, modality, raw)
    if not features.present[0] or not np.any(features.values[0]):
        if modality == "text":
            raise FeatureError("no word of this text is known to the run's encoder", hint="try other words")
        raise FeatureError("the image is empty to the run's encoder")
    vector: NDArray[np.float32] = features.values[0].astype(np.float32)
    return vector


def _as_item(snapshot: ModelSnapshot, name: str, modality: str, raw: str | bytes | None) -> Features:
    """Encode as if it were an item with nothing else."""
    columns = snapshot.items.columns(modality)
    dtype = pl.Binary if modality == "image" else pl.String
    frame = pl.DataFrame({c: pl.Series([raw if c == columns[0] else None], dtype=dtype) for c in columns})
    schema = snapshot.items.frame.schema
    frame = frame.with_columns(pl.Series(c, [None], dtype=t) for c, t in schema.items() if c not in columns)
    given = {
        name: replace(one, values=np.zeros_like(one.values), present=np.zeros(1, bool))
        for name, features in snapshot.items.given.items()
        for one in [features.take(np.zeros(1, np.int64))]
    }
    item = Catalog(frame, IdMap(pl.Series(["query"])), snapshot.items.kinds, None, given)
    features: Features = snapshot.content.encode_new(item)[name]
    return features


def _cosines(snapshot: ModelSnapshot, name: str, vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """Standardised over items that have the feature; NaN for the others."""
    features = snapshot.features[name]
    cosines = (features.values @ _unit(vector).astype(features.values.dtype)) / snapshot.stats.vector_norms(name)
    present = cosines[features.present]
    mean, spread = (float(present.mean()), float(present.std())) if len(present) else (0.0, 0.0)
    return np.where(features.present, (cosines - mean) / max(spread, 1e-9), np.nan).astype(np.float32)


def _mean(parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    if not parts:
        raise FeatureError("this item has no content to compare")
    cosines = np.stack(parts)
    present = ~np.isnan(cosines)
    total = np.where(present, cosines, 0).sum(0) / np.maximum(present.sum(0), 1)
    return np.where(present.any(0), total, -np.inf).astype(np.float32)


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    return (vector / max(float(np.linalg.norm(vector)), 1e-12)).astype(np.float32)
