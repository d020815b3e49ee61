"""The recommender service: a run in use, the events logged in it and the items added to it, shared by processes."""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from palate.core.batch import IntArray
from palate.core.errors import ConfigError, DataError, did_you_mean
from palate.core.files import inside
from palate.features.store import FeatureStore
from palate.serving.catalog_log import CatalogEvent, CatalogLog
from palate.serving.catalog_updates import CatalogUpdate, drop_unknown_fields, fold_updates
from palate.serving.content_similarity import SearchQuery, content_similarity
from palate.serving.database import Database
from palate.serving.events import Event, EventStore
from palate.serving.explain import explain, leave_one_out, to_sentence
from palate.serving.images import sanitize_image, store_image
from palate.serving.requests import Explanation, RecommendedItem, RecommendRequest, RecommendResponse
from palate.serving.snapshot import MAIN, ModelSnapshot, ServedModel
from palate.serving.stages import Pipeline, StageRequest, stages
from palate.serving.user_state import UserState, anonymous_user, known_user
from palate.training.forget import forget_user

LOG = logging.getLogger("palate.serving")
STAGES = ("match", "boost", "diversify")
SPARE = 5
NAMED, CARRIED = 2, 0.1
"""Liked items that are named as reasons, at most; and the share of the whole loss that one must have."""


class RecommenderService:
    """Answers by the latest snapshot; whatever changes it is written down first and then taken in by every process.

    Args:
        run: run folder, or a link to one.
        state: folder of events, added items, images and indexes; created if missing.
        events: URL of the database, by default SQLite in ``state``.
        extra_runs: folders of further runs that can answer, addressed by their folders' names.
        order: names of the stages, in order.
        poll_seconds: seconds between checks of ``run`` and of the log of other processes; 0 disables them.
        index_url: URL of a Qdrant server that holds the index, instead of a folder in ``state``.
    """

    def __init__(
        self,
        run: str | Path,
        state: str | Path,
        events: str | None = None,
        extra_runs: Sequence[str | Path] = (),
        order: Sequence[str] = STAGES,
        poll_seconds: float = 0.25,
        index_url: str | None = None,
    ) -> None:
        self.index_url = index_url
        self.run, self.state = Path(run), Path(state)
        self.state.mkdir(parents=True, exist_ok=True)
        self.database = Database(events or f"sqlite:///{self.state / 'shop.db'}")
        self.secret = _secret(self.state / "secret")
        self.events = EventStore(self.database, self.secret)
        self.catalog_log = CatalogLog(self.database)
        self.pipeline = Pipeline([stages.get(name)() for name in order], stages.get("popular")())
        # one changes the catalogue at a time; what is quick to hear is not kept waiting by that
        self._changing, self._hearing = threading.RLock(), threading.Lock()
        self._forgotten: set[str] = set()
        self._drops: list[CatalogEvent] = []
        self._behind = self._warmed_up = False
        self._place, self._dropped, self._forgot, self._version = 0, 0, 0, self.database.version()
        self.snapshots: dict[str, ModelSnapshot] = {}
        for name, folder in {MAIN: self.run, **{Path(other).name: Path(other) for other in extra_runs}}.items():
            self.snapshots[name] = self._open(folder)
        self._apply_log()
        self._sync_removals()
        # a process that was killed may have left some of whom the database has forgotten, and so may newer data
        self._erase_users([user for user in self.snapshot.users if self._is_forgotten(user)] if self._forgotten else [])
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch, args=(poll_seconds,), daemon=True, name="watch")
        if poll_seconds:
            self._watcher.start()

    @property
    def snapshot(self) -> ModelSnapshot:
        """The latest of the run that is served."""
        return self.snapshots[MAIN]

    @property
    def model_names(self) -> list[str]:
        """Names of who may answer: the run's model, the parts of a blend, the runs beside it."""
        return [*self.snapshot.models, *(name for name in self.snapshots if name != MAIN)]

    # answers

    def recommend(self, wish: RecommendRequest) -> RecommendResponse:
        """A list for somebody; who is unknown gets what is popular.

        Raises:
            PalateError: for what cannot be answered as asked; the message says why.
        """
        snapshot, served = self.resolve_model(wish.model)
        if wish.similar_to is not None:
            snapshot, served, like_row = self.find_item(wish.similar_to, wish.model)
        if self._behind and any(snapshot.row(item) < 0 for item in wish.history or ()):
            self._apply_log()
            snapshot, served = self.resolve_model(wish.model)
        who = self.user_state(snapshot, wish.user, wish.history)
        allowed = snapshot.filters.mask(wish.filters) if wish.filters else None
        hidden = who.hidden if wish.include_seen else np.concatenate([who.hidden, who.history])
        if wish.exclude:
            out = [row for row in map(snapshot.row, wish.exclude) if row >= 0]
            hidden = np.concatenate([hidden, np.array(out, np.int64)])
        looked = None
        if wish.is_search:
            like = None if wish.similar_to is None else like_row
            looked = content_similarity(snapshot, SearchQuery(wish.text, wish.image, like))
            if like is not None:
                hidden = np.append(hidden, like)
        # some more than asked for: items may be removed while the list is made
        ask = StageRequest(
            wish.k + SPARE, served, who.user, who.history, who.has_new_events, hidden, allowed, looked,
            wish.diversity, wish.novelty, wish.freshness,
        )  # fmt: skip
        answer = self.pipeline(snapshot, ask)
        rows = answer.slate.rows
        reasons: list[tuple[str, ...]] = [()] * len(rows)
        if wish.because and answer.source != "popular":
            reasons = self._because(snapshot, served, who, rows)
        shown = tuple(
            RecommendedItem(snapshot.ids[row], snapshot.titles[row], float(score), why)
            for row, score, why in zip(rows.tolist(), answer.slate.scores.tolist(), reasons)
            if snapshot.active[row]
        )[: wish.k]
        return RecommendResponse(shown, snapshot.fingerprint, answer.source, answer.timings)

    def is_fast(self, wish: RecommendRequest) -> bool:
        """Whether this list is a matter of milliseconds here, to judge by those before it."""
        if not self.database.is_local or wish.text is not None or wish.image is not None or wish.because:
            return False
        served = self.resolve_model(wish.model)[1]
        ask = StageRequest(1, served, 0, diversity=wish.diversity, novelty=wish.novelty, freshness=wish.freshness)
        return self.pipeline.quick(ask)

    def similar_items(
        self, item: str, k: int = 10, filters: Mapping[str, Any] | None = None, model: str | None = None
    ) -> RecommendResponse:
        """What a visitor who took only ``item`` would get; by content where the model cannot say."""
        _, served, _ = self.find_item(item, model)
        wish = RecommendRequest(k, history=[item], filters=filters or {}, model=model)
        return self.recommend(wish if served.new_users else RecommendRequest(k, similar_to=item, filters=filters or {}))

    def explain(
        self, item: str, user: str | None = None, history: Sequence[str] | None = None, model: str | None = None
    ) -> Explanation:
        """What carried the score of an item for somebody."""
        snapshot, served, row = self.find_item(item, model)
        who = self.user_state(snapshot, user, history)
        found = explain(snapshot, served, who.user, who.history, who.has_new_events, row)
        named, titles = snapshot.ids, snapshot.titles
        reasons = Explanation(
            item,
            titles[row],
            found.score,
            tuple((named[at], titles[at], share) for at, share in found.liked),
            found.modalities,
            found.behaviour,
            tuple((column, value, tuple(named[at] for at in rows)) for column, value, rows in found.attributes),
            "",
        )
        return to_sentence(reasons)

    # changes

    def log_events(self, events: Iterable[Event]) -> int:
        """Write down what people did; when this returns it is on disk. How many there were.

        Raises:
            DataError: for an item that was never here.
        """
        events = list(events)
        if any(event.item not in self.snapshot.rows for event in events):
            self._apply_log()
        for at, event in enumerate(events):
            # an item that has just been removed is no mistake of who saw it
            if event.item not in self.snapshot.rows:
                raise UnknownItem("no such item", row=at + 1, key=event.item)
        self.events.add(events)
        return len(events)

    def put_items(self, records: Sequence[tuple[str, Mapping[str, Any], bytes | None]]) -> list[str]:
        """Add or change items, all or none; they can be recommended when this returns.

        Args:
            records: (id, column -> value, picture bytes or None); what is not named stays as it is.

        Returns:
            ``added`` or ``updated`` for each.

        Raises:
            PalateError: for an id given twice, a column that is not there, a value or picture that cannot be used.
        """
        pictures = [
            None if data is None else store_image(self.state / "pictures", sanitize_image(data))
            for _, _, data in records
        ]
        names = [name for name, _, _ in records]
        for at, name in enumerate(names):
            _check_id(self.snapshot, name, at)
            if name in names[:at]:
                raise DataError("an item is given twice", row=at + 1, key=name)
        with self._changing:
            self._apply_log()
            told = ["updated" if self.snapshot.row(name) >= 0 else "added" for name in names]
            files = [None if found is None else found[1] for found in pictures]
            anew = np.array([what == "added" for what in told])
            goods = CatalogUpdate(
                names, [fields for _, fields, _ in records], files, anew, np.full(len(names), time.time())
            )
            # first made, then written down: what cannot be used is refused before anyone hears of it
            made = self.snapshot.with_items(goods)
            marks = [None if found is None else found[0] for found in pictures]
            places = self.catalog_log.put([(name, fields, mark) for (name, fields, _), mark in zip(records, marks)])
            if places[0] == self._place + 1 and len(self.snapshots) == 1:
                self._publish({MAIN: made}, places[-1])
            else:
                self._apply_log()
        return told

    def remove_item(self, item: str) -> None:
        """Take an item out of every answer, here at once and in other processes before their next answer.

        Raises:
            DataError: for one that is not here.
        """
        self.find_item(item)
        self.catalog_log.drop(item)
        self._sync_removals()

    def erase_user(self, user: str) -> tuple[int, bool]:
        """Remove what is known of a user: events, history and vectors. How many events; whether the run knew them."""
        gone = self.events.erase(user)
        self._sync_removals()
        return gone, self._erase_users([user])

    # upkeep

    def warm_up(self) -> None:
        """Load what first requests would wait for, here and in runs that take over; before the shop is called ready."""
        self._warmed_up = True
        for snapshot in self.snapshots.values():
            snapshot.warm_up()

    def refresh(self) -> None:
        """Before an answer: hear what other processes took away. What they put follows within ``poll_seconds``."""
        if self.database.version() != self._version:
            self._sync_removals()

    def close(self) -> None:
        """Stop watching and let go of threads and files."""
        self._stop.set()
        if self._watcher.is_alive():
            self._watcher.join()
        self.pipeline.close()
        self.database.close()

    def resolve_model(self, model: str | None) -> tuple[ModelSnapshot, ServedModel]:
        """Edition and served that answer for a name, the run's own by default; what was removed elsewhere is heard.

        Raises:
            ConfigError: for an unknown one.
        """
        self.refresh()
        if model is not None and model in self.snapshots:
            return self.snapshots[model], self.snapshots[model].served_model(None)
        if model is not None and model not in self.snapshot.models:
            raise ConfigError("no such model here", key=model, hint=did_you_mean(model, self.model_names))
        snapshot = self.snapshot
        return snapshot, snapshot.served_model(model)

    def user_state(self, snapshot: ModelSnapshot, user: str | None, history: Sequence[str] | None) -> UserState:
        """Who asks, as ``snapshot`` knows them.

        Raises:
            DataError: for a liked item that is not here, or both a user and liked items.
        """
        if user is not None and history is not None:
            raise DataError("give a user or a history, not both", key="history")
        if user is not None:
            row = -1 if self._is_forgotten(user) else snapshot.users.get(user, -1)
            return known_user(snapshot, row, self.events.for_user(user))
        for item in history or ():
            if snapshot.row(item) < 0:
                raise UnknownItem("no such item", key=item)
        return anonymous_user(snapshot, history or ())

    def _is_forgotten(self, user: str) -> bool:
        return bool(self._forgotten) and self.events.erasure_token(user) in self._forgotten

    def find_item(self, item: str, model: str | None = None) -> tuple[ModelSnapshot, ServedModel, int]:
        """Who answers, as for :meth:`resolve_model`, and the row of an item, also of one that another process just put.

        Raises:
            UnknownItem: for what is not in the shop. ConfigError: for an unknown model.
        """
        snapshot, served = self.resolve_model(model)
        if snapshot.row(item) < 0 and self._behind:
            self._apply_log()
            snapshot, served = self.resolve_model(model)
        row = snapshot.row(item)
        if row < 0:
            raise UnknownItem("no such item", key=item)
        return snapshot, served, row

    def _erase_users(self, users: Iterable[str]) -> bool:
        """Take users out of the runs on disk, one process at a time; whether any run knew one."""
        with self._changing, open(self.state / "scrub.lock", "w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            known = [forget_user(snapshot.run, user) for snapshot in self.snapshots.values() for user in users]
        return any(known)

    def _open(self, run: Path) -> ModelSnapshot:
        snapshot = ModelSnapshot.open(run, self.state / "index", FeatureStore(self.state / "features"), self.index_url)
        if self._warmed_up:
            snapshot.warm_up()
        return snapshot

    def _sync_removals(self) -> None:
        """Who is to be forgotten, and what is no longer here: quick, and true of the next answer."""
        with self._hearing:
            # read before the log is: what is written in between is heard twice rather than never
            self._version = self.database.version()
            self._forgot, marks = self.events.erased_since(self._forgot)
            self._forgotten.update(marks)
            news = self.catalog_log.since(self._dropped)
            self._behind |= any(addition.kind == "put" for addition in news)
            drops = [addition for addition in news if addition.kind == "drop"]
            self._drops += drops
            self._remove(self.snapshots.values(), [drop.item for drop in drops])
            self._dropped = news[-1].id if news else self._dropped

    def _apply_log(self) -> None:
        """Take in the log up to its end."""
        with self._changing:
            log = self.catalog_log.since(self._place)
            if not log:
                return
            goods, gone = self._merged(log)
            made = {name: _with(snapshot, goods) for name, snapshot in self.snapshots.items()} if len(goods) else {}
            self._publish(made or dict(self.snapshots), log[-1].id, gone)

    def _publish(self, made: Mapping[str, ModelSnapshot], place: int, gone: Iterable[str] = ()) -> None:
        """From now on these answer, which hold the log up to ``place``; removals heard meanwhile hold in them too."""
        with self._hearing:
            for snapshot in made.values():
                snapshot.commit()
            self._drops = [drop for drop in self._drops if drop.id > place]
            self._remove(made.values(), [*gone, *(drop.item for drop in self._drops)])
            self._place, self._dropped = place, max(self._dropped, place)
            self._behind = self._dropped > place
            self.snapshots = {**self.snapshots, **made}

    def _remove(self, snapshots: Iterable[ModelSnapshot], items: Sequence[str]) -> None:
        for snapshot in snapshots:
            rows = np.array([row for row in map(snapshot.row, items) if row >= 0], np.int64)
            if len(rows):
                snapshot.remove(np.unique(rows))

    def _reload_run(self, name: str) -> None:
        """Take on what lies in a run folder now; the former snapshot answers until the new one is ready."""
        fresh = self._open(self.snapshots[name].folder)
        with self._changing:
            self._apply_log()
            # what comes meanwhile is for all snapshots to take in afterwards
            goods, gone = self._merged(a for a in self.catalog_log.since(0) if a.id <= self._place)
            self._publish({name: _with(fresh, goods) if len(goods) else fresh}, self._place, gone)
            LOG.info("%s: now %s", name, fresh.fingerprint)

    def _merged(self, log: Iterable[CatalogEvent]) -> tuple[CatalogUpdate, list[str]]:
        return fold_updates((a.item, a.fields if a.kind == "put" else None, self._file(a), a.time) for a in log)

    def _file(self, addition: CatalogEvent) -> Path | None:
        if addition.picture is None:
            return None
        return inside(self.state / "pictures", f"{addition.picture}.jpg")

    def _watch(self, every: float) -> None:
        while not self._stop.wait(every):
            # whatever goes wrong in the background, the last good snapshot goes on answering
            try:
                if self.catalog_log.last() != self._place:
                    self._apply_log()
                for name, snapshot in list(self.snapshots.items()):
                    if snapshot.moved():
                        self._reload_run(name)
            except Exception:
                LOG.exception("nothing new was taken in")

    def _because(
        self, snapshot: ModelSnapshot, served: ServedModel, who: UserState, rows: IntArray
    ) -> list[tuple[str, ...]]:
        losses = np.maximum(leave_one_out(snapshot, served, who.history, rows), 0)
        total = losses.sum(0)
        out = []
        for column in range(len(rows)):
            order = np.argsort(-losses[:, column], kind="stable")[:NAMED]
            out.append(
                tuple(snapshot.ids[who.history[at]] for at in order if losses[at, column] > CARRIED * total[column])
            )
        return out


class UnknownItem(DataError):
    """An item that is not in the shop."""


def _with(snapshot: ModelSnapshot, goods: CatalogUpdate) -> ModelSnapshot:
    kept, lost = drop_unknown_fields(snapshot.items, goods)
    if lost:
        LOG.warning("%s: %d values of added items have no place in its catalogue", snapshot.run, lost)
    return snapshot.with_items(kept)


def _check_id(snapshot: ModelSnapshot, name: str, at: int) -> None:
    if snapshot.items.ids.ids.dtype != pl.String and str(_whole(name)) != name:
        raise DataError("ids of this catalogue are whole numbers", row=at + 1, key=name)


def _whole(name: str) -> int | None:
    try:
        return int(name)
    except ValueError:
        return None


def _secret(file: Path) -> bytes:
    """Bytes that only this state folder knows, made once; whoever comes second takes those of the first."""
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as handle:
            handle.write(secrets.token_bytes(32))
            handle.flush()
            os.fsync(handle.fileno())
    except FileExistsError:
        pass
    return file.read_bytes()
