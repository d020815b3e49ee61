"""A snapshot: one run made ready to answer. Items that come make the next snapshot; nobody waits for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from palate.contracts import Matcher
from palate.core.batch import IntArray, RaggedArray, UserBatch
from palate.core.content import MODALITIES
from palate.core.errors import ConfigError, did_you_mean
from palate.core.files import digest, read_json
from palate.core.shared_copy import shared_copy
from palate.data.catalog import Catalog
from palate.features.plan import Content
from palate.features.store import FeatureStore
from palate.ranking.scorer import PaddedScorer, Scorer
from palate.serving.catalog_updates import CatalogUpdate, apply_update
from palate.serving.filters import Filters
from palate.serving.index.calibration import sample_queries
from palate.serving.index.vector_index import VectorIndex, open_index
from palate.training.deployment import Deployment, deployment_of
from palate.training.saving import restore

MAIN = "main"
WARM_UP_ITEMS = 4
"""Items that are encoded again in the warm-up: one alone may lack what others have."""
TIMES = ("first_seen", "released", "release_date", "created", "created_at", "added", "date", "year", "timestamp")
"""Columns that say how new an item is, the first that is there."""
LATE = ("ids", "titles", "interaction_counts", "popular_rows", "novelty", "recency", "filters")
"""What a snapshot works out of its whole catalogue when it is first asked for."""


@dataclass(frozen=True)
class ServedModel:
    """A scorer, and which items it may answer with.

    Attributes:
        eligible: bool [items], written to when an item is removed. new_users: it takes what happened since the run.
        index: holds its item vectors, where it has them.
    """

    scorer: Scorer
    eligible: NDArray[np.bool_]
    new_users: bool
    index: VectorIndex | None = None


@dataclass(eq=False)
class ModelSnapshot:
    """Everything that answers requests between two changes of the catalogue.

    Attributes:
        folder: path of the run as given.
        run: resolved path of the run.
        version: device, inode and modification time of its manifest.
        fingerprint: hash of the run's content.
        model: the run's model, extended to ``items``.
        items: catalogue, with added items.
        content: feature vectors of ``items``.
        deployment: the run's deployment, as restored.
        rows: external item id as text -> row.
        users: external user id as text -> row.
        active: bool [items], whether an item can be recommended.
        added_at: float64 [items], when items were added, seconds since 1970; 0 for items of the run.
        pictures: row -> file, of items that were added or changed.
        models: by name; :data:`MAIN` is the run's model.
        new: ids and rows of the items that this snapshot added.
        put: rows of all items that this snapshot added or changed.
    """

    folder: Path
    run: Path
    version: tuple[int, ...]
    fingerprint: str
    model: Matcher
    items: Catalog
    content: Content
    deployment: Deployment
    rows: dict[str, int]
    users: Mapping[str, int]
    active: NDArray[np.bool_]
    added_at: NDArray[np.float64]
    pictures: dict[int, Path] = field(default_factory=dict)
    models: dict[str, ServedModel] = field(default_factory=dict)
    new: dict[str, int] = field(default_factory=dict, repr=False)
    put: IntArray = field(default_factory=lambda: np.zeros(0, np.int64), repr=False)

    @classmethod
    def open(
        cls, run: str | Path, index: Path | None = None, store: FeatureStore | None = None, index_url: str | None = None
    ) -> ModelSnapshot:
        """Restore a run and make its scorers.

        Args:
            index: folder of indexes in which vectors are searched, where the run has them. store: where content that
                is added is kept once it is encoded. index_url: address of a Qdrant server that holds indexes instead.

        Raises:
            ArtefactError: for what is no run. ConfigError: for one that does not recommend.
        """
        folder, run = Path(run), Path(os.path.realpath(run))
        version, fingerprint = _run_version(folder), run_fingerprint(run)
        model = restore(run)
        if not isinstance(model, Matcher):
            raise ConfigError(f"{model.name} does not recommend items", key=str(run))
        fitted = deployment_of(model)
        forgotten = set(read_json(run / "manifest.json").get("forgotten", ()))
        items = fitted.items
        if store is not None:
            fitted.content.store = store
        made = cls(
            folder,
            run,
            version,
            fingerprint,
            model,
            items,
            fitted.content,
            fitted,
            {str(name): row for row, name in enumerate(items.ids.ids.to_list())},
            {str(name): row for row, name in enumerate(fitted.users.ids.to_list()) if row not in forgotten},
            np.ones(len(items), bool),
            np.zeros(len(items)),
        )
        made._build_models(None if index is None else partial(made._index, index, index_url))
        return made

    def moved(self) -> bool:
        """Whether another run lies in the folder now."""
        try:
            return _run_version(self.folder) != self.version
        except FileNotFoundError:
            # between the moment a run is moved away and another takes its place
            return False

    def __len__(self) -> int:
        return len(self.items)

    def row(self, item: str) -> int:
        """Of an item that is in the shop; -1 for any other."""
        # the table is shared with later snapshots, which know more rows
        row = self.rows.get(item, -1)
        return row if row < len(self.items) and self.active[row] else -1

    @cached_property
    def titles(self) -> list[str]:
        """What items are called, or their ids."""
        frame = self.items.frame
        lower = {column.lower(): column for column in frame.columns}
        named = [lower[name] for name in ("title", "name") if name in lower] or self.items.columns("text")[:1]
        names = frame[named[0]].to_list() if named else [None] * len(frame)
        return [str(name or key)[:200] for name, key in zip(names, self.ids)]

    @cached_property
    def ids(self) -> list[str]:
        """External ids as text, by row."""
        return [str(name) for name in self.items.ids.ids.to_list()]

    @cached_property
    def filters(self) -> Filters:
        """Over the attributes of all items."""
        return Filters(self.items)

    @cached_property
    def interaction_counts(self) -> NDArray[np.int64]:
        """int64 [items]: how many took each item before the run was made."""
        return np.bincount(self.deployment.seen.items, minlength=len(self.items))

    @cached_property
    def popular_rows(self) -> IntArray:
        """Rows, the most taken first."""
        return np.argsort(-self.interaction_counts, kind="stable")

    @cached_property
    def recency(self) -> NDArray[np.float32]:
        """float32 [items] in [0, 1], the newest 1: by a column that says when, and by when items were added here."""
        frame = self.items.frame
        lower = {column.lower(): column for column in frame.columns}
        column = next((lower[name] for name in TIMES if name in lower), None)
        stamps = np.zeros(len(frame))
        if column is not None and (frame[column].dtype.is_numeric() or frame[column].dtype.is_temporal()):
            stamps = frame[column].to_physical().cast(float).fill_null(float("nan")).to_numpy().copy()
            stamps[np.isnan(stamps)] = np.nanmin(stamps) if not np.isnan(stamps).all() else 0.0
        order = np.lexsort((stamps, self.added_at))
        keys = np.stack([self.added_at, stamps], 1)[order]
        steps = np.concatenate([[False], (keys[1:] != keys[:-1]).any(1)]).cumsum()
        out = np.zeros(len(frame), np.float32)
        out[order] = steps / max(int(steps[-1]) if len(steps) else 0, 1)
        return out

    @cached_property
    def novelty(self) -> NDArray[np.float32]:
        """float32 [items] in [0, 1]: 1 for what nobody took, 0 for what most took, on a logarithmic scale."""
        counts = np.log1p(self.interaction_counts)
        return (1 - counts / max(float(counts.max(initial=0)), 1e-9)).astype(np.float32)

    def served_model(self, name: str | None) -> ServedModel:
        """The served called ``name``, the main one by default.

        Raises:
            ConfigError: for an unknown name.
        """
        if name is None:
            return self.models[MAIN]
        if name not in self.models:
            raise ConfigError("no such model here", key=name, hint=did_you_mean(name, self.models))
        return self.models[name]

    def content_vectors(self, rows: IntArray) -> NDArray[np.float32]:
        """float32 [n, d]: vectors of ``rows`` by which items resemble each other, every feature weighing the same."""
        names = self.modality_features
        parts = [self.content.vectors[name].values[rows].astype(np.float32) for name in names]
        parts = [part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-9) for part in parts]
        return np.concatenate(parts, axis=1) if parts else np.zeros((len(rows), 1), np.float32)

    def vector_norms(self, name: str) -> NDArray[np.float32]:
        """float32 [items]: lengths of the vectors of a feature, 1 where there is none."""
        if name not in self._vector_norms:
            found = self.content.vectors[name].values.astype(np.float32)
            self._vector_norms[name] = np.maximum(np.linalg.norm(found, axis=1), 1e-9)
        return self._vector_norms[name]

    @cached_property
    def _vector_norms(self) -> dict[str, NDArray[np.float32]]:
        return {}

    @property
    def modality_features(self) -> list[str]:
        """Vectors of whole modalities: those of single columns repeat them."""
        vectors = self.content.vectors
        pooled = [name for name in vectors if vectors[name].kind == "pooled"]
        return [name for name in pooled if name in MODALITIES] or pooled

    def batch(self, user: int, liked: IntArray, later: bool) -> UserBatch:
        """A user as models see one: by row if nothing happened since the run, else by history."""
        row = -1 if later or user < 0 else user
        known = liked[liked < len(self)]
        return UserBatch(np.array([row], np.int64), RaggedArray(np.array([0, len(known)], np.int64), known))

    def with_items(self, goods: CatalogUpdate) -> ModelSnapshot:
        """The next snapshot, in which these items are as they say; this one stays as it is.

        Encodes the new content; the vectors of the catalogue are copied, what models derive from them is made anew for
        these items only where the models can.
        """
        items, content, rows, names = apply_update(self.items, copy(self.content), self.rows, goods)
        model = self.model
        if model.capabilities.new_items:
            model = shared_copy(model)
            model.update_items(content.handed, len(items))
        more = len(items) - len(self)
        active = np.concatenate([self.active, np.zeros(more, bool)])
        active[rows] = True
        added_at = np.concatenate([self.added_at, np.zeros(more)])
        fresh = rows >= len(self)
        added_at[rows[fresh]] = goods.times[fresh]
        pictures = self.pictures | {int(row): p for row, p in zip(rows, goods.pictures) if p is not None}
        made = replace(
            self,
            model=model,
            items=items,
            content=content,
            active=active,
            added_at=added_at,
            pictures=pictures,
            models={},
        )
        made.new, made.put = names, rows
        made._build_models(lambda scorer: self.models[MAIN].index)
        # what requests made once, the next ones do not wait for again
        for name in LATE:
            if name in self.__dict__:
                getattr(made, name)
        return made

    def warm_up(self) -> None:
        """Load and work out what the first requests, or the first item to be added, would wait for."""
        content, some = copy(self.content), self.ids[:WARM_UP_ITEMS]
        content.store = FeatureStore(None)
        nothing = np.zeros(len(some), bool)
        apply_update(
            self.items,
            content,
            self.rows,
            CatalogUpdate(some, [{}] * len(some), [None] * len(some), nothing, self.added_at),
        )
        for name in LATE:
            getattr(self, name)

    def commit(self) -> None:
        """Once it is certain that this is the next snapshot: its names are known and its vectors found."""
        self.rows.update(self.new)
        served = self.models[MAIN]
        there = self.put[served.eligible[self.put]]
        if served.index is not None and len(there):
            with torch.inference_mode():
                served.index.put(there, served.scorer.item_vectors(there).numpy())

    def remove(self, rows: IntArray) -> None:
        """Take items out of every answer from now on."""
        self.active[rows] = False
        for served in self.models.values():
            served.eligible[rows] = False
        if (index := self.models[MAIN].index) is not None and len(rows):
            index.drop(rows)

    def _build_models(self, index: Callable[[Scorer], VectorIndex | None] | None) -> None:
        """Make the models: the model, and the members of a blend."""
        with torch.inference_mode():
            scorer = self._whole(self.model.scorer())
            parts = getattr(scorer, "scorers", [])
            names = [str(name) for name in getattr(self.model, "_names", [])]
            found = None if index is None else index(scorer)
            self.models[MAIN] = self._served(scorer, self.model.capabilities.new_users, found)
            for name, part in zip(names, parts):
                self.models[name] = self._served(part, True, None)

    def _whole(self, scorer: Scorer) -> Scorer:
        """A scorer of all items: what a model that takes none later cannot score, it does not answer with."""
        return scorer if scorer.n_items == len(self) else PaddedScorer(scorer, len(self))

    def _index(self, folder: Path, index_url: str | None, scorer: Scorer) -> VectorIndex | None:
        """The index of the scorer's vectors, under their hash; None where it has none."""
        if type(scorer).item_vectors is Scorer.item_vectors:
            return None
        vectors, there = scorer.item_vectors().numpy(), scorer.scorable()
        name = digest(str(vectors.shape), np.ascontiguousarray(vectors).data.tobytes(), there.tobytes())
        askers = partial(sample_queries, scorer, self.deployment.seen, self.users.values())
        return open_index(name, folder, index_url, lambda: (vectors, there), askers)

    def _served(self, scorer: Scorer, new_users: bool, index: VectorIndex | None) -> ServedModel:
        return ServedModel(scorer, self.active & scorer.scorable(), new_users, index)


def _run_version(run: Path) -> tuple[int, ...]:
    found = os.stat(run / "manifest.json")
    return found.st_dev, found.st_ino, found.st_mtime_ns


def run_fingerprint(run: str | Path) -> str:
    """Names what a run holds: a hash of its manifest, which holds hashes of its files."""
    return digest((Path(run) / "manifest.json").read_bytes())
