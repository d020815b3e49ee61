"""Content neighbours: score items by how much they resemble what a user took (profiles, Pazzani & Billsus 2007).

score(u, i) = sum_m w_m mean over the history j of cos_m(j, i). Every modality is scaled over what is visible in fitting
(not at all, centred, or standardised by column) and weighted; both are chosen on validation unless given. The mean of
cosines is one product with a profile vector, so neither items x items nor users x items is ever held. A modality that
an item lacks is left out, for it and for those who took it, and the others count in full.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from palate.contracts import Capabilities, InputSpec, Requirements, models
from palate.core.batch import IntArray, UserBatch
from palate.core.config import ContentConfig
from palate.core.context import RunContext
from palate.core.errors import ConfigError, did_you_mean
from palate.core.item_features import ItemFeatures
from palate.features.item_content import ItemContent
from palate.models.base import Recommender
from palate.modules.standardise import Standardiser
from palate.ranking.scorer import Scorer, mean_of
from palate.training.selection import choose

if TYPE_CHECKING:
    from palate.data.views import TrainView

Scaling = Literal["none", "centre", "standardise"]


class ProfileScorer(Scorer):
    """score = mean unit content of the history, by modality, times an item's.

    Args:
        units: for each modality float32 [N, d_m], unit rows, zero where absent.
        present: for each modality bool [N].
        weights: of each modality.
    """

    def __init__(self, units: list[Tensor], present: list[Tensor], weights: list[float]) -> None:
        super().__init__(len(units[0]))
        self.units, self.present, self.weights = units, present, weights
        share = torch.stack([w * mask.float() for w, mask in zip(weights, present)]).sum(0)
        scale = torch.where(share > 0, sum(weights) / share.clamp_min(1e-12), 0.0)
        self.known: NDArray[np.bool_] = (share > 0).cpu().numpy()
        self.items = torch.cat([w * unit for w, unit in zip(weights, units)], 1) * scale[:, None]

    def item_vectors(self, items: IntArray | None = None) -> Tensor:
        return self.items if items is None else self.items[torch.as_tensor(items)]

    def user_vectors(self, users: UserBatch) -> Tensor:
        profiles = []
        for unit, present in zip(self.units, self.present):
            # the mean is over items that have the modality: the share of those is the mean of the mask
            share = mean_of(present[:, None].to(unit.dtype), users.history)
            profiles.append(mean_of(unit, users.history) / share.clamp_min(1e-12))
        return torch.cat(profiles, 1)

    def scorable(self) -> NDArray[np.bool_]:
        return self.known


@models.register("content_knn")
class ContentKNN(Recommender):
    """Items that resemble a user's history; no behaviour of other users."""

    name = "content_knn"
    paper = "Pazzani & Billsus, Content-Based Recommendation Systems, The Adaptive Web 2007"
    capabilities = Capabilities(new_items=True, new_users=True, content=True, fusion=("late",))
    requirements = Requirements(content=True, dense=True)

    class Config(ContentConfig):
        """Settings of content neighbours; None chooses on validation."""

        weights: dict[str, float] | None = Field(None, description="feature or modality -> weight")
        scaling: dict[str, Scaling] | None = Field(
            None, description="feature or modality -> how its columns are scaled"
        )
        grid: tuple[float, ...] = Field(
            (0.0, 0.25, 0.5, 1.0),
            min_length=1,
            description="weights tried for each feature but the best one, which has weight 1; with modality_dropout "
            "they are chosen while items lack modalities at that rate, and none is 0",
        )

    config: Config

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        self.content = ItemContent(shape.features, False, self.config.modality_dropout)
        self.columns = Standardiser(shape.features)
        self._weights: dict[str, float] = {}
        self._scaling: dict[str, Scaling] = {}

    @property
    def older_names(self) -> dict[str, str]:
        """Names of buffers in runs of earlier versions -> names of today."""
        places = range(len(self.content.names))
        means = {f"mean_{place}": f"columns.mean_{place}" for place in places}
        return means | {f"inverse_{place}": f"columns.scale_{place}" for place in places}

    def solve(self, train: TrainView, run: RunContext) -> bool:
        """Choose scaling and weights.

        Args:
            train: all that training may see.
            run: metric that validation maximises.

        Raises:
            ConfigError: if a setting names a feature that the data do not have.
        """
        names = self.content.names
        for given in (self.config.weights or {}), (self.config.scaling or {}):
            known = {*names, *(name.partition(".")[0] for name in names)}
            for name in given:
                if name not in known:
                    raise ConfigError("no such feature", key=name, hint=did_you_mean(name, known))
        self.columns.fit(train.features)
        self._weights = {name: 1.0 for name in names}
        self._scaling = {name: _setting_of(self.config.scaling, name, "centre") for name in names}
        # validation asks about items hidden in fitting: their content arrives as a new item's would
        self.update_items(ItemFeatures.of(train.all_features or train.features, train.n_items))
        self.content.train()
        self._choose(train, run)
        self.content.eval()
        self.update_items(ItemFeatures.of(train.features, train.n_items))
        return True

    def _choose(self, train: TrainView, run: RunContext) -> None:
        names = self.content.names
        alone: dict[str, float] = {}

        for name in names:
            given = _setting_of(self.config.scaling, name, None)
            candidates: tuple[Scaling, ...] = ("centre", "none", "standardise") if given is None else (given,)
            self._weights = {other: float(other == name) for other in names}
            self._scaling[name], alone[name] = choose(train, candidates, partial(self._with_scaling, name), run.metric)
        if self.config.weights is not None:
            self._weights = {name: _setting_of(self.config.weights, name, 1.0) for name in names}
        elif train.valid is None:
            self._weights = dict.fromkeys(names, 1.0)
        else:
            grid = self.config.grid
            if self.config.modality_dropout:
                # an item may have nothing else, so no feature is without weight
                grid = tuple(filter(None, grid)) or (1.0,)
            first, *others = sorted(names, key=lambda name: -alone[name])
            self._weights = {name: float(name == first) for name in names}
            for name in others:
                self._weights[name], _ = choose(train, grid, partial(self._with_weight, name), run.metric)

    def _with_scaling(self, name: str, scaling: Scaling) -> Scorer:
        self._scaling[name] = scaling
        return self.scorer()

    def _with_weight(self, name: str, weight: float) -> Scorer:
        self._weights[name] = weight
        return self.scorer()

    def selected_settings(self) -> dict[str, Any]:
        return {"weights": self._weights, "scaling": self._scaling}

    def extra_state(self) -> dict[str, Any]:
        return self.selected_settings()

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        self._weights, self._scaling = dict(state["weights"]), dict(state["scaling"])

    def update_items(self, features: ItemFeatures) -> None:
        self.content.load(features)

    def scorer(self) -> Scorer:
        used = [name for name in self.content.names if self._weights[name] > 0] or list(self.content.names[:1])
        parts = [self._units(name) for name in used]
        return ProfileScorer(
            [u for u, _ in parts], [p for _, p in parts], [self._weights[name] or 1.0 for name in used]
        )

    def _units(self, name: str) -> tuple[Tensor, Tensor]:
        values, present = self.content.rows(name)
        if self._scaling[name] == "centre":
            values = self.columns.centre(name, values)
        if self._scaling[name] == "standardise":
            values = self.columns(name, values)
        return F.normalize(values, dim=1) * present[:, None], present


def _setting_of(given: Mapping[str, Any] | None, name: str, default: Any) -> Any:
    """The setting given for a feature, else for its modality (before the dot), else ``default``."""
    settings = given or {}
    return settings.get(name, settings.get(name.partition(".")[0], default))
