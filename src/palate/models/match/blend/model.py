"""Blend, the default: several members, weighted separately for warm and for cold items.

Scores are standardised per user over the items known in training, so that adding items changes no score. Weights are
chosen on the warm and on the cold part of validation, then an offset of the items that were in the catalogue and that
nobody took; on validation the blend is never below one of its members. A member that has no score for an item is left
out of that item's mean. Our own recipe; weighted z-score fusion goes back to Fox and Shaw (TREC 1994).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import Capabilities, InputSpec, Matcher, Requirements, models
from palate.core.config import ContentConfig
from palate.core.context import RunContext
from palate.core.errors import ConfigError
from palate.core.item_features import ItemFeatures
from palate.core.progress import track
from palate.models.base import Recommender
from palate.models.match.blend.by_slice import Weights, choose_weights
from palate.models.match.blend.members import member_of, members_for, scorers_of
from palate.models.match.blend.scorer import BlendScorer
from palate.ranking.scorer import Scorer
from palate.training.fit import fit_member

if TYPE_CHECKING:
    from palate.data.views import TrainView


@models.register("blend")
class Blend(Recommender):
    """Members weighted per slice on validation."""

    name = "blend"
    paper = "Palate; z-score fusion after Fox and Shaw, TREC 1994"
    capabilities = Capabilities(new_items=True, new_users=True, content=True, fusion=("late",))
    requirements = Requirements(fields=True)
    exports = ("vectors of members", "lists")

    class Config(ContentConfig):
        """Settings of the blend.

        ``modality_dropout`` holds for all members whose settings do not say otherwise.
        """

        members: tuple[str, ...] | None = Field(
            None, description="model names, name@preset allowed; None takes those that the data allow"
        )
        settings: dict[str, dict[str, Any]] = Field({}, description="member -> its settings")
        warm_weights: tuple[float, ...] | None = Field(
            None, description="a weight for each member, for items with behaviour; None chooses on validation"
        )
        cold_weights: tuple[float, ...] | None = Field(
            None, description="a weight for each member, for items without behaviour; None chooses on validation"
        )
        cold_offset: float | None = Field(
            None, description="added to the scores of items known without behaviour; None chooses on validation"
        )

    config: Config

    _names: Sequence[str] = ()

    def __init__(self, config: ContentConfig | None = None, **settings: Any) -> None:
        super().__init__(config, **settings)
        kinds = [models.get(name.partition("@")[0]) for name in self.config.members or ()]
        self.requirements = Requirements(fields=True, dense=any(kind.requirements.dense for kind in kinds))  # type: ignore[misc]

    def setup(self, train: TrainView, run: RunContext) -> None:
        """Choose the members.

        Args:
            train: all that training may see.
            run: seed and metric.

        Raises:
            ConfigError: if there are no members, or one cannot be built.
        """
        self._names = list(self.config.members or members_for(train))
        if not self._names:
            raise ConfigError("the blend has no members", key="members", hint="name at least one model")
        super().setup(train, run)
        self.register_buffer("warm", torch.from_numpy(train.warm_items))

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        given, dropout = self.config.settings, self.config.modality_dropout
        self.matchers = nn.ModuleList(member_of(name, given.get(name, {}), dropout) for name in self._names)

    def solve(self, train: TrainView, run: RunContext) -> bool:
        self._chosen: dict[str, dict[str, Any]] = {}
        named = list(enumerate(zip(self._names, self._matchers())))
        for index, (name, member) in track(named, "member", names=lambda one: one[1][0]):
            chosen = fit_member(member, train, run.member(f"{index}-{name}"))
            self._chosen[name] = {**member.config.model_dump(exclude_defaults=True), **chosen}
        if not train.visible_items.all():
            self.update_items(ItemFeatures.of(train.all_features, train.n_items))
        scorers = scorers_of(self._names, self._matchers())
        rows = [np.flatnonzero(s.scorable() & train.visible_items & train.warm_items) for s in scorers]
        for index, known in enumerate(rows):
            self.register_buffer(f"known_{index}", torch.from_numpy(known))
        c = self.config
        self._weights = choose_weights(
            scorers, self._names, self._known(), train, run, c.warm_weights, c.cold_weights, c.cold_offset
        )
        self._catalogue = train.n_items
        if not train.visible_items.all():
            self.update_items(ItemFeatures.of(train.visible, train.n_items))
        return True

    def selected_settings(self) -> dict[str, Any]:
        found = self._weights
        return {
            "members": tuple(self._names),
            "settings": self._chosen,
            "warm_weights": tuple(found.warm),
            "cold_weights": tuple(found.cold),
            "cold_offset": found.offset,
        }

    def on_fit_end(self) -> None:
        for member in self._matchers():
            member.on_fit_end()

    def update_items(self, features: ItemFeatures) -> None:
        n_items = features.n_items
        for member in self._matchers():
            if member.capabilities.new_items or member.input_spec is None or n_items == member.input_spec.n_items:
                member.update_items(features)
        warm = self.get_buffer("warm")
        if n_items > len(warm):
            grown = torch.cat([warm, warm.new_zeros(n_items - len(warm))])
            self.register_buffer("warm", grown)

    def scorer(self) -> Scorer:
        weights, warm = self._weights, self.get_buffer("warm")
        n_items = len(warm)
        scorers = scorers_of(self._names, self._matchers(), n_items)
        offsets = torch.where(warm, 0.0, weights.offset)
        offsets[self._catalogue :] = 0.0
        high, low = (torch.tensor(part, dtype=torch.float32) for part in (weights.warm, weights.cold))
        return BlendScorer(scorers, self._known(), high, low, warm, self._names, offsets)

    def user_tensors(self) -> dict[str, slice]:
        owned = (
            (f"matchers.{place}.{name}", rows)
            for place, m in enumerate(self._matchers())
            for name, rows in m.user_tensors().items()
        )
        return dict(owned)

    def training_tensors(self) -> set[str]:
        return {f"matchers.{place}.{name}" for place, m in enumerate(self._matchers()) for name in m.training_tensors()}

    def extra_state(self) -> dict[str, Any]:
        nested = [member.extra_state() for member in self._matchers()]
        shapes = [dict(member.input_spec.features) if member.input_spec else {} for member in self._matchers()]
        state = {"names": self._names, "weights": vars(self._weights), "catalogue": self._catalogue}
        return {**state, "members": nested, "features": shapes}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Build the members and restore their state.

        Args:
            state: from :meth:`extra_state`.

        Raises:
            ConfigError: before :meth:`build`.
        """
        # older runs have neither offset nor validation
        self._weights = Weights(**state["weights"])
        if self.input_spec is None:
            raise ConfigError("the blend is not built", hint="call build(shape) first")
        self._names, self._catalogue = list(state["names"]), state.get("catalogue", self.input_spec.n_items)
        self.build(self.input_spec)
        for member, nested, features in zip(self._matchers(), state["members"], state["features"]):
            member.build(InputSpec(self.input_spec.n_users, self.input_spec.n_items, features))
            member.load_extra_state(nested)

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        # runs written before 0.2 call the list of members "members"
        super().load_tensors({re.sub(r"^members\.", "matchers.", name): tensor for name, tensor in tensors.items()})

    def members(self) -> Mapping[str, Matcher]:
        return dict(zip(self._names, self._matchers()))

    def _matchers(self) -> list[Matcher]:
        return [member for member in self.matchers if isinstance(member, Matcher)]

    def _known(self) -> list[Tensor]:
        return [self.get_buffer(f"known_{index}") for index in range(len(self._names))]
