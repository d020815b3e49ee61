"""A snapshot: one run made ready to answer, with the catalogue as it is between two changes."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from palate.contracts import Matcher
from palate.core.batch import IntArray, RaggedArray, UserBatch
from palate.core.errors import ConfigError, DataError, UnsupportedError, did_you_mean
from palate.core.files import digest
from palate.core.item_features import ItemFeatures
from palate.data.catalog import Catalog
from palate.features.fitted import FittedContent
from palate.ranking.scorer import Scorer
from palate.serving.index.vector_index import VectorIndex
from palate.serving.settings import MAIN as MAIN
from palate.serving.snapshot_stats import CatalogStats
from palate.training.deployment import Deployment


class UnknownItem(DataError):
    """An item that is not in the catalogue, or was removed from it."""


@dataclass(frozen=True)
class ServedModel:
    """A scorer, and the items that it may recommend.

    Attributes:
        name: key in :attr:`ModelSnapshot.models`.
        scorer: scorer of all items of the snapshot.
        eligible: bool [items], changed in place when an item is removed.
        new_users: whether it answers for anonymous users and takes events that followed the run.
        index: index of its item vectors; None where it has no vectors.
    """

    name: str
    scorer: Scorer
    eligible: NDArray[np.bool_]
    new_users: bool
    index: VectorIndex | None = None

    @property
    def can_score(self) -> bool:
        """Whether it, or its first stage, scores arbitrary items; one that only lists answers with lists alone."""
        return self.scorer.matcher.can_score

    def require_scores(self, purpose: str) -> None:
        """Check that the model scores arbitrary items.

        Args:
            purpose: what the scores are for, as the beginning of a sentence.

        Raises:
            UnsupportedError: for a model that only lists.
        """
        if not self.can_score:
            raise UnsupportedError(
                f"{purpose} needs scores of single items, and the model {self.name!r} only lists items",
                key=self.name,
                hint="ask another model of this service",
            )


class ResolvedModel(NamedTuple):
    """A model and the snapshot that it belongs to; resolved once a request.

    Attributes:
        snapshot: the snapshot.
        model: one of its models.
    """

    snapshot: ModelSnapshot
    model: ServedModel


class Lineage:
    """Identity of a restored run, shared by the snapshots of its catalogue: the key of what is learned of it once."""


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
        content: the run's encoders.
        features: feature vectors of ``items``.
        deployment: the run's deployment, as restored.
        rows: external item id as text -> row; shared with later snapshots, which may know more rows.
        users: external user id as text -> row.
        active: bool [items], whether an item can be recommended.
        added_at: float64 [items], when items were added, seconds since 1970; 0 for items of the run.
        images: row -> file, of items that were added or changed.
        models: by name; :data:`MAIN` is the run's model, the others are the members of a composed model.
        new_rows: id -> row of the items that this snapshot added.
        changed_rows: int64 [m], rows of all items that this snapshot added or changed.
        lineage: identity of the restored run.
    """

    folder: Path
    run: Path
    version: tuple[int, ...]
    fingerprint: str
    model: Matcher
    items: Catalog
    content: FittedContent
    features: ItemFeatures
    deployment: Deployment
    rows: dict[str, int]
    users: dict[str, int]
    active: NDArray[np.bool_]
    added_at: NDArray[np.float64]
    images: dict[int, Path] = field(default_factory=dict)
    models: dict[str, ServedModel] = field(default_factory=dict)
    new_rows: dict[str, int] = field(default_factory=dict, repr=False)
    changed_rows: IntArray = field(default_factory=lambda: np.zeros(0, np.int64), repr=False)
    lineage: Lineage = field(default_factory=Lineage, repr=False)

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def stats(self) -> CatalogStats:
        """Statistics of the catalogue."""
        return CatalogStats(self.items, self.features, self.deployment.seen, self.added_at)

    @property
    def ids(self) -> list[str]:
        """External ids as text, by row."""
        return self.stats.ids

    def row(self, item: str) -> int:
        """Row of an item that can be recommended; -1 for any other."""
        row = self.rows.get(item, -1)
        return row if row < len(self.items) and self.active[row] else -1

    def require_row(self, item: str) -> int:
        """Row of an item that can be recommended.

        Raises:
            UnknownItem: for any other.
        """
        row = self.row(item)
        if row < 0:
            raise UnknownItem("no such item", key=item)
        return row

    def served_model(self, name: str | None) -> ServedModel:
        """The model called ``name``, the run's own by default.

        Raises:
            ConfigError: for an unknown name.
        """
        if name is None:
            return self.models[MAIN]
        if name not in self.models:
            raise ConfigError("no such model here", key=name, hint=did_you_mean(name, self.models))
        return self.models[name]

    def is_outdated(self) -> bool:
        """Whether another run lies in the folder now."""
        try:
            return run_version(self.folder) != self.version
        except OSError:
            # between the moment a run is moved away and another takes its place, or where it cannot be read now
            return False

    def commit(self) -> None:
        """Make the names of new items known and their vectors findable; called once this is the next snapshot."""
        self.rows.update(self.new_rows)
        model = self.models[MAIN]
        eligible = self.changed_rows[model.eligible[self.changed_rows]]
        if model.index is not None and len(eligible):
            with torch.inference_mode():
                model.index.put(eligible, model.scorer.item_vectors(eligible).numpy())

    def remove(self, rows: IntArray) -> None:
        """Take items out of every answer from now on.

        Args:
            rows: int64 [m].
        """
        self.active[rows] = False
        for model in self.models.values():
            model.eligible[rows] = False
        if (index := self.models[MAIN].index) is not None and len(rows):
            index.drop(rows)

    def user_batch(self, user: int, history: IntArray, has_new_events: bool) -> UserBatch:
        """A user as models take one: by row if nothing happened since the run was made, else by history.

        Args:
            user: row in the user table, -1 for an anonymous user.
            history: int64 [n], rows of items taken, oldest first.
            has_new_events: whether some of them were taken after the run was made.
        """
        row = -1 if has_new_events or user < 0 else user
        known = history[history < len(self)]
        return UserBatch(np.array([row], np.int64), RaggedArray(np.array([0, len(known)], np.int64), known))


def run_version(run: Path) -> tuple[int, ...]:
    """Device, inode and modification time of the manifest of a run.

    Args:
        run: folder of the run.

    Raises:
        OSError: where there is none, or something that is not a file: a pipe would be waited for.
    """
    status = os.stat(run / "manifest.json")
    if not stat.S_ISREG(status.st_mode):
        raise FileNotFoundError(errno.ENOENT, "not a file", str(run / "manifest.json"))
    return status.st_dev, status.st_ino, status.st_mtime_ns


def run_fingerprint(run: str | Path) -> str:
    """Hash of a run's manifest, which holds the hashes of its files."""
    return digest((Path(run) / "manifest.json").read_bytes())
