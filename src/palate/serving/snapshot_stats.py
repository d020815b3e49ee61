"""Statistics of a catalogue that stages, filters and pages read; each is computed when it is first asked for."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from palate.core.batch import IntArray, RaggedArray
from palate.core.content import MODALITIES
from palate.core.item_features import ItemFeatures
from palate.data.catalog import Catalog
from palate.generation.taste import CatalogTaste
from palate.serving.filters import Filters
from palate.serving.search.documents import catalog_documents
from palate.serving.search.word_index import WordIndex

TIMES = ("first_seen", "released", "release_date", "created", "created_at", "added", "date", "year", "timestamp")
"""Columns that may hold the age of an item; the first that exists is read."""
TITLES = ("title", "name")
"""Columns that may hold the title of an item; the first that exists is read."""
MAX_TITLE_LENGTH = 200
WHOLE_CATALOG = ("ids", "titles", "interaction_counts", "popular_rows", "novelty", "recency", "filters", "words")
"""Statistics that take time proportional to the size of the catalogue."""


class CatalogStats:
    """Statistics of the catalogue of one snapshot.

    Args:
        items: the catalogue, with added items.
        features: its feature vectors.
        seen: items that each user took before the run was made.
        added_at: float64 [items], when items were added, seconds since 1970; 0 for items of the run.
    """

    def __init__(
        self, items: Catalog, features: ItemFeatures, seen: RaggedArray, added_at: NDArray[np.float64]
    ) -> None:
        self.items, self.features, self.seen, self.added_at = items, features, seen, added_at
        self._norms: dict[str, NDArray[np.float32]] = {}

    def precompute(self, like: CatalogStats | None = None, changed: IntArray | None = None) -> None:
        """Compute statistics now, so that no request waits for them.

        Args:
            like: compute those that were asked of this one; by default all.
            changed: int64 [m], rows that ``like`` lacks or has with other content.
        """
        if like is not None and changed is not None and "words" in like.__dict__:
            documents = catalog_documents(self.items, self.titles, self.ids, changed)
            self.__dict__["words"] = like.words.update(dict(zip(changed.tolist(), documents)))
        for name in WHOLE_CATALOG:
            if like is None or name in like.__dict__:
                getattr(self, name)
        if like is None:
            self.words.build()

    @cached_property
    def ids(self) -> list[str]:
        """External ids as text, by row."""
        return [str(name) for name in self.items.ids.ids.to_list()]

    @cached_property
    def titles(self) -> list[str]:
        """Titles by row; the id where an item has no title."""
        frame = self.items.frame
        lower = {column.lower(): column for column in frame.columns}
        columns = [lower[name] for name in TITLES if name in lower] or self.items.columns("text")[:1]
        titles = frame[columns[0]].to_list() if columns else [None] * len(frame)
        return [str(title or item)[:MAX_TITLE_LENGTH] for title, item in zip(titles, self.ids)]

    @cached_property
    def filters(self) -> Filters:
        """Filters over the attributes of all items."""
        return Filters(self.items)

    @cached_property
    def taste(self) -> CatalogTaste:
        """How often people take each attribute value."""
        return CatalogTaste(self.filters.values, self.interaction_counts)

    @cached_property
    def words(self) -> WordIndex:
        """Index of the words of titles, attributes and texts."""
        return WordIndex(catalog_documents(self.items, self.titles, self.ids))

    @cached_property
    def interaction_counts(self) -> NDArray[np.int64]:
        """int64 [items]: interactions with each item before the run was made."""
        return np.bincount(self.seen.items, minlength=len(self.items))

    @cached_property
    def popular_rows(self) -> IntArray:
        """int64 [items]: rows by falling number of interactions."""
        return np.argsort(-self.interaction_counts, kind="stable")

    @cached_property
    def recency(self) -> NDArray[np.float32]:
        """float32 [items] in [0, 1], the newest 1: by when items were added here, then by a column of :data:`TIMES`.

        Without such a column, the first column of dates counts.
        """
        frame = self.items.frame
        lower = {column.lower(): column for column in frame.columns}
        dates = self.filters.dates
        column = next((lower[name] for name in TIMES if name in lower), next(iter(dates), None))
        times = np.zeros(len(frame))
        if column is not None and (column in dates or frame[column].dtype.is_numeric()):
            numbers = dates[column] if column in dates else frame[column].cast(float).fill_null(float("nan")).to_numpy()
            times = np.array(numbers)
            times[np.isnan(times)] = np.nanmin(times) if not np.isnan(times).all() else 0.0
        order = np.lexsort((times, self.added_at))
        keys = np.stack([self.added_at, times], 1)[order]
        ranks = np.concatenate([[False], (keys[1:] != keys[:-1]).any(1)]).cumsum()
        out = np.zeros(len(frame), np.float32)
        out[order] = ranks / max(int(ranks[-1]) if len(ranks) else 0, 1)
        return out

    @cached_property
    def novelty(self) -> NDArray[np.float32]:
        """float32 [items] in [0, 1]: 1 without interactions, 0 for the most popular item, on a logarithmic scale."""
        counts = np.log1p(self.interaction_counts)
        return (1 - counts / max(float(counts.max(initial=0)), 1e-9)).astype(np.float32)

    @property
    def modality_features(self) -> list[str]:
        """Names of the features of whole modalities: those of single columns repeat their content."""
        vectors = self.features
        pooled = [name for name in vectors if vectors[name].kind == "pooled"]
        return [name for name in pooled if name in MODALITIES] or pooled

    def content_vectors(self, rows: IntArray) -> NDArray[np.float32]:
        """float32 [n, d]: concatenated content of items, every feature with norm 1, for comparing items.

        Args:
            rows: int64 [n].
        """
        parts = [self.features[name].values[rows].astype(np.float32) for name in self.modality_features]
        parts = [part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-9) for part in parts]
        return np.concatenate(parts, axis=1) if parts else np.zeros((len(rows), 1), np.float32)

    def vector_norms(self, name: str) -> NDArray[np.float32]:
        """float32 [items]: norms of the vectors of a feature, 1e-9 for an item without it.

        Args:
            name: name of the feature.
        """
        if name not in self._norms:
            values = self.features[name].values.astype(np.float32)
            self._norms[name] = np.maximum(np.linalg.norm(values, axis=1), 1e-9)
        return self._norms[name]
