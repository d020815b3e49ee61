"""Members of a blend: which the data allows, how they are built, and how one that cannot grow takes part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.core.batch import Ints, Lists, UserBatch
from palate.core.errors import ConfigError
from palate.core.model import Matcher, models
from palate.core.scorer import Scorer

if TYPE_CHECKING:
    from palate.data.views import TrainView

MEMBERS = ("ease_content", "freedom", "content_kernel", "content_kernel@raw", "content_kernel@aligned")
DEFAULTS: dict[str, dict[str, Any]] = {"freedom": {"validate_every": 3, "patience": 5, "epochs": 120}}


class Padded(Scorer):
    """A member that cannot score items added later; they are not scorable by it."""

    def __init__(self, base: Scorer, n_items: int) -> None:
        super().__init__(n_items)
        self.base = base

    def score(self, users: UserBatch, items: Ints | None = None) -> Tensor:
        scores = torch.nn.functional.pad(self.base.score(self._older(users)), (0, self.n_items - self.base.n_items))
        return scores if items is None else scores[:, torch.as_tensor(items)]

    def _older(self, users: UserBatch) -> UserBatch:
        """Histories without items the member does not know."""
        history = users.history
        keep = history.items < self.base.n_items
        if keep.all():
            return users
        times = None if history.times is None else history.times[keep]
        indptr = np.concatenate([[0], np.cumsum(np.bincount(history.owners()[keep], minlength=len(history)))])
        return UserBatch(users.rows, Lists(indptr.astype(np.int64), history.items[keep], times), users.attributes)

    def scorable(self) -> NDArray[np.bool_]:
        return np.concatenate([self.base.scorable(), np.zeros(self.n_items - self.base.n_items, bool)])


def member_of(name: str, settings: Mapping[str, Any], dropout: float = 0.0) -> Matcher:
    """An unfitted member from ``name`` or ``name@preset``; ``settings`` win over the preset.

    Args:
        dropout: ``modality_dropout`` of members that know it.
    """
    base, _, preset = name.partition("@")
    kind = models.get(base)
    if preset and preset not in kind.presets:
        raise ConfigError(
            f"{base} has no such preset", key=preset, hint=f"presets: {', '.join(kind.presets) or 'none'}"
        )
    if settings.get("impute", "none") != "none":
        raise ConfigError("content is imputed for all members alike", key="impute", hint="set it on the blend")
    shared = {"modality_dropout": dropout} if dropout and "modality_dropout" in kind.Config.model_fields else {}
    member = kind(**{**shared, **DEFAULTS.get(name, {}), **kind.presets.get(preset, {}), **settings})
    if not isinstance(member, Matcher):
        raise ConfigError("only matchers can be members", key=name)
    return member


def members_for(train: TrainView) -> list[str]:
    """The members this data allows: content models need content, dense closed forms a catalogue they can hold."""
    content = bool(train.features) or bool(train.relations.edges)
    found = []
    for name in MEMBERS:
        kind = models.get(name.partition("@")[0])
        limit = kind.Config.model_fields.get("max_items")
        fits = limit is None or train.n_items <= limit.default
        if fits and (content or not kind.needs.content) and (bool(train.features) or not kind.needs.dense):
            found.append(name)
    return found or (["ease"] if train.n_items <= 25_000 else ["lightgcn"])
