"""What a model file extends: a contract together with the verbs that users call on a fitted model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

import polars as pl

from palate.contracts import Matcher, Ranker
from palate.core.boundary import public
from palate.core.content import Features
from palate.models.fittable import FittableModel as FittableModel
from palate.training import scores
from palate.training.deployment import OnUnknown, deployment_of, rank_candidates


class Recommender(Matcher, FittableModel):
    """A matcher that recommends by external ids. Subclasses give :meth:`scorer`, and ``solve`` or a loss."""

    exports: ClassVar[tuple[str, ...]] = ("lists",)

    @public
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
            filter_seen: leave out what the user has seen, liked or not.
            on_unknown: an unknown user is an ``error``, left out (``skip``), or gets the most popular items
                (``fallback``). A known user without positives gets the most popular items in any case.

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

    @public
    def predict(self, users: Any, items: Any) -> pl.DataFrame:
        """Score pairs of a known user and an item, also items that the user has taken.

        Args:
            users: one external id, which is paired with every item, or one for each item.
            items: one external id, which is paired with every user, or one for each user.

        Returns:
            Columns user, item, score in the order of the pairs; null where the model knows nothing of the item. Scores
            order the items of a user; they are no probabilities.

        Raises:
            NotFittedError: before ``fit``.
            DataError: for an unknown id, or two lists of different lengths.
            UnsupportedError: for a model that lists items without scoring each.
        """
        return scores.predict(self, deployment_of(self), users, items)

    @public
    def item_vectors(self) -> scores.IdVectors:
        """Vectors of all items: ``ids, vectors = model.item_vectors()``; a user's score is the dot product.

        Raises:
            NotFittedError: before ``fit``.
            UnsupportedError: for a model that scores without vectors.
        """
        return scores.item_vectors(self, deployment_of(self))

    @public
    def user_vectors(self, users: Any = None) -> scores.IdVectors:
        """Vectors of known users: ``ids, vectors = model.user_vectors()``.

        Args:
            users: one external id or several; all if not given.

        Raises:
            NotFittedError: before ``fit``.
            DataError: for an unknown id.
            UnsupportedError: for a model that scores without vectors.
        """
        return scores.user_vectors(self, deployment_of(self), users)

    @property
    def user_ids(self) -> pl.Series:
        """External ids of the known users."""
        return deployment_of(self).users.ids

    @property
    def item_ids(self) -> pl.Series:
        """External ids of the items, those added later included."""
        return deployment_of(self).items.ids.ids

    @public
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

    @public
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

    @public
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
