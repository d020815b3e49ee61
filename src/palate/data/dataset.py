"""Dataset: catalogue, interactions, relations and a split; it alone knows the test part."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from palate.core.batch import IntArray, RaggedArray, UserBatch
from palate.core.content import Features
from palate.core.errors import DataError
from palate.core.files import digest

from .catalog import Catalog
from .columns import guess_interactions, guess_items, naming, normalise_log
from .ids import IdMap
from .interactions import Interactions, Positive
from .pandas_table import from_pandas
from .relations import Relations
from .searches import Searches, make_searches
from .splits import TEST, TRAIN, VALID, Positives, Split, SplitSpec, make_split
from .views import EvaluationQueries, TrainView


@dataclass(frozen=True, eq=False)
class Dataset:
    """What a catalogue is and what people did with it.

    Attributes:
        name: for reports. items, users: catalogues (users may know ids only).
        interactions: dense rows into both. positive: what counts. spec: how it is split.
        layout: the reader that recognised it. notes: guesses made while reading, said out loud.
        searches: what people asked for, where known.
    """

    name: str
    items: Catalog
    users: Catalog
    interactions: Interactions
    relations: Relations = field(default_factory=Relations)
    positive: Positive = field(default_factory=Positive)
    spec: SplitSpec = field(default_factory=SplitSpec)
    layout: str = "frames"
    notes: tuple[str, ...] = ()
    searches: Searches | None = None

    @classmethod
    def from_frames(
        cls,
        items: Any,
        interactions: Any,
        users: Any = None,
        *,
        columns: Mapping[str, str] | None = None,
        roles: Mapping[str, str] | None = None,
        positive: Positive | Mapping[str, Any] | None = None,
        split: SplitSpec | str | None = None,
        features: Mapping[str, Features] | None = None,
        relations: Relations | None = None,
        root: str | Path | None = None,
        name: str = "frames",
        layout: str = "frames",
        files: Mapping[str, str | Path] | None = None,
        searches: Any = None,
        queries: Any = None,
    ) -> Dataset:
        """Build from pandas or polars tables.

        Args:
            items: one row an item. interactions: one row an event. users: optional, one row a user.
            columns: item columns -> ``id`` or a kind (``text``, ``image`` ...); guessed where not given.
            roles: interaction role (``user``, ``item``, ``time`` ...) -> column name; guessed where not given.
            features: ready vectors by modality, aligned with ``items``.
            files: where the tables were read from, by name, for error messages.
            searches: optional, one row a search that led to an item: user, item, query and maybe time; added to what
                the interactions' own ``query`` says. queries: optional, id and text of each query; without it a query
                is its own words.

        Raises:
            DataError: naming column and row, for example an interaction with an item the table lacks.
        """
        read_from = {table: str(file) for table, file in (files or {}).items()}
        item_frame, log = _polars(items), _polars(interactions)
        with naming(read_from.get("items")):
            item_id, kinds, said = guess_items(item_frame, columns, log)
        with naming(read_from.get("interactions")):
            found, more = guess_interactions(log, roles)
        item_ids = IdMap(item_frame[item_id], "item", read_from.get("items"))
        user_frame = None if users is None else _polars(users)
        if user_frame is None:
            with naming(read_from.get("interactions")):
                distinct = log[found["user"]].drop_nulls().unique(maintain_order=True)
                user_catalog = Catalog.from_ids(distinct, "user")
        else:
            user_column = found["user"] if found["user"] in user_frame.columns else user_frame.columns[0]
            kinds_user = {c: "attributes" for c in user_frame.columns if c != user_column}
            user_ids = IdMap(user_frame[user_column], "user", read_from.get("users"))
            user_catalog = Catalog(user_frame, user_ids, kinds_user, file=read_from.get("users"))
        folder = None if root is None else Path(root)
        catalog = Catalog(item_frame, item_ids, kinds, folder, features or {}, read_from.get("items"))
        table, lost, unknown = _dense(log, found, catalog.ids, user_catalog.ids, read_from.get("interactions"))
        asked = [table] if "query" in table.columns else []
        if searches is not None:
            asked.append(_searched(_polars(searches), catalog.ids, user_catalog.ids, read_from.get("searches")))
        found_searches = make_searches(asked, None if queries is None else _polars(queries), read_from.get("queries"))
        rule = Positive.of(positive)
        spec = SplitSpec.parse(split) if isinstance(split, str) else split
        if spec is None:
            spec = SplitSpec(kind="given" if "part" in found else "random")
        return cls(
            name,
            catalog,
            user_catalog,
            Interactions(table, read_from.get("interactions"), unknown),
            relations or Relations(),
            rule,
            spec,
            layout,
            (*said, *more, *lost),
            found_searches,
        )

    def with_split(self, split: SplitSpec | str) -> Dataset:
        """The same data, split another way."""
        return replace(self, spec=SplitSpec.parse(split) if isinstance(split, str) else split)

    def with_features(self, features: Mapping[str, Features]) -> Dataset:
        """The same data with ready vectors for some modalities."""
        return replace(self, items=replace(self.items, given={**self.items.given, **features}))

    @property
    def n_users(self) -> int:
        """Number of users."""
        return len(self.users)

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self.items)

    @cached_property
    def hash(self) -> str:
        """Hash of everything that decides a result: content, log, relations, the rule for positives."""
        return digest(
            self.items.content_hash(),
            self.users.content_hash(),
            self.interactions.content_hash(),
            self.relations.content_hash(),
            self.positive.model_dump_json(),
            *([] if self.searches is None else [self.searches.content_hash()]),
        )

    @cached_property
    def positives(self) -> Positives:
        """The positives as arrays."""
        kept = self.interactions.positives(self.positive)
        part = kept.array("part").astype(np.int8) if kept.has("part") else None
        times = kept.array("time").astype(np.int64) if kept.has("time") else None
        users, items = (kept.array(role).astype(np.int64) for role in ("user", "item"))
        return Positives(users, items, times, part, self.n_users, self.n_items)

    @cached_property
    def split(self) -> Split:
        """The split this dataset's spec asks for."""
        made = make_split(self.spec, self.positives)
        if not (made.part == TRAIN).any():
            raise DataError("no training positive is left", key=str(self.spec), hint="check --positive and --split")
        return made

    def select_view(self, seed: int = 0) -> TrainView:
        """Train with validation questions: the stage in which everything is chosen."""
        return self._view((TRAIN,), self.split.visible_items, VALID, self.split.valid_candidates, seed)

    def refit_view(self, seed: int = 0) -> TrainView | None:
        """Train + valid without questions, for protocols that train again before test; else None."""
        if not self.split.refit:
            return None
        return self._view((TRAIN, VALID), self.split.refit_items, None, None, seed)

    def test_held(self) -> EvaluationQueries:
        """The test questions. Callers count this: it is meant to happen once, after all selection."""
        known = (TRAIN, VALID) if self.split.refit else (TRAIN,)
        return self._held(known, TEST, self.split.test_candidates)

    def _view(
        self, parts: Sequence[int], visible_items: Any, held: int | None, candidates: Any, seed: int
    ) -> TrainView:
        data = self.positives
        keep = np.isin(self.split.part, parts)
        users, items = data.users[keep], data.items[keep]
        times = None if data.times is None else data.times[keep]
        until = None if times is None or not len(times) else int(times.max())
        return TrainView(
            data.n_users,
            data.n_items,
            users,
            items,
            times,
            visible_items,
            self.relations if visible_items.all() else self.relations.among(visible_items),
            valid=None if held is None or not (self.split.part == held).any() else self._held(parts, held, candidates),
            seed=seed,
            searches=None if self.searches is None else self.searches.behind(users, items, data.n_items, until),
        )

    def _held(self, known: Sequence[int], held: int, candidates: Any) -> EvaluationQueries:
        data, split = self.positives, self.split
        trained = np.isin(split.part, known)
        asked = split.part == held
        seen = trained
        if split.fold_in and split.history is not None:
            seen = trained | (split.history & asked)
            asked = asked & ~split.history
        history = self._lists(seen)
        enough = (history.lengths > 0) & (np.bincount(data.users[asked], minlength=data.n_users) > 0)
        users = np.flatnonzero(enough)
        in_table = np.bincount(data.users[trained], minlength=data.n_users) > 0
        rows = np.where(in_table[users], users, -1)
        masked = seen if self.spec.mask == "train" else split.part != held
        relevant = self._lists(asked).take(users)
        return EvaluationQueries(
            UserBatch(rows, history.take(users)), relevant, self._lists(masked).take(users), candidates
        )

    def _lists(self, keep: Any) -> RaggedArray:
        data = self.positives
        times = None if data.times is None else data.times[keep]
        return RaggedArray.build(data.users[keep], data.items[keep], data.n_users, times)


def _polars(frame: Any) -> pl.DataFrame:
    if isinstance(frame, pl.LazyFrame):
        frame = frame.collect()
    if isinstance(frame, pl.DataFrame):
        return frame.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))
    if hasattr(frame, "columns") and hasattr(frame, "index"):
        return from_pandas(frame)
    raise DataError(f"expected a pandas or polars table, got {type(frame).__name__}")


def _searched(frame: pl.DataFrame, items: IdMap, users: IdMap, file: str | None) -> pl.DataFrame:
    with naming(file):
        roles, _ = guess_interactions(frame, None)
        if "query" not in roles:
            raise DataError("cannot tell which column is the query", hint=f"columns: {', '.join(frame.columns)}")
    return _dense(frame, roles, items, users, file)[0]


def _dense(
    log: pl.DataFrame, roles: Mapping[str, str], items: IdMap, users: IdMap, file: str | None
) -> tuple[pl.DataFrame, tuple[str, ...], pl.DataFrame | None]:
    item_rows: IntArray = items.rows(log[roles["item"]], "mark")
    user_rows: IntArray = users.rows(log[roles["user"]], "mark")
    table = log.select([pl.col(column).alias(role) for role, column in roles.items()]).with_columns(
        user=pl.Series(user_rows), item=pl.Series(item_rows)
    )
    known = pl.Series((item_rows >= 0) & (user_rows >= 0))
    lost = int((~known).sum())
    notes: tuple[str, ...] = ()
    unknown = None
    if lost:
        at = int(np.flatnonzero(~known.to_numpy())[0])
        column = roles["item"] if item_rows[at] < 0 else roles["user"]
        message = (
            f"{lost} of {len(log)} interactions left out: their item or user is not in the tables "
            f"(first: row {at + 1}, {column} = {log[column][at]!r})"
        )
        if lost == len(log):
            raise DataError(
                "no interaction matches the tables",
                file=file,
                row=at + 1,
                column=column,
                key=log[column][at],
                hint="compare the id columns",
            )
        warnings.warn(message, stacklevel=3)
        notes = (message,)
        rows = np.flatnonzero(~known.to_numpy())
        role = np.where(item_rows[rows] < 0, "item", "user")
        values = [log[roles[r]][int(at)] for r, at in zip(role[:1000], rows[:1000])]
        unknown = pl.DataFrame(
            {"row": rows[:1000] + 1, "column": [roles[r] for r in role[:1000]], "value": list(map(str, values))}
        )
        if "row" not in table.columns:
            table = table.with_columns(row=pl.int_range(1, len(table) + 1))
    return normalise_log(table, file).filter(known), notes, unknown
