"""What a model file extends: a contract together with the verbs that users call on a fitted model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import polars as pl

from palate.contracts import Matcher, Model, Ranker
from palate.core.content import Features
from palate.data.dataset import Dataset
from palate.features.plan import ContentPlan
from palate.training.deployment import OnUnknown, deployment_of, rank_candidates
from palate.training.fit import fit
from palate.training.saving import save


class FittableModel(Model):
    """A model that is fitted to a dataset and saved as a run."""

    def fit(
        self,
        data: Dataset,
        *,
        seed: int = 0,
        content: ContentPlan | None = None,
        checkpoint: str | Path | None = None,
        device: str = "auto",
        metric: str | None = None,
        refit: bool = True,
        init_from: str | Path | None = None,
        artifacts: Mapping[str, str | Path] | None = None,
        checkpoint_seconds: float = 30.0,
        workers: int = 0,
    ) -> Self:
        """Train on ``data``: encode, select on validation, refit where the protocol says so. Test is never read.

        Args:
            data: dataset with a split, see :func:`palate.load`.
            seed: same seed, same bits on a CPU.
            content: encoders by feature name and where vectors are kept; planned from the data if not given.
            checkpoint: folder; training that was killed resumes from it to the same bits.
            device: ``auto`` takes CUDA when present.
            metric: what validation selects on; the headline of the task if not given.
            refit: False stops after selection also where the protocol would train again.
            init_from: a run whose weights training starts from, wherever name and shape agree.
            artifacts: name -> run that holds it, for models that require artifacts of other runs.
            checkpoint_seconds: at least this many seconds between two writes of a checkpoint.
            workers: processes that prepare batches, for models whose batches allow it.

        Returns:
            The model itself, fitted.

        Raises:
            ConfigError: when the data lack what the model requires, or no weight of ``init_from`` fits.
            TrainingError: when the loss is not finite.
        """
        return fit(
            self,
            data,
            seed=seed,
            content=content,
            checkpoint=checkpoint,
            device=device,
            metric=metric,
            refit=refit,
            init_from=init_from,
            artifacts=artifacts,
            checkpoint_seconds=checkpoint_seconds,
            workers=workers,
        )

    def save(self, folder: str | Path) -> Path:
        """Write a run folder that works on any machine.

        Args:
            folder: replaced as a whole if it is a run.

        Returns:
            The folder.

        Raises:
            NotFittedError: before :meth:`fit`.
        """
        return save(self, folder)


class Recommender(Matcher, FittableModel):
    """A matcher that recommends by external ids. Subclasses give :meth:`scorer`, and ``solve`` or a loss."""

    exports: ClassVar[tuple[str, ...]] = ("lists",)

    def recommend(
        self,
        users: Any = None,
        k: int = 10,
        *,
        history: Iterable[Any] | None = None,
        allowed: Iterable[Any] | None = None,
        exclude: Iterable[Any] | None = None,
        filter_seen: bool = True,
        on_unknown: OnUnknown = "error",
    ) -> pl.DataFrame:
        """Recommend items to known users, or to a user of whom only a history is known.

        Args:
            users: one external id or several.
            k: items a user.
            history: item ids, oldest first, instead of ``users``.
            allowed: only these items.
            exclude: never these items.
            filter_seen: leave out what the user has taken.
            on_unknown: an unknown user is an ``error``, left out (``skip``), or gets the most popular items
                (``fallback``).

        Returns:
            Columns user, item, score, rank (1 is best); fewer rows than ``k`` a user when candidates run out.

        Raises:
            NotFittedError: before ``fit``.
            DataError: for an unknown id, or when neither or both of ``users`` and ``history`` are given.
            UnsupportedError: for a history in a model that serves known users only.
        """
        return deployment_of(self).recommend(
            self,
            users,
            k,
            history=history,
            allowed=allowed,
            exclude=exclude,
            filter_seen=filter_seen,
            on_unknown=on_unknown,
        )

    def similar_items(self, item: Any, k: int = 10) -> pl.DataFrame:
        """Recommend to a user who took only ``item``.

        Args:
            item: external id.
            k: number of items.

        Returns:
            Columns item, score, rank.

        Raises:
            NotFittedError: before ``fit``.
            DataError: for an unknown id.
            UnsupportedError: for a model that serves known users only.
        """
        return deployment_of(self).similar(self, item, k)

    def add_items(self, frame: Any, features: Mapping[str, Any | Features] | None = None) -> Self:
        """Encode new catalogue rows and make them recommendable at once; nothing is retrained.

        Args:
            frame: pandas or polars rows with the catalogue's columns; missing ones are absent content.
            features: modality -> vectors [rows, d] (or ``Features``) for modalities that came as ready vectors; a
                modality left out is absent in the new items.

        Returns:
            The model itself.

        Raises:
            NotFittedError: before ``fit``.
            DataError: without an id column, or for an id that exists.
            UnsupportedError: for a model that cannot score new items.
        """
        deployment_of(self).add_items(self, frame, features)
        return self


class RankingModel(Ranker, FittableModel):
    """A ranker that orders candidates by external ids. Subclasses give :meth:`logits`."""

    def rank(
        self,
        items: Iterable[Any],
        user: Any = None,
        *,
        history: Iterable[Any] | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> pl.DataFrame:
        """Order candidates for one user.

        Args:
            items: external ids of the candidates.
            user: external id; None, or an id that is unknown, is a user without a row in the table.
            history: item ids, oldest first, instead of what the user is known to have taken.
            context: context field -> value, the same for all candidates.

        Returns:
            Columns item, probability (sigmoid of the model's score), rank (1 is best).

        Raises:
            NotFittedError: before ``fit``.
            DataError: for an unknown item id.
        """
        return rank_candidates(self, deployment_of(self), list(items), user, history, context or {})
