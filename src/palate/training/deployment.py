"""A fitted model in use: external ids in, external ids out, new visitors and new items included."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from palate.batches.impressions import impression_batch
from palate.contracts import Matcher, Model, Ranker, models
from palate.core.batch import IntArray, RaggedArray, UserBatch
from palate.core.content import Features
from palate.core.errors import ConfigError, DataError, NotFittedError, UnsupportedError
from palate.core.given import given
from palate.core.item_features import ItemFeatures
from palate.data.catalog import Catalog
from palate.data.dataset import Dataset
from palate.data.events import Events
from palate.data.frames import new_rows, to_source
from palate.data.ids import IdMap
from palate.data.new_content import absent_media
from palate.features.counters import Asked
from palate.features.encoders.base import EncodingFailure
from palate.features.fitted import Failures, FittedContent
from palate.training.log import FitLog

log = logging.getLogger("palate")
OnUnknown = Literal["error", "skip", "fallback"]


@dataclass
class Deployment:
    """What recommending needs beside the weights.

    Attributes:
        items: catalogue snapshot.
        users: ids of the user table.
        seen: the positives of each user, by time: the history that models read.
        content: fitted encoders.
        features: vectors of ``items``.
        about: data name, hash, split, seed.
        log: what happened in fitting.
        also_seen: items that each user knows from events that are no positives; those that were only shown in an
            impression are not among them.
    """

    items: Catalog
    users: IdMap
    seen: RaggedArray
    content: FittedContent
    features: ItemFeatures
    about: dict[str, Any]
    log: FitLog | None = None
    also_seen: RaggedArray | None = None

    @classmethod
    def from_data(
        cls, data: Dataset, content: FittedContent, features: ItemFeatures, seed: int, log: FitLog | None
    ) -> Deployment:
        """Deploy on everything that is known: all parts of the split count as seen, whether liked or not."""
        p = data.positives
        seen = RaggedArray.build(p.users, p.items, data.n_users, p.times)
        about = {"data": data.name, "hash": data.hash, "split": str(data.spec), "seed": seed}
        about |= {"positive": str(data.positive), "layout": data.layout}
        about["rule"] = {"split": data.spec.model_dump(), "positive": data.positive.model_dump()}
        return cls(data.items, data.users.ids, seen, content, features, about, log, _also_seen(data))

    def known_items(self, users: IntArray) -> RaggedArray:
        """Every item that users have seen, liked or not.

        Args:
            users: int64 [m], rows of users.
        """
        seen = self.seen.take(users)
        if self.also_seen is None:
            return seen
        other = self.also_seen.take(users)
        owners = [np.repeat(np.arange(len(users)), lists.lengths) for lists in (seen, other)]
        return RaggedArray.build(np.concatenate(owners), np.concatenate([seen.items, other.items]), len(users))

    def recommend(
        self,
        model: Matcher,
        users: Any = None,
        k: int = 10,
        *,
        history: Iterable[Any] | None = None,
        allowed: Iterable[Any] | None = None,
        exclude: Iterable[Any] | None = None,
        filter_seen: bool = True,
        on_unknown: OnUnknown = "error",
    ) -> pl.DataFrame:
        """Best ``k`` items a user: columns user, item, score, rank (1 is best); fewer rows when candidates run out.

        Args:
            model: the fitted model.
            users: one external id or several.
            k: items a user.
            history: item ids, oldest first, instead of ``users``.
            allowed: only these items.
            exclude: never these items.
            filter_seen: leave out what the user has seen, liked or not.
            on_unknown: an unknown user is an error, left out, or gets the most popular items (``fallback``). A known
                user without positives gets the most popular items in any case.

        Raises:
            ConfigError: for another ``on_unknown``.
            DataError: for an unknown id, ``k`` below 1, or neither or both of ``users`` and ``history``.
            UnsupportedError: for a history in a model that serves known users only.
        """
        if on_unknown not in get_args(OnUnknown):
            raise ConfigError(f"on_unknown is one of {', '.join(get_args(OnUnknown))}", key=on_unknown)
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)):
            raise DataError(f"k must be a whole number, not {type(k).__name__}", key=k)
        if k < 1:
            raise DataError("k must be at least 1", key=k)
        asked, known, popular, batch = self._batch(users, history, on_unknown)
        mask = np.ones(len(self.items), bool)
        if allowed is not None:
            mask[:] = False
            mask[self.items.ids.rows(_many(allowed))] = True
        if exclude is not None:
            mask[self.items.ids.rows(_many(exclude))] = False
        if len(batch) and (batch.rows < 0).any() and not model.capabilities.new_users:
            able = [name for name, kind in models.items() if kind.capabilities.new_users]
            raise UnsupportedError(
                f"{model.name} cannot serve users it never saw", hint=f"models that can: {', '.join(able)}"
            )
        with torch.inference_mode():
            scorer = model.scorer()
            seen = batch.history if history is not None else self.known_items(batch.rows)
            ids, scores = scorer.topk(batch, k, seen if filter_seen else None, mask & scorer.scorable())
        if popular.any():
            ids, scores = self._with_popular(asked, known, popular, k, mask, filter_seen, ids, scores)
        return self._table([user for user, ok in zip(asked, known | popular) if ok], ids, scores)

    def _with_popular(
        self,
        asked: Sequence[Any],
        known: NDArray[np.bool_],
        popular: NDArray[np.bool_],
        k: int,
        mask: NDArray[np.bool_],
        filter_seen: bool,
        ids: IntArray,
        scores: NDArray[np.floating],
    ) -> tuple[IntArray, NDArray[np.floating]]:
        """Lists of known users, and the most popular items for users without positives, in the order of ``asked``."""
        taken = np.bincount(self.seen.items, minlength=len(self.items))
        best = np.argsort(-taken, kind="stable")
        best = best[mask[best]]
        whole = np.full((len(known), k), -1, np.int64)
        numbers = np.zeros(whole.shape, np.float32)
        if known.any():
            whole[known, : ids.shape[1]], numbers[known, : ids.shape[1]] = ids, scores
        rows = self.users.rows(list(asked), "mark")
        for place in np.flatnonzero(popular):
            own = best
            if filter_seen and rows[place] >= 0:
                own = best[~np.isin(best, self.known_items(rows[[place]]).items)]
            own = own[:k]
            whole[place, : len(own)], numbers[place, : len(own)] = own, taken[own]
        listed = known | popular
        return whole[listed], numbers[listed]

    def similar(self, model: Matcher, item: Any, k: int = 10) -> pl.DataFrame:
        """What a visitor who took only ``item`` would get: columns item, score, rank."""
        return self.recommend(model, k=k, history=[item]).drop("user")

    def add_items(self, model: Model, frame: Any, features: Mapping[str, Any] | None = None) -> None:
        """Append catalogue rows, encode them, give the content to the model; all or nothing.

        Args:
            model: deployed here.
            frame: pandas or polars rows with the catalogue's columns, or a table as it was read.
            features: modality -> vectors of the new rows, for modalities of given vectors.

        Raises:
            DataError: without an id column, or for an id that exists.
        """
        new = to_source(frame)
        table, id_column = new_rows(self.items, new).frame, self.items.id_column
        ready = {
            name: given(found.values, found.present, name) if isinstance(found, Features) else given(found, name=name)
            for name, found in (features or {}).items()
        }
        grown = self.items.append(table, id_column, ready)
        try:
            failures: Failures = []
            features = self.content.append_items(self.features, grown, failures)
        except DataError as error:
            row = error.row if error.row is None or error.row <= len(self.items) else error.row - len(self.items)
            raise DataError(
                error.message, file=error.file, row=row, column=error.column, key=error.key, hint=error.hint
            ) from error
        for message in (*absent_media(new.frame, self.items.kinds), *_absent_content(failures, len(self.items))):
            log.warning(message)
        model.update_items(self.content.model_features(features))
        model.meet_catalog(grown)
        self.features, self.items = features, grown

    def _batch(
        self, users: Any, history: Iterable[Any] | None, on_unknown: OnUnknown
    ) -> tuple[list[Any], NDArray[np.bool_], NDArray[np.bool_], UserBatch]:
        """Who was asked for, bool [asked] who gets a list by the model and who popular items, and the former users."""
        if (users is None) == (history is None):
            hint = "users=[...] of model.user_ids, or history=[...] with what a visitor took"
            raise DataError("give either users or a history of item ids", hint=hint)
        if history is not None:
            rows = self.items.ids.rows(_many(history), "error" if on_unknown == "error" else "skip")
            yes, no = np.ones(1, bool), np.zeros(1, bool)
            return [None], yes, no, UserBatch(np.array([-1]), RaggedArray.of([rows.tolist()]))
        asked = _many(users)
        rows = self.users.rows(asked, "error" if on_unknown == "error" else "mark")
        known = (rows >= 0) & (self.seen.take(np.maximum(rows, 0)).lengths > 0)
        popular = ~known & ((rows >= 0) | (on_unknown == "fallback"))
        rows = rows[known]
        return asked, known, popular, UserBatch(rows, self.seen.take(rows))

    def _table(self, names: Sequence[Any], ids: IntArray, scores: np.ndarray) -> pl.DataFrame:
        """One row an item of a list; users are spelled as they were asked for where one of them is unknown."""
        k = ids.shape[1] if ids.ndim == 2 else 0
        keep = (ids >= 0).ravel()
        owner = np.repeat(np.arange(len(names)), k)[keep]
        users = pl.Series("user", list(names), strict=False)
        if not names or any(name is not None for name in names):
            typed = users.cast(self.users.ids.dtype, strict=False)
            users = pl.Series("user", list(map(str, names))) if typed.null_count() else typed
        return pl.DataFrame(
            {
                "user": users.gather(owner),
                "item": self.items.ids.ids.gather(ids.ravel()[keep]),
                "score": scores.ravel()[keep].astype(np.float32),
                "rank": np.tile(np.arange(1, k + 1), len(names))[keep],
            }
        )


def deployment_of(model: Model) -> Deployment:
    """What a fitted model needs to be used.

    Args:
        model: fitted, or restored from a run.

    Raises:
        NotFittedError: for any other.
    """
    if not isinstance(model.deployment, Deployment):
        raise NotFittedError(f"{model.name} is not fitted", hint="call fit(data), or palate.restore(folder)")
    return model.deployment


def log_of(model: Model) -> FitLog:
    """What happened when a model was fitted.

    Args:
        model: fitted, or restored from a run.

    Raises:
        NotFittedError: for a model that is not fitted, or whose run holds no log.
    """
    log = deployment_of(model).log
    if log is None:
        raise NotFittedError(f"nothing is known about how {model.name} was fitted", hint="fit it again")
    return log


def rank_candidates(
    model: Ranker,
    deployment: Deployment,
    items: Sequence[Any],
    user: Any,
    history: Iterable[Any] | None,
    context: Mapping[str, Any],
) -> pl.DataFrame:
    """Order candidates for one user, see :meth:`palate.models.base.RankingModel.rank`.

    Args:
        model: fitted ranker.
        deployment: of the model.
        items: external ids.
        user: external id or None.
        history: item ids instead of what is known.
        context: context field -> value.

    Raises:
        DataError: for an unknown item id.
    """
    model.meet_items(deployment.items)
    rows = deployment.items.ids.rows(list(items))
    row = -1 if user is None else int(deployment.users.rows([user], "mark")[0])
    if history is not None:
        past = RaggedArray.of([deployment.items.ids.rows(_many(history)).tolist()])
    else:
        past = deployment.seen.take(np.array([row])) if row >= 0 else RaggedArray.of([[]])
    past = past.newest(model.config.longest)
    known, schema = len(rows), model.tables.schema
    names = [one.column for one in schema if one.owner == "context"]
    values = {name: (str(context[name]),) for name in names if isinstance(context.get(name), str)}
    numbers: dict[str, NDArray[Any]] = {
        name: np.zeros(known, np.int64)
        if name in values
        else np.full(known, float(context.get(name, np.nan)), np.float32)
        for name in names
    }
    events = Events(np.full(known, row), rows, np.zeros(known, np.float32), context=numbers, context_values=values)
    counted = model.counters_now(Asked(events.user, rows))
    batch = impression_batch(
        events,
        np.full(known, row),
        np.zeros(known, np.int64),
        past,
        schema.encode_context(events),
        counted,
    )
    with torch.inference_mode():
        scores = model.logits(batch.to(model.device))["label"].double().sigmoid().cpu().numpy()
    order = np.argsort(-scores, kind="stable")
    return pl.DataFrame(
        {
            "item": deployment.items.ids.ids.gather(rows[order]),
            "probability": scores[order],
            "rank": np.arange(1, known + 1),
        }
    )


def absent_content(failures: Sequence[tuple[str, EncodingFailure]]) -> list[str]:
    """A sentence for each feature some of whose content could not be read.

    Args:
        failures: feature and failure, rows from 0.
    """
    by_feature: dict[str, list[EncodingFailure]] = {}
    for name, failure in failures:
        by_feature.setdefault(name, []).append(failure)
    return [
        f"{name} of {len(found)} item{'s' * (len(found) > 1)} is absent: it could not be read "
        f"(first: row {found[0].row + 1}, {found[0].reason}{f', {found[0].file}' if found[0].file else ''})"
        for name, found in by_feature.items()
    ]


def _absent_content(failures: Failures, known: int) -> list[str]:
    """The same for new items, whose rows are counted in their own table."""
    rows = [(name, replace(one, row=one.row - known if one.row >= known else one.row)) for name, one in failures]
    return absent_content(rows)


def _also_seen(data: Dataset) -> RaggedArray | None:
    """Items that users know from events that are no positives; None if there are none."""
    frame = data.interactions.frame
    rest = ~data.positive.mask(frame)
    if "impression" in frame.columns:
        rest &= frame["impression"].is_null()
    pairs = frame.filter(rest).select("user", "item").unique(maintain_order=True)
    if not len(pairs):
        return None
    return RaggedArray.build(pairs["user"].to_numpy(), pairs["item"].to_numpy(), data.n_users)


def _many(ids: Any) -> list[Any]:
    if isinstance(ids, (str, bytes, int)):
        return [ids]
    return list(ids)
