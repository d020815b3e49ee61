"""An edition: one run made ready to answer. Items that come make the next edition; nobody waits for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
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
from palate.core.item_features import ItemFeatures
from palate.core.shared_copy import shared_copy
from palate.data.catalog import Catalog
from palate.features.fitted import FittedContent
from palate.features.store import FeatureStore
from palate.ranking.scorer import PaddedScorer, Scorer
from palate.training.deployment import Deployment, deployment_of
from palate.training.saving import restore

from .askers import asked
from .filters import Filters
from .goods import Goods, placed
from .index.places import Searched, opened

MAIN = "main"
REHEARSED = 4
"""Items that are encoded again in rehearsal: one alone may lack what others have."""
TIMES = ("first_seen", "released", "release_date", "created", "created_at", "added", "date", "year", "timestamp")
"""Columns that say how new an item is, the first that is there."""
LATE = ("ids", "titles", "taken", "popular", "novelty", "newness", "filters")
"""What an edition works out of its whole catalogue when it is first asked for."""


@dataclass(frozen=True)
class Voice:
    """A scorer, and which items it may answer with.

    Attributes:
        able: bool [items], written to when an item is removed. new_users: it takes what happened since the run.
        index: holds its item vectors, where it has them.
    """

    scorer: Scorer
    able: NDArray[np.bool_]
    new_users: bool
    index: Searched | None = None


@dataclass(eq=False)
class Edition:
    """Everything that answers requests between two changes of the catalogue.

    Attributes:
        folder: as it was named. run: as it was found. stamp: of its manifest. mark: names the run's content.
        model: extended to ``items``. items: with what was added. content: its encoders. deployment: as restored.
        rows, users: external id as text -> row. alive: bool [items], what is in the shop. born: when items were added,
            seconds since 1970; 0 for those of the run. pictures: row -> file, of items that were added or changed.
        voices: by name; :data:`MAIN` is the run's model. new, put: ids and rows that came with this edition.
    """

    folder: Path
    run: Path
    stamp: tuple[int, ...]
    mark: str
    model: Matcher
    items: Catalog
    content: FittedContent
    features: ItemFeatures
    deployment: Deployment
    rows: dict[str, int]
    users: Mapping[str, int]
    alive: NDArray[np.bool_]
    born: NDArray[np.float64]
    pictures: dict[int, Path] = field(default_factory=dict)
    voices: dict[str, Voice] = field(default_factory=dict)
    new: dict[str, int] = field(default_factory=dict, repr=False)
    put: IntArray = field(default_factory=lambda: np.zeros(0, np.int64), repr=False)

    @classmethod
    def open(
        cls, run: str | Path, index: Path | None = None, store: FeatureStore | None = None, engine: str | None = None
    ) -> Edition:
        """Restore a run and make its scorers.

        Args:
            index: folder of indexes in which vectors are searched, where the run has them. store: where content that
                is added is kept once it is encoded. engine: address of a Qdrant server that holds indexes instead.

        Raises:
            ArtefactError: for what is no run. ConfigError: for one that does not recommend.
        """
        folder, run = Path(run), Path(os.path.realpath(run))
        stamp, mark = _stamp(folder), mark_of(run)
        model = restore(run)
        if not isinstance(model, Matcher):
            raise ConfigError(f"{model.name} does not recommend items", key=str(run))
        fitted = deployment_of(model)
        forgotten = set(read_json(run / "manifest.json").get("forgotten", ()))
        items = fitted.items
        if store is not None:
            fitted.content = fitted.content.with_store(store)
        made = cls(
            folder,
            run,
            stamp,
            mark,
            model,
            items,
            fitted.content,
            fitted.features,
            fitted,
            {str(name): row for row, name in enumerate(items.ids.ids.to_list())},
            {str(name): row for row, name in enumerate(fitted.users.ids.to_list()) if row not in forgotten},
            np.ones(len(items), bool),
            np.zeros(len(items)),
        )
        made._speak(None if index is None else partial(made._index, index, engine))
        return made

    def moved(self) -> bool:
        """Whether another run lies in the folder now."""
        try:
            return _stamp(self.folder) != self.stamp
        except FileNotFoundError:
            # between the moment a run is moved away and another takes its place
            return False

    def __len__(self) -> int:
        return len(self.items)

    def row(self, item: str) -> int:
        """Of an item that is in the shop; -1 for any other."""
        # the table is shared with later editions, which know more rows
        row = self.rows.get(item, -1)
        return row if row < len(self.items) and self.alive[row] else -1

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
    def taken(self) -> NDArray[np.int64]:
        """int64 [items]: how many took each item before the run was made."""
        return np.bincount(self.deployment.seen.items, minlength=len(self.items))

    @cached_property
    def popular(self) -> IntArray:
        """Rows, the most taken first."""
        return np.argsort(-self.taken, kind="stable")

    @cached_property
    def newness(self) -> NDArray[np.float32]:
        """float32 [items] in [0, 1], the newest 1: by a column that says when, and by when items were added here."""
        frame = self.items.frame
        lower = {column.lower(): column for column in frame.columns}
        column = next((lower[name] for name in TIMES if name in lower), None)
        stamps = np.zeros(len(frame))
        if column is not None and (frame[column].dtype.is_numeric() or frame[column].dtype.is_temporal()):
            stamps = frame[column].to_physical().cast(float).fill_null(float("nan")).to_numpy().copy()
            stamps[np.isnan(stamps)] = np.nanmin(stamps) if not np.isnan(stamps).all() else 0.0
        order = np.lexsort((stamps, self.born))
        keys = np.stack([self.born, stamps], 1)[order]
        steps = np.concatenate([[False], (keys[1:] != keys[:-1]).any(1)]).cumsum()
        out = np.zeros(len(frame), np.float32)
        out[order] = steps / max(int(steps[-1]) if len(steps) else 0, 1)
        return out

    @cached_property
    def novelty(self) -> NDArray[np.float32]:
        """float32 [items] in [0, 1]: 1 for what nobody took, 0 for what most took, on a logarithmic scale."""
        counts = np.log1p(self.taken)
        return (1 - counts / max(float(counts.max(initial=0)), 1e-9)).astype(np.float32)

    def voice(self, name: str | None) -> Voice:
        """The voice called ``name``, the main one by default.

        Raises:
            ConfigError: for an unknown name.
        """
        if name is None:
            return self.voices[MAIN]
        if name not in self.voices:
            raise ConfigError("no such model here", key=name, hint=did_you_mean(name, self.voices))
        return self.voices[name]

    def looks(self, rows: IntArray) -> NDArray[np.float32]:
        """float32 [n, d]: vectors of ``rows`` by which items resemble each other, every feature weighing the same."""
        names = self.main_features
        parts = [self.features[name].values[rows].astype(np.float32) for name in names]
        parts = [part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-9) for part in parts]
        return np.concatenate(parts, axis=1) if parts else np.zeros((len(rows), 1), np.float32)

    def lengths(self, name: str) -> NDArray[np.float32]:
        """float32 [items]: lengths of the vectors of a feature, 1 where there is none."""
        if name not in self._lengths:
            found = self.features[name].values.astype(np.float32)
            self._lengths[name] = np.maximum(np.linalg.norm(found, axis=1), 1e-9)
        return self._lengths[name]

    @cached_property
    def _lengths(self) -> dict[str, NDArray[np.float32]]:
        return {}

    @property
    def main_features(self) -> list[str]:
        """Vectors of whole modalities: those of single columns repeat them."""
        vectors = self.features
        pooled = [name for name in vectors if vectors[name].kind == "pooled"]
        return [name for name in pooled if name in MODALITIES] or pooled

    def batch(self, user: int, liked: IntArray, later: bool) -> UserBatch:
        """A user as models see one: by row if nothing happened since the run, else by history."""
        row = -1 if later or user < 0 else user
        known = liked[liked < len(self)]
        return UserBatch(np.array([row], np.int64), RaggedArray(np.array([0, len(known)], np.int64), known))

    def grown(self, goods: Goods) -> Edition:
        """The next edition, in which these items are as they say; this one stays as it is.

        Encodes the new content; the vectors of the catalogue are copied, what models derive from them is made anew for
        these items only where the models can.
        """
        items, features, rows, names = placed(self.items, self.content, self.features, self.rows, goods)
        model = self.model
        if model.capabilities.new_items:
            model = shared_copy(model)
            model.update_items(self.content.model_features(features))
        more = len(items) - len(self)
        alive = np.concatenate([self.alive, np.zeros(more, bool)])
        alive[rows] = True
        born = np.concatenate([self.born, np.zeros(more)])
        fresh = rows >= len(self)
        born[rows[fresh]] = goods.times[fresh]
        pictures = self.pictures | {int(row): p for row, p in zip(rows, goods.pictures) if p is not None}
        made = replace(
            self, model=model, items=items, features=features, alive=alive, born=born, pictures=pictures, voices={}
        )
        made.new, made.put = names, rows
        made._speak(lambda scorer: self.voices[MAIN].index)
        # what requests made once, the next ones do not wait for again
        for name in LATE:
            if name in self.__dict__:
                getattr(made, name)
        return made

    def rehearse(self) -> None:
        """Load and work out what the first requests, or the first item to be added, would wait for."""
        content, some = self.content.with_store(FeatureStore(None)), self.ids[:REHEARSED]
        nothing = np.zeros(len(some), bool)
        placed(
            self.items,
            content,
            self.features,
            self.rows,
            Goods(some, [{}] * len(some), [None] * len(some), nothing, self.born),
        )
        for name in LATE:
            getattr(self, name)

    def settle(self) -> None:
        """Once it is certain that this is the next edition: its names are known and its vectors found."""
        self.rows.update(self.new)
        voice = self.voices[MAIN]
        there = self.put[voice.able[self.put]]
        if voice.index is not None and len(there):
            with torch.inference_mode():
                voice.index.put(there, voice.scorer.item_vectors(there).numpy())

    def remove(self, rows: IntArray) -> None:
        """Take items out of every answer from now on."""
        self.alive[rows] = False
        for voice in self.voices.values():
            voice.able[rows] = False
        if (index := self.voices[MAIN].index) is not None and len(rows):
            index.drop(rows)

    def _speak(self, index: Callable[[Scorer], Searched | None] | None) -> None:
        """Make the voices: the model, and the members of a blend."""
        with torch.inference_mode():
            scorer = self._whole(self.model.scorer())
            parts = getattr(scorer, "scorers", [])
            names = [str(name) for name in getattr(self.model, "_names", [])]
            found = None if index is None else index(scorer)
            self.voices[MAIN] = self._voice(scorer, self.model.capabilities.new_users, found)
            for name, part in zip(names, parts):
                self.voices[name] = self._voice(part, True, None)

    def _whole(self, scorer: Scorer) -> Scorer:
        """A scorer of all items: what a model that takes none later cannot score, it does not answer with."""
        return scorer if scorer.n_items == len(self) else PaddedScorer(scorer, len(self))

    def _index(self, folder: Path, engine: str | None, scorer: Scorer) -> Searched | None:
        """The index of the scorer's vectors, under their hash; None where it has none."""
        if type(scorer).item_vectors is Scorer.item_vectors:
            return None
        vectors, there = scorer.item_vectors().numpy(), scorer.scorable()
        name = digest(str(vectors.shape), np.ascontiguousarray(vectors).data.tobytes(), there.tobytes())
        askers = partial(asked, scorer, self.deployment.seen, self.users.values())
        return opened(name, folder, engine, lambda: (vectors, there), askers)

    def _voice(self, scorer: Scorer, new_users: bool, index: Searched | None) -> Voice:
        return Voice(scorer, self.alive & scorer.scorable(), new_users, index)


def _stamp(run: Path) -> tuple[int, ...]:
    found = os.stat(run / "manifest.json")
    return found.st_dev, found.st_ino, found.st_mtime_ns


def mark_of(run: str | Path) -> str:
    """Names what a run holds: a hash of its manifest, which holds hashes of its files."""
    return digest((Path(run) / "manifest.json").read_bytes())
