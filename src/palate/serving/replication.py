"""Keep the snapshots of one process in step with the run folders and with the log that all processes share.

A change is written to the log before it is true anywhere, and every process applies the log in its order. Additions are
applied every few seconds, or when a request names an item that is not there yet; removals and erased users before the
next answer.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from palate.core.errors import ConfigError, PalateError, did_you_mean
from palate.core.files import inside
from palate.serving.availability import DatabaseUnavailable
from palate.serving.catalog_log import CatalogEvent, CatalogLog, FieldValue
from palate.serving.catalog_updates import CatalogUpdate, LoggedChange, drop_unknown_fields, fold_updates
from palate.serving.events import EventStore
from palate.serving.images import StoredImage, image_file
from palate.serving.limited_log import LimitedLog
from palate.serving.snapshot import MAIN, ModelSnapshot, ResolvedModel, run_version
from palate.serving.snapshot_builder import warm_up, with_items

LOG = logging.getLogger("palate.serving")
RETRY_SECONDS = 30.0
"""Seconds between two attempts to load a run that is damaged."""


class Replication:
    """The snapshots that answer in this process.

    Two locks guard them: ``updating`` lets one thread at a time change the catalogue, which may take seconds;
    ``_syncing`` guards positions in the log and the publication of snapshots, which takes milliseconds, so that a
    removal never waits for an addition. Requests take no lock: they read one snapshot, which only removals change.

    Args:
        runs: name -> run folder, or a link to one; :data:`.MAIN` is the run that is served.
        open_run: restores a run folder.
        events: the shared event store, which knows erased users.
        catalog_log: the shared log of the catalogue.
        images: folder of the images of added items.
        scrub: erases users from a run on disk; whether its files hold nothing of them now.
    """

    def __init__(
        self,
        runs: Mapping[str, Path],
        open_run: Callable[[Path], ModelSnapshot],
        events: EventStore,
        catalog_log: CatalogLog,
        images: Path,
        scrub: Callable[[Path, Sequence[str]], bool],
    ) -> None:
        self.events, self.catalog_log, self.images = events, catalog_log, images
        self.database = catalog_log.database
        self._open_run, self._scrub = open_run, scrub
        self._faults, self._failed = LimitedLog(), dict[str, tuple[tuple[int, ...], float]]()
        self.on_erased: Callable[[Sequence[str]], None] = lambda tokens: None
        self.on_reloaded: Callable[[], None] = lambda: None
        self.on_warm_up: Callable[[ModelSnapshot], None] = lambda snapshot: None
        self._updating, self._syncing = threading.RLock(), threading.Lock()
        self._erased: set[str] = set()
        self._removals: list[CatalogEvent] = []
        self._warm = self._behind = False
        # places in the log: up to which it is applied, and up to which removals are known; the last erased user
        self._applied = self._synced = self._last_erased = 0
        self._version = self.database.version()
        self._last_erased, tokens = self.events.erased_since(0)
        self._erased.update(tokens)
        self.snapshots = {name: self._open(folder) for name, folder in runs.items()}
        self.apply_log()
        self.sync_removals()
        self._stopped = threading.Event()
        self._watcher: threading.Thread | None = None

    @property
    def snapshot(self) -> ModelSnapshot:
        """The latest snapshot of the run that is served."""
        return self.snapshots[MAIN]

    @property
    def model_names(self) -> list[str]:
        """Names of the models that can answer: the run's, members of a composed model, and further runs."""
        return [*self.snapshot.models, *(name for name in self.snapshots if name != MAIN)]

    def resolve(self, name: str | None, items: Iterable[str] = ()) -> ResolvedModel:
        """The model that answers a request, after what other processes removed is removed here.

        Args:
            name: name of the model, the run's own by default.
            items: ids of items that the request names; the log is applied where one is not here yet.

        Raises:
            ConfigError: for an unknown name.
        """
        try:
            if self.database.version() != self._version:
                self.sync_removals()
            resolved = self.latest(name)
            if self._behind and any(resolved.snapshot.row(item) < 0 for item in items):
                self.apply_log()
        except DatabaseUnavailable:
            # what is known here goes on answering
            pass
        return self.latest(name)

    def latest(self, name: str | None) -> ResolvedModel:
        """The model called ``name`` as this process knows it, the run's own by default.

        Raises:
            ConfigError: for an unknown name.
        """
        if name is not None and name in self.snapshots:
            return ResolvedModel(self.snapshots[name], self.snapshots[name].served_model(None))
        snapshot = self.snapshot
        if name is not None and name not in snapshot.models:
            raise ConfigError("no such model here", key=name, hint=did_you_mean(name, self.model_names))
        return ResolvedModel(snapshot, snapshot.served_model(name))

    def is_erased(self, user: str) -> bool:
        """Whether a user was erased since the runs were made, by any process."""
        return bool(self._erased) and self.events.erasure_token(user) in self._erased

    def put(
        self, ids: Sequence[str], fields: Sequence[Mapping[str, FieldValue]], images: Sequence[StoredImage | None]
    ) -> list[bool]:
        """Add or change items, all or none; they can be recommended when this returns.

        Args:
            ids: item ids, each once.
            fields: column -> value for each item; columns that are not named keep their values.
            images: image of each item; None keeps the image.

        Returns:
            Whether each item is new.

        Raises:
            DataError: for a column that the catalogue lacks or that names files, or a value that does not fit.
        """
        files = [None if image is None else image.path for image in images]
        with self._updating:
            self.apply_log()
            is_new = np.array([self.snapshot.row(item) < 0 for item in ids], bool)
            update = CatalogUpdate(list(ids), list(fields), files, is_new, np.full(len(ids), time.time()))
            # made before it is logged: what cannot be used is refused before another process reads of it
            successor = with_items(self.snapshot, update)
            hashes = [None if image is None else image.hash for image in images]
            places = self.catalog_log.put(list(zip(ids, fields, hashes)))
            if places and places[0] == self._applied + 1 and len(self.snapshots) == 1:
                self._publish({MAIN: successor}, places[-1])
            else:
                self.apply_log()
        return [bool(new) for new in is_new]

    def remove(self, item: str) -> None:
        """Take an item out of every answer, here at once and in other processes before their next answer."""
        self.catalog_log.drop(item)
        self.sync_removals()

    def apply_log(self) -> None:
        """Apply the log up to its end."""
        with self._updating:
            log = self.catalog_log.since(self._applied)
            if not log:
                return
            update, removed = self._folded(log)
            successors = dict(self.snapshots)
            if len(update):
                successors = {name: _updated(snapshot, update) for name, snapshot in self.snapshots.items()}
            self._publish(successors, log[-1].id, removed)

    def sync_removals(self) -> None:
        """Learn of erased users and removed items; quick, and true of the next answer."""
        with self._syncing:
            # read before the log is: what is written in between is read twice rather than never
            self._version = self.database.version()
            self._last_erased, tokens = self.events.erased_since(self._last_erased)
            self._erased.update(tokens)
            if tokens:
                self.on_erased(tokens)
            news = self.catalog_log.since(self._synced, for_request=True)
            self._behind |= any(event.kind == "put" for event in news)
            removals = [event for event in news if event.kind == "drop"]
            self._removals += removals
            _remove(self.snapshots.values(), [event.item for event in removals])
            self._synced = news[-1].id if news else self._synced

    @contextmanager
    def unchanged(self) -> Iterator[Mapping[str, ModelSnapshot]]:
        """The snapshots, which no thread of this process replaces meanwhile."""
        with self._updating:
            yield self.snapshots

    def warm_up(self) -> None:
        """Load what first requests would wait for, here and in runs that are reloaded later."""
        self._warm = True
        for snapshot in self.snapshots.values():
            warm_up(snapshot)
            self.on_warm_up(snapshot)

    def watch(self, poll_seconds: float) -> None:
        """Apply the log, and reload runs that were replaced, in the background.

        Args:
            poll_seconds: seconds between checks.
        """
        self._watcher = threading.Thread(target=self._poll, args=(poll_seconds,), daemon=True, name="watch")
        self._watcher.start()

    def close(self) -> None:
        """Stop watching."""
        self._stopped.set()
        if self._watcher is not None:
            self._watcher.join()

    def _poll(self, seconds: float) -> None:
        while not self._stopped.wait(seconds):
            # whatever goes wrong in the background, the last good snapshots go on answering
            try:
                if self.catalog_log.last() != self._applied:
                    self.apply_log()
            except DatabaseUnavailable:
                pass
            except Exception as error:
                text = "the log of items cannot be applied; the last snapshots go on answering"
                self._faults.warning(repr(error), text, error=error)
            self.database.finish_purge()
            for name, snapshot in list(self.snapshots.items()):
                if snapshot.is_outdated():
                    self._try_reload(name)

    def _try_reload(self, name: str) -> None:
        """Take over the run that lies in a folder now; one that is damaged is logged once and tried now and then."""
        folder = self.snapshots[name].folder
        try:
            version = run_version(folder)
        except OSError:
            return
        before, next_attempt = self._failed.get(name, ((), 0.0))
        if before == version and time.monotonic() < next_attempt:
            return
        try:
            self._reload_run(name)
        except DatabaseUnavailable:
            return
        except Exception as error:
            # files that follow the manifest may be on their way
            self._failed[name] = (version, time.monotonic() + RETRY_SECONDS)
            known = isinstance(error, PalateError)
            self._faults.warning(
                f"{folder} {version}",
                "%s could not be loaded; the former run goes on answering: %s",
                folder,
                error,
                error=None if known else error,
            )
        else:
            self._failed.pop(name, None)

    @property
    def failed_runs(self) -> list[str]:
        """Names of the runs whose folder holds a run that cannot be loaded; the former one answers."""
        return [name for name, snapshot in self.snapshots.items() if name in self._failed and snapshot.is_outdated()]

    def _open(self, folder: Path) -> ModelSnapshot:
        """A run made ready to answer, after users who were erased are erased from its files.

        Where these cannot be changed, the users stay in the snapshot, and :meth:`is_erased` hides them.
        """
        snapshot = self._open_run(folder)
        erased = [user for user in snapshot.users if self.is_erased(user)] if self._erased else []
        if erased and self._scrub(snapshot.run, erased):
            snapshot = self._open_run(folder)
        return snapshot

    def _reload_run(self, name: str) -> None:
        """Publish the run that lies in a folder now; the former snapshot answers until it is ready."""
        self.sync_removals()
        fresh = self._open(self.snapshots[name].folder)
        if self._warm:
            warm_up(fresh)
        with self._updating:
            self.apply_log()
            # what is logged meanwhile is applied to all snapshots afterwards
            update, removed = self._folded(event for event in self.catalog_log.since(0) if event.id <= self._applied)
            successor = _updated(fresh, update) if len(update) else fresh
            if self._warm:
                self.on_warm_up(successor)
            self._publish({name: successor}, self._applied, removed)
            LOG.info("%s: now %s", name, fresh.fingerprint)
        self.on_reloaded()

    def _publish(self, successors: Mapping[str, ModelSnapshot], place: int, removed: Iterable[str] = ()) -> None:
        """Let these snapshots answer, which hold the log up to ``place``; removals synced meanwhile hold there too."""
        with self._syncing:
            for snapshot in successors.values():
                snapshot.commit()
            self._removals = [event for event in self._removals if event.id > place]
            _remove(successors.values(), [*removed, *(event.item for event in self._removals)])
            self._applied, self._synced = place, max(self._synced, place)
            self._behind = self._synced > place
            self.snapshots = {**self.snapshots, **successors}

    def _folded(self, log: Iterable[CatalogEvent]) -> tuple[CatalogUpdate, list[str]]:
        return fold_updates(
            LoggedChange(event.item, event.fields if event.kind == "put" else None, self._image(event), event.time)
            for event in log
        )

    def _image(self, event: CatalogEvent) -> Path | None:
        return None if event.image is None else inside(self.images, image_file(event.image))


def _updated(snapshot: ModelSnapshot, update: CatalogUpdate) -> ModelSnapshot:
    """The next snapshot, without values that its catalogue has no place for."""
    # an item whose removal was applied before has nothing that the update could keep
    is_new = update.is_new | np.array([snapshot.row(item) < 0 for item in update.ids], bool)
    fitting, n_dropped = drop_unknown_fields(snapshot.items, replace(update, is_new=is_new))
    if n_dropped:
        LOG.warning("%s: %d values of added items do not fit its catalogue and are left out", snapshot.run, n_dropped)
    return with_items(snapshot, fitting)


def _remove(snapshots: Iterable[ModelSnapshot], items: Sequence[str]) -> None:
    for snapshot in snapshots:
        rows = np.array([row for row in map(snapshot.row, items) if row >= 0], np.int64)
        if len(rows):
            snapshot.remove(np.unique(rows))
