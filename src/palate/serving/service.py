"""The recommender service: a run in use, the events logged in it and the items added to it, shared by processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from palate.core.errors import ConfigError, DataError
from palate.features.store import FeatureStore
from palate.serving.availability import DatabaseUnavailable, SearchUnavailable
from palate.serving.batches import Faults, raise_faults
from palate.serving.catalog_log import CatalogLog, FieldValue
from palate.serving.catalog_writer import CatalogWriter
from palate.serving.database import Database
from palate.serving.erase import ErasedUser, RunScrubber, UserEraser
from palate.serving.events import Event, EventStore, StoredEvents
from palate.serving.explain import explain
from palate.serving.filters import FilterValue
from palate.serving.index.vector_index import remove_unused
from palate.serving.item_checks import Record
from palate.serving.recommend import Recommender
from palate.serving.replication import Replication
from palate.serving.requests import Explanation, RecommendRequest, RecommendResponse
from palate.serving.secret import read_secret
from palate.serving.settings import run_names
from palate.serving.snapshot import MAIN, ModelSnapshot, ResolvedModel, ServedModel, UnknownItem
from palate.serving.snapshot_builder import open_snapshot
from palate.serving.stages import Pipeline, stages
from palate.serving.stages.pipeline import NONE
from palate.serving.user_state import UserState, anonymous_user, known_user

__all__ = ["FoundItem", "RecommenderService", "UnknownItem"]

STAGES = ("match", "rank", "rerank", "boost", "diversify")
"""Names of the stages, in order."""


class FoundItem(NamedTuple):
    """An item, and the model that was resolved for it.

    Attributes:
        snapshot: the snapshot.
        model: model that answers.
        row: row of the item in the snapshot.
    """

    snapshot: ModelSnapshot
    model: ServedModel
    row: int


class RecommenderService:
    """Answers by the latest snapshot; a change is logged first and then applied by every process.

    Args:
        run: run folder, or a link to one.
        state: folder of events, added items, images and indexes; created if missing.
        events: URL of the database, by default SQLite in ``state``.
        extra_runs: folders of further runs that can answer, addressed by their folders' names.
        order: names of the stages, in order.
        poll_seconds: seconds between checks of ``run`` and of the log of other processes; 0 disables them.
        index_url: URL of a Qdrant server that holds the index, instead of a folder in ``state``.

    Raises:
        ConfigError: for two runs of one name, a database that cannot be used, or a secret that is damaged.
        ArtefactError: for a folder that is not a run.

    Attributes:
        on_response: called with every list that is made, also those of the page.
        events: the event store.
        catalog_log: the log of added and removed items.
        catalog: adds, changes and removes items.
        replication: the snapshots that answer.
        secret: bytes known to this state folder alone.
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
        generators: Sequence[str | Path] = (),
    ) -> None:
        runs = run_names(run, extra_runs)
        self.run, self.state = Path(run), Path(state)
        self.state.mkdir(parents=True, exist_ok=True)
        self.secret = read_secret(self.state / "secret")
        self.database = Database(events or f"sqlite:///{self.state / 'shop.db'}")
        self.events = EventStore(self.database, self.secret)
        self.catalog_log = CatalogLog(self.database)
        pipeline = Pipeline([stages.get(name)() for name in order], stages.get("popular")())
        self.recommender = Recommender(pipeline)
        self.on_response: Callable[[RecommendResponse], None] = lambda response: None
        store, self.indexes, self.images = (self.state / name for name in ("features", "index", "pictures"))
        scrubber = RunScrubber(self.state / "scrub.lock")
        self.replication = Replication(
            runs,
            lambda folder: open_snapshot(folder, self.indexes, FeatureStore(store), index_url),
            self.events,
            self.catalog_log,
            self.images,
            scrubber.scrub,
        )
        self._refuse_names_of_members()
        self.replication.on_erased = self._forget_lists
        self.replication.on_warm_up = self.recommender.warm_up
        self.replication.on_reloaded = self._remove_unused_indexes
        self._remove_unused_indexes()
        self.catalog = CatalogWriter(self.replication, self.images)
        self.eraser = UserEraser(self.events, self.replication, scrubber, generators)
        if poll_seconds:
            self.replication.watch(poll_seconds)

    @property
    def snapshot(self) -> ModelSnapshot:
        """The latest snapshot of the run that is served."""
        return self.replication.snapshot

    @property
    def snapshots(self) -> Mapping[str, ModelSnapshot]:
        """The latest snapshots, by name of the run."""
        return self.replication.snapshots

    @property
    def model_names(self) -> list[str]:
        """Names of the models that can answer: the run's, members of a composed model, and further runs."""
        return self.replication.model_names

    def problem(self) -> str | None:
        """Why requests would fail now although lists are made; it takes half a second at most."""
        return self.database.problem()

    def warnings(self) -> list[str]:
        """What an operator should mend, while every request is answered: a run that cannot take over."""
        return [
            f"the run {name!r} was replaced by one that cannot be loaded; the former one answers"
            for name in self.replication.failed_runs
        ]

    def recommend(self, request: RecommendRequest) -> RecommendResponse:
        """A list of items; popular ones where nothing is known of the user.

        Args:
            request: the request.

        Raises:
            UnknownItem: for an item of the history, or to search for, that does not exist.
            SearchUnavailable: for a search that took too long or failed.
            PalateError: for any other request that cannot be answered; the message says why.
        """
        return self._recommend(self.replication.resolve(request.model, request.items), request)

    def is_fast(self, request: RecommendRequest) -> bool:
        """Whether a list is a matter of milliseconds, to judge by the lists before it.

        Args:
            request: the request; one for an unknown model is refused fast.
        """
        try:
            resolved = self.replication.latest(request.model)
        except ConfigError:
            return True
        return self.database.is_fast and self.recommender.is_fast(resolved, request)

    def similar_items(
        self,
        item: str,
        k: int = 10,
        filters: Mapping[str, FilterValue] | None = None,
        model: str | None = None,
        hidden_for: str | None = None,
    ) -> RecommendResponse:
        """Items that are alike by behaviour and by content, with popularity divided out.

        Args:
            item: item id.
            k: length of the list.
            filters: column -> values or bounds.
            model: name of the model that answers, the run's own by default.
            hidden_for: user whose hidden items are left out.

        Raises:
            UnknownItem: if the item does not exist.
            ConfigError: for an unknown model.
            SearchUnavailable: if it took too long or failed.
            PalateError: if the run cannot compare items by content.
        """
        self.find_item(item, model)
        return self.recommend(
            RecommendRequest(k, similar_to=item, filters=filters or {}, model=model, hidden_for=hidden_for)
        )

    def explain(
        self, item: str, user: str | None = None, history: Sequence[str] | None = None, model: str | None = None
    ) -> Explanation:
        """Explain the score of an item; where the user took it already, that which it had without that.

        Args:
            item: item id.
            user: user id.
            history: item ids of an anonymous user, instead of ``user``.
            model: name of the model that answers, the run's own by default.

        Raises:
            UnknownItem: if the item, or one of the history, does not exist.
            ConfigError: for an unknown model.
            UnsupportedError: if the model only lists items.
        """
        snapshot, served, row = self.find_item(item, model)
        state = self.user_state(snapshot, user, history)
        return explain(ResolvedModel(snapshot, served), state.without(row), row)

    def log_events(self, events: Iterable[Event]) -> StoredEvents:
        """Log events; they are on disk when this returns.

        Args:
            events: events of users; an item that was removed may still have some.

        Returns:
            Their places, and how many were stored before.

        Raises:
            UnknownItem: for an item that never existed.
            BatchError: for several of them.
            DuplicateKeyError: for an event with the key of another event of its user.
            DatabaseUnavailable: if the database does not answer; the events may be sent again.
        """
        events = list(events)
        raise_faults(self.event_faults(events), len(events))
        return self.events.add(events)

    def put_items(self, records: Sequence[tuple[str, Mapping[str, FieldValue], bytes | None]]) -> list[str]:
        """Add or change items, all or none; they can be recommended when this returns.

        Args:
            records: (id, column -> value, image bytes or None); what is not named keeps its value.

        Returns:
            ``added`` or ``updated`` for each.

        Raises:
            DataError: for an id given twice, an unknown column, or a value that does not fit.
            FeatureError: for an image that cannot be read.
            BatchError: if this holds for several items.
        """
        is_new = self.catalog.put(list(records))
        return ["added" if new else "updated" for new in is_new]

    def event_faults(self, events: Sequence[Event | None]) -> Faults:
        """Events of items that never existed.

        Args:
            events: the events; None for one that is known to be wrong.
        """
        given = [(at + 1, event.item) for at, event in enumerate(events) if event is not None]
        if any(item not in self.snapshot.rows for _, item in given):
            self.replication.apply_log()
        rows = self.snapshot.rows
        return {row: UnknownItem("no such item", key=item) for row, item in given if item not in rows}

    def item_faults(self, records: Sequence[Record | None]) -> Faults:
        """What is wrong with items to add or change, by row.

        Args:
            records: the items, as :meth:`put_items` takes them; None for one that is known to be wrong.
        """
        return self.catalog.faults(records)

    def remove_item(self, item: str) -> None:
        """Take an item out of every answer, here at once and in other processes before their next answer.

        Args:
            item: item id.

        Raises:
            UnknownItem: if the item does not exist.
        """
        self.find_item(item)
        self.catalog.remove(item)

    def erase_user(self, user: str) -> ErasedUser:
        """Erase a user's events, history and vectors.

        Args:
            user: user id.

        Returns:
            Number of events, whether a run knew the user, and whether its files could be changed.

        Raises:
            DatabaseUnavailable: if the database does not answer.
        """
        return self.eraser.erase(user)

    def resolve_model(self, name: str | None, items: Iterable[str] = ()) -> ResolvedModel:
        """The model that answers a request; see :meth:`.Replication.resolve`.

        Args:
            name: name of the model, the run's own by default.
            items: ids of items that the request names.

        Raises:
            ConfigError: for an unknown name.
        """
        return self.replication.resolve(name, items)

    def find_item(self, item: str, model: str | None = None) -> FoundItem:
        """An item, also one that another process has just added, and the model that answers.

        Args:
            item: item id.
            model: name of the model, the run's own by default.

        Raises:
            UnknownItem: if the item does not exist.
            ConfigError: for an unknown model.
        """
        snapshot, served = self.replication.resolve(model, [item])
        return FoundItem(snapshot, served, snapshot.require_row(item))

    def user_state(self, snapshot: ModelSnapshot, user: str | None, history: Sequence[str] | None) -> UserState:
        """The user of a request, in rows of a snapshot.

        Args:
            snapshot: the snapshot.
            user: user id.
            history: item ids of an anonymous user, instead of ``user``; oldest first.

        Raises:
            DataError: if there are both a user and a history.
            UnknownItem: for an item of the history that does not exist.
        """
        if user is None:
            for item in history or ():
                snapshot.require_row(item)
            return anonymous_user(snapshot, history or ())
        if history is not None:
            raise DataError("give a user or a history, not both", key="history")
        row = -1 if self.replication.is_erased(user) else snapshot.users.get(user, -1)
        try:
            return known_user(snapshot, row, self.events.for_user(user))
        except DatabaseUnavailable:
            return known_user(snapshot, row, (), is_complete=False)

    def warm_up(self) -> None:
        """Load what first requests would wait for, before the service is reported ready."""
        self.replication.warm_up()

    def close(self) -> None:
        """Stop watching, and release threads and files."""
        self.replication.close()
        self.recommender.pipeline.close()
        self.database.close()

    def _recommend(self, resolved: ResolvedModel, request: RecommendRequest) -> RecommendResponse:
        if request.similar_to is not None:
            resolved.snapshot.require_row(request.similar_to)
        started = time.perf_counter()
        user = self.user_state(resolved.snapshot, request.user, request.history)
        if request.hidden_for is not None:
            hidden = self.user_state(resolved.snapshot, request.hidden_for, None)
            user = replace(
                user,
                hidden=np.concatenate([user.hidden, hidden.hidden]),
                is_complete=user.is_complete and hidden.is_complete,
            )
        seconds = time.perf_counter() - started
        response = self.recommender.recommend(resolved, user, request, seconds)
        self.on_response(response)
        if response.source == NONE:
            late = response.fallback == "late"
            raise SearchUnavailable(
                "the search took too long" if late else "the search failed; the server's log says why",
                hint="send it again in a moment",
            )
        return response

    def _remove_unused_indexes(self) -> None:
        remove_unused(self.indexes)

    def _forget_lists(self, tokens: Sequence[str]) -> None:
        """Forget the last lists of users who were erased."""
        self.recommender.pipeline.last_lists.drop(lambda user: self.events.erasure_token(user) in tokens)

    def _refuse_names_of_members(self) -> None:
        names = set(self.replication.snapshots) & set(self.replication.snapshot.models) - {MAIN}
        for name in sorted(names):
            raise ConfigError(
                "a member of the served model has the name of this run", key=name, hint="rename the run's folder"
            )
