"""A shop: a run in use, what people do in it, and what is put on its shelves, shared by the processes that serve it."""

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
from palate.training.erase import erase_user

from .additions import Addition, Additions
from .database import Database
from .edition import MAIN, Edition, Voice
from .events import Event, EventStore
from .explain import because, explain
from .goods import Goods, fitting, merged
from .likeness import Wanted, likeness
from .people import Person, person, visitor
from .pictures import kept, remade
from .reasons import in_words
from .stages import Ask, Pipeline, stages
from .wishes import Reasons, Shown, Told, Wish

LOG = logging.getLogger("palate.serving")
STAGES = ("match", "lean", "diversify")
SPARE = 5
NAMED, CARRIED = 2, 0.1
"""Liked items that are named as reasons, at most; and the share of the whole loss that one must have."""


class Shop:
    """Answers by the latest edition; whatever changes it is written down first and then taken in by every process.

    Args:
        run: a run folder, or a link to one. state: folder of what happens here, made if needed. events: address of the
            database, by default SQLite in ``state``. beside: further runs that may answer, by their folders' names.
        order: names of stages. watch: seconds between looks at ``run`` and at what other processes wrote; 0 for never.
        engine: address of a Qdrant server that holds the index, instead of a folder in ``state``.
    """

    def __init__(
        self,
        run: str | Path,
        state: str | Path,
        events: str | None = None,
        beside: Sequence[str | Path] = (),
        order: Sequence[str] = STAGES,
        watch: float = 0.25,
        engine: str | None = None,
    ) -> None:
        self.engine = engine
        self.run, self.state = Path(run), Path(state)
        self.state.mkdir(parents=True, exist_ok=True)
        self.database = Database(events or f"sqlite:///{self.state / 'shop.db'}")
        self.secret = _secret(self.state / "secret")
        self.events = EventStore(self.database, self.secret)
        self.additions = Additions(self.database)
        self.pipeline = Pipeline([stages.get(name)() for name in order], stages.get("popular")())
        # one changes the catalogue at a time; what is quick to hear is not kept waiting by that
        self._changing, self._hearing = threading.RLock(), threading.Lock()
        self._forgotten: set[str] = set()
        self._drops: list[Addition] = []
        self._behind = self._rehearsed = False
        self._place, self._dropped, self._forgot, self._version = 0, 0, 0, self.database.version()
        self.editions: dict[str, Edition] = {}
        for name, folder in {MAIN: self.run, **{Path(other).name: Path(other) for other in beside}}.items():
            self.editions[name] = self._open(folder)
        self._catch_up()
        self._hear()
        # a process that was killed may have left some of whom the database has forgotten, and so may newer data
        self._scrub([user for user in self.edition.users if self._is_forgotten(user)] if self._forgotten else [])
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch, args=(watch,), daemon=True, name="watch")
        if watch:
            self._watcher.start()

    @property
    def edition(self) -> Edition:
        """The latest of the run that is served."""
        return self.editions[MAIN]

    @property
    def voices(self) -> list[str]:
        """Names of who may answer: the run's model, the parts of a blend, the runs beside it."""
        return [*self.edition.voices, *(name for name in self.editions if name != MAIN)]

    # answers

    def recommend(self, wish: Wish) -> Told:
        """A list for somebody; who is unknown gets what is popular.

        Raises:
            PalateError: for what cannot be answered as asked; the message says why.
        """
        edition, voice = self.speaker(wish.model)
        if wish.like is not None:
            edition, voice, like_row = self.find(wish.like, wish.model)
        if self._behind and any(edition.row(item) < 0 for item in wish.liked or ()):
            self._catch_up()
            edition, voice = self.speaker(wish.model)
        who = self.person(edition, wish.user, wish.liked)
        allowed = edition.filters.mask(wish.filters) if wish.filters else None
        hidden = who.hidden if wish.seen else np.concatenate([who.hidden, who.liked])
        if wish.exclude:
            out = [row for row in map(edition.row, wish.exclude) if row >= 0]
            hidden = np.concatenate([hidden, np.array(out, np.int64)])
        looked = None
        if wish.looks:
            like = None if wish.like is None else like_row
            looked = likeness(edition, Wanted(wish.text, wish.picture, like))
            if like is not None:
                hidden = np.append(hidden, like)
        # some more than asked for: items may be removed while the list is made
        ask = Ask(
            wish.k + SPARE, voice, who.user, who.liked, who.later, hidden, allowed, looked,
            wish.diversity, wish.novelty, wish.freshness,
        )  # fmt: skip
        answer = self.pipeline(edition, ask)
        rows = answer.slate.rows
        reasons: list[tuple[str, ...]] = [()] * len(rows)
        if wish.because and answer.said_by != "popular":
            reasons = self._because(edition, voice, who, rows)
        shown = tuple(
            Shown(edition.ids[row], edition.titles[row], float(score), why)
            for row, score, why in zip(rows.tolist(), answer.slate.scores.tolist(), reasons)
            if edition.alive[row]
        )[: wish.k]
        return Told(shown, edition.mark, answer.said_by, answer.steps)

    def quick(self, wish: Wish) -> bool:
        """Whether this list is a matter of milliseconds here, to judge by those before it."""
        if not self.database.near or wish.text is not None or wish.picture is not None or wish.because:
            return False
        voice = self.speaker(wish.model)[1]
        ask = Ask(1, voice, 0, diversity=wish.diversity, novelty=wish.novelty, freshness=wish.freshness)
        return self.pipeline.quick(ask)

    def similar(
        self, item: str, k: int = 10, filters: Mapping[str, Any] | None = None, model: str | None = None
    ) -> Told:
        """What a visitor who took only ``item`` would get; by content where the model cannot say."""
        _, voice, _ = self.find(item, model)
        wish = Wish(k, liked=[item], filters=filters or {}, model=model)
        return self.recommend(wish if voice.new_users else Wish(k, like=item, filters=filters or {}))

    def explain(
        self, item: str, user: str | None = None, liked: Sequence[str] | None = None, model: str | None = None
    ) -> Reasons:
        """What carried the score of an item for somebody."""
        edition, voice, row = self.find(item, model)
        who = self.person(edition, user, liked)
        found = explain(edition, voice, who.user, who.liked, who.later, row)
        named, titles = edition.ids, edition.titles
        reasons = Reasons(
            item,
            titles[row],
            found.score,
            tuple((named[at], titles[at], share) for at, share in found.liked),
            found.modalities,
            found.behaviour,
            tuple((column, value, tuple(named[at] for at in rows)) for column, value, rows in found.attributes),
            "",
        )
        return in_words(reasons)

    # changes

    def log(self, events: Iterable[Event]) -> int:
        """Write down what people did; when this returns it is on disk. How many there were.

        Raises:
            DataError: for an item that was never here.
        """
        events = list(events)
        if any(event.item not in self.edition.rows for event in events):
            self._catch_up()
        for at, event in enumerate(events):
            # an item that has just been removed is no mistake of who saw it
            if event.item not in self.edition.rows:
                raise UnknownItem("no such item", row=at + 1, key=event.item)
        self.events.add(events)
        return len(events)

    def put(self, records: Sequence[tuple[str, Mapping[str, Any], bytes | None]]) -> list[str]:
        """Add or change items, all or none; they can be recommended when this returns.

        Args:
            records: (id, column -> value, picture bytes or None); what is not named stays as it is.

        Returns:
            ``added`` or ``updated`` for each.

        Raises:
            PalateError: for an id given twice, a column that is not there, a value or picture that cannot be used.
        """
        pictures = [None if data is None else kept(self.state / "pictures", remade(data)) for _, _, data in records]
        names = [name for name, _, _ in records]
        for at, name in enumerate(names):
            _check_id(self.edition, name, at)
            if name in names[:at]:
                raise DataError("an item is given twice", row=at + 1, key=name)
        with self._changing:
            self._catch_up()
            told = ["updated" if self.edition.row(name) >= 0 else "added" for name in names]
            files = [None if found is None else found[1] for found in pictures]
            anew = np.array([what == "added" for what in told])
            goods = Goods(names, [fields for _, fields, _ in records], files, anew, np.full(len(names), time.time()))
            # first made, then written down: what cannot be used is refused before anyone hears of it
            made = self.edition.grown(goods)
            marks = [None if found is None else found[0] for found in pictures]
            places = self.additions.put([(name, fields, mark) for (name, fields, _), mark in zip(records, marks)])
            if places[0] == self._place + 1 and len(self.editions) == 1:
                self._take_on({MAIN: made}, places[-1])
            else:
                self._catch_up()
        return told

    def drop(self, item: str) -> None:
        """Take an item out of every answer, here at once and in other processes before their next answer.

        Raises:
            DataError: for one that is not here.
        """
        self.find(item)
        self.additions.drop(item)
        self._hear()

    def forget(self, user: str) -> tuple[int, bool]:
        """Remove what is known of a user: events, history and vectors. How many events; whether the run knew them."""
        gone = self.events.forget(user)
        self._hear()
        return gone, self._scrub([user])

    # upkeep

    def rehearse(self) -> None:
        """Load what first requests would wait for, here and in runs that take over; before the shop is called ready."""
        self._rehearsed = True
        for edition in self.editions.values():
            edition.rehearse()

    def refresh(self) -> None:
        """Before an answer: hear what other processes took away. What they put follows within ``watch``."""
        if self.database.version() != self._version:
            self._hear()

    def close(self) -> None:
        """Stop watching and let go of threads and files."""
        self._stop.set()
        if self._watcher.is_alive():
            self._watcher.join()
        self.pipeline.close()
        self.database.close()

    def speaker(self, model: str | None) -> tuple[Edition, Voice]:
        """Edition and voice that answer for a name, the run's own by default; what was removed elsewhere is heard.

        Raises:
            ConfigError: for an unknown one.
        """
        self.refresh()
        if model is not None and model in self.editions:
            return self.editions[model], self.editions[model].voice(None)
        if model is not None and model not in self.edition.voices:
            raise ConfigError("no such model here", key=model, hint=did_you_mean(model, self.voices))
        edition = self.edition
        return edition, edition.voice(model)

    def person(self, edition: Edition, user: str | None, liked: Sequence[str] | None) -> Person:
        """Who asks, as ``edition`` knows them.

        Raises:
            DataError: for a liked item that is not here, or both a user and liked items.
        """
        if user is not None and liked is not None:
            raise DataError("give a user or liked items, not both", key="liked")
        if user is not None:
            row = -1 if self._is_forgotten(user) else edition.users.get(user, -1)
            return person(edition, row, self.events.of(user))
        for item in liked or ():
            if edition.row(item) < 0:
                raise UnknownItem("no such item", key=item)
        return visitor(edition, liked or ())

    def _is_forgotten(self, user: str) -> bool:
        return bool(self._forgotten) and self.events.mark_of(user) in self._forgotten

    def find(self, item: str, model: str | None = None) -> tuple[Edition, Voice, int]:
        """Who answers, as for :meth:`speaker`, and the row of an item, also of one that another process just put.

        Raises:
            UnknownItem: for what is not in the shop. ConfigError: for an unknown model.
        """
        edition, voice = self.speaker(model)
        if edition.row(item) < 0 and self._behind:
            self._catch_up()
            edition, voice = self.speaker(model)
        row = edition.row(item)
        if row < 0:
            raise UnknownItem("no such item", key=item)
        return edition, voice, row

    def _scrub(self, users: Iterable[str]) -> bool:
        """Take users out of the runs on disk, one process at a time; whether any run knew one."""
        with self._changing, open(self.state / "scrub.lock", "w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            known = [erase_user(edition.run, user) for edition in self.editions.values() for user in users]
        return any(known)

    def _open(self, run: Path) -> Edition:
        edition = Edition.open(run, self.state / "index", FeatureStore(self.state / "features"), self.engine)
        if self._rehearsed:
            edition.rehearse()
        return edition

    def _hear(self) -> None:
        """Who is to be forgotten, and what is no longer here: quick, and true of the next answer."""
        with self._hearing:
            # read before the log is: what is written in between is heard twice rather than never
            self._version = self.database.version()
            self._forgot, marks = self.events.forgotten_since(self._forgot)
            self._forgotten.update(marks)
            news = self.additions.since(self._dropped)
            self._behind |= any(addition.kind == "put" for addition in news)
            drops = [addition for addition in news if addition.kind == "drop"]
            self._drops += drops
            self._remove(self.editions.values(), [drop.item for drop in drops])
            self._dropped = news[-1].id if news else self._dropped

    def _catch_up(self) -> None:
        """Take in the log up to its end."""
        with self._changing:
            log = self.additions.since(self._place)
            if not log:
                return
            goods, gone = self._merged(log)
            made = {name: _with(edition, goods) for name, edition in self.editions.items()} if len(goods) else {}
            self._take_on(made or dict(self.editions), log[-1].id, gone)

    def _take_on(self, made: Mapping[str, Edition], place: int, gone: Iterable[str] = ()) -> None:
        """From now on these answer, which hold the log up to ``place``; removals heard meanwhile hold in them too."""
        with self._hearing:
            for edition in made.values():
                edition.settle()
            self._drops = [drop for drop in self._drops if drop.id > place]
            self._remove(made.values(), [*gone, *(drop.item for drop in self._drops)])
            self._place, self._dropped = place, max(self._dropped, place)
            self._behind = self._dropped > place
            self.editions = {**self.editions, **made}

    def _remove(self, editions: Iterable[Edition], items: Sequence[str]) -> None:
        for edition in editions:
            rows = np.array([row for row in map(edition.row, items) if row >= 0], np.int64)
            if len(rows):
                edition.remove(np.unique(rows))

    def _swap(self, name: str) -> None:
        """Take on what lies in a run folder now; the former edition answers until the new one is ready."""
        fresh = self._open(self.editions[name].folder)
        with self._changing:
            self._catch_up()
            # what comes meanwhile is for all editions to take in afterwards
            goods, gone = self._merged(a for a in self.additions.since(0) if a.id <= self._place)
            self._take_on({name: _with(fresh, goods) if len(goods) else fresh}, self._place, gone)
            LOG.info("%s: now %s", name, fresh.mark)

    def _merged(self, log: Iterable[Addition]) -> tuple[Goods, list[str]]:
        return merged((a.item, a.fields if a.kind == "put" else None, self._file(a), a.time) for a in log)

    def _file(self, addition: Addition) -> Path | None:
        if addition.picture is None:
            return None
        return inside(self.state / "pictures", f"{addition.picture}.jpg")

    def _watch(self, every: float) -> None:
        while not self._stop.wait(every):
            # whatever goes wrong in the background, the last good edition goes on answering
            try:
                if self.additions.last() != self._place:
                    self._catch_up()
                for name, edition in list(self.editions.items()):
                    if edition.moved():
                        self._swap(name)
            except Exception:
                LOG.exception("nothing new was taken in")

    def _because(self, edition: Edition, voice: Voice, who: Person, rows: IntArray) -> list[tuple[str, ...]]:
        losses = np.maximum(because(edition, voice, who.liked, rows), 0)
        total = losses.sum(0)
        out = []
        for column in range(len(rows)):
            order = np.argsort(-losses[:, column], kind="stable")[:NAMED]
            out.append(
                tuple(edition.ids[who.liked[at]] for at in order if losses[at, column] > CARRIED * total[column])
            )
        return out


class UnknownItem(DataError):
    """An item that is not in the shop."""


def _with(edition: Edition, goods: Goods) -> Edition:
    kept, lost = fitting(edition.items, goods)
    if lost:
        LOG.warning("%s: %d values of added items have no place in its catalogue", edition.run, lost)
    return edition.grown(kept)


def _check_id(edition: Edition, name: str, at: int) -> None:
    if edition.items.ids.ids.dtype != pl.String and str(_whole(name)) != name:
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
