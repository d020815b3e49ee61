"""EASE with content: item-item regression shrunk towards the content graph, in closed form.

    argmin_B ||W^1/2 (X - X B)||^2 + l2 ||B - b S||^2,  diag B = 0,

with S the item-item graph of the content (k nearest neighbours, D^-1/2 A D^-1/2, no diagonal) and W = diag(n_u^-power),
scaled to keep the number of interactions. With P = (X^T W X + l2 I)^-1 and A = l2 (b P S - P):
B = A - P diag((1 + A_jj) / P_jj), then a zero diagonal. Histories are widened to X (I + a T), T the row-normalised S.
At b = 0, a = 0, power = 0 it is EASE (Steck, WWW 2019); a prior mean in this place is our own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field
from torch import Tensor

from palate.contracts import Capabilities, InputSpec, Requirements, models
from palate.core.config import ContentConfig
from palate.core.context import RunContext
from palate.core.item_features import ItemFeatures
from palate.core.progress import progress
from palate.core.tuning import Fusion
from palate.features.item_content import ItemContent
from palate.models.base import Recommender
from palate.models.match.ease import ItemItemScorer, inverse, refuse_large
from palate.models.match.ease_content.prior import prior_graph, prior_weights, row_normalised, weighted_gram, widened
from palate.models.match.ease_content.scorer import ArrivalsScorer
from palate.models.match.shared.cost import say_cost
from palate.models.match.shared.nearest import Near, nearest
from palate.ranking.scorer import Scorer
from palate.training.selection import choose

if TYPE_CHECKING:
    from palate.data.views import TrainView


MATRICES = 4
"""Dense items x items matrices at the peak: X^T W X, its inverse, and the weights before and after widening."""
Setting = tuple[float, float, float, float]
LARGE = 10_000
"""Above this many items a second inverse costs more than it is likely to find: l2 and power keep their defaults."""


@models.register("ease_content")
class EASEContent(Recommender):
    """EASE whose weights lean towards content neighbours."""

    name = "ease_content"
    paper = "Palate; after Steck, WWW 2019"
    capabilities = Capabilities(new_items=True, new_users=True, content=True, fusion=("intermediate",))
    requirements = Requirements(content=True)

    class Config(ContentConfig):
        """Settings of EASE with content; None chooses from a grid on validation.

        With ``modality_dropout`` S is the mean over what it leaves of modalities.
        """

        fusion: Fusion = Field("intermediate", description="where the modalities of an item are fused")
        l2: float | None = Field(None, gt=0, description="regularisation", json_schema_extra={"search": "10..2000:log"})
        prior: float | None = Field(
            None,
            ge=0,
            description="b, weight of the content graph in the prior mean",
            json_schema_extra={"search": "0.0..0.5"},
        )
        widen: float | None = Field(None, ge=0, description="a, share of content neighbours added to histories")
        power: float | None = Field(None, description="exponent of the users' activity weight")
        k: int = Field(10, ge=1, description="content neighbours of an item, the item included")
        weights: dict[str, float] | None = Field(
            None, description="modality -> weight in S; None takes .1 for pictures and video, .9 for others"
        )
        l2_grid: tuple[float, ...] = Field((200.0, 400.0, 100.0, 50.0), description="values of l2 tried")
        power_grid: tuple[float, ...] = Field((0.5, 0.0), description="values of power tried")
        prior_grid: tuple[float, ...] = Field((0.1, 0.2, 0.05, 0.0), description="values of prior tried")
        widen_grid: tuple[float, ...] = Field((0.3, 0.0), description="values of widen tried")
        max_items: int = Field(25_000, description="larger catalogues are refused")
        select_users: int = Field(5_000, description="validation users that settings are chosen on, at most")

    config: Config

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        self.content = ItemContent(shape.features, standardise=True)
        self._near: Near | None = None

    def setup(self, train: TrainView, run: RunContext) -> None:
        refuse_large(train.n_items, self.config.max_items, self.name)
        say_cost(self.name, train.n_items, MATRICES, self._inverses(train), inverse)
        super().setup(train, run)
        self.content.fit(ItemFeatures.of(train.features, train.n_items))
        self.register_buffer("known", torch.from_numpy(train.warm_items))

    def solve(self, train: TrainView, run: RunContext) -> bool:
        c = self.config
        graph = prior_graph(train, self.content, c.k, c.weights, c.modality_dropout)
        wide = row_normalised(graph)
        view = train.sampled(c.select_users, run.seed)
        inverses: dict[tuple[float, float], Tensor] = {}

        def weights_at(setting: Setting) -> Tensor:
            l2, power, b, a = setting
            if (l2, power) not in inverses:
                inverses.clear()
                inverses[l2, power] = inverse(weighted_gram(train.matrix, power), l2)
            return widened(prior_weights(inverses[l2, power], graph, l2, b), wide, a)

        given = (c.l2, c.power, c.prior, c.widen)
        grids = [c.l2_grid, c.power_grid, c.prior_grid, c.widen_grid]
        first = [grid[0] if value is None else value for value, grid in zip(given, grids)]
        best: Setting = (first[0], first[1], first[2], first[3])
        if view.valid is not None:
            fixed = [v is not None or (axis < 2 and train.n_items > LARGE) for axis, v in enumerate(given)]
            searched = [(best[axis],) if fixed[axis] else grid for axis, grid in enumerate(grids)]
            best = self._search(view, best, searched, weights_at, run.metric)
        self._setting = best
        self.register_buffer("weights", weights_at(best))
        return True

    def _inverses(self, train: TrainView) -> int:
        """Inverses that the search computes: one for each value of l2 and of power that is tried."""
        c = self.config
        if train.valid is None or train.n_items > LARGE:
            return 1
        return 1 + sum(len(grid) for value, grid in ((c.l2, c.l2_grid), (c.power, c.power_grid)) if value is None)

    def _search(
        self,
        view: TrainView,
        start: Setting,
        grids: list[tuple[float, ...]],
        weights_at: Callable[[Setting], Tensor],
        metric: str,
    ) -> Setting:
        """One setting after the other, each at its best on validation before the next; a setting is judged once."""
        judged: dict[Setting, float] = {}

        def score(setting: Setting) -> float:
            if setting not in judged:
                judged[setting] = choose(view, (setting,), lambda at: self._over(weights_at(at)), metric)[1]
            return judged[setting]

        best = start
        with progress("choosing settings", sum(len(grid) for grid in grids), eta=False) as advance:
            for axis, grid in enumerate(grids):
                for value in grid:
                    tried = list(best)
                    tried[axis] = value
                    setting = (tried[0], tried[1], tried[2], tried[3])
                    if score(setting) > score(best):
                        best = setting
                    advance(1)
        return best

    def selected_settings(self) -> dict[str, Any]:
        return dict(zip(("l2", "power", "prior", "widen"), self._setting))

    def update_items(self, features: ItemFeatures) -> None:
        known = self.get_buffer("known")
        self._near = nearest(self.content, features, known, self.config.k, self.config.weights, self._near)

    def scorer(self) -> Scorer:
        weights, known = self.get_buffer("weights"), self.get_buffer("known")
        if self._near is None:
            return self._over(weights)
        return ArrivalsScorer(weights, known, self._near, self._setting[2])

    def extra_state(self) -> dict[str, Any]:
        return {"setting": list(self._setting)}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        l2, power, b, a = state["setting"]
        self._setting = (l2, power, b, a)

    def _over(self, weights: Tensor) -> Scorer:
        return ItemItemScorer(weights, self.get_buffer("known").numpy())
