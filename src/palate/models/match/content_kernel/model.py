"""Content kernel: what a user's smoothed profile says about any item, by kernel ridge regression on content.

    h_u = unit(unit(EASE(y_u)) + m unit(y_u)) + c unit(popularity)        over the items seen in fitting
    score(u, i) = h_u (K + ridge I)^-1 k_i,   K = exp(sum_g w_g (mean similarity of the blocks of group g - 1))

EASE (Steck, WWW 2019) fills in what a user would have taken; the exponential of averaged similarities multiplies the
blocks, so that an item is near only where most columns agree. Our own combination; one column or modality is one block.
New items need their kernel row only, new users their history only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import scipy.sparse as sp
import torch
from pydantic import Field

from palate.contracts import Capabilities, InputSpec, Requirements, models
from palate.core.config import ContentConfig
from palate.core.context import RunContext
from palate.core.errors import ConfigError
from palate.core.item_features import ItemFeatures
from palate.core.tuning import Fusion
from palate.models.base import Recommender
from palate.models.match.content_kernel.aligned import AlignedKernel
from palate.models.match.content_kernel.blocks import BlockKernel, kind_of
from palate.models.match.content_kernel.profiles import KernelScorer
from palate.models.match.content_kernel.search import search_kernel
from palate.models.match.content_kernel.table import KernelFit, KernelTable, update_table
from palate.models.match.ease import dense_gram, ease_weights, refuse_large
from palate.ranking.scorer import Scorer

if TYPE_CHECKING:
    from palate.data.views import TrainView


@models.register("content_kernel")
class ContentKernel(Recommender):
    """Kernel ridge regression from content to smoothed behaviour."""

    name = "content_kernel"
    paper = "Palate; kernel ridge regression after EASE (Steck, WWW 2019)"
    capabilities = Capabilities(new_items=True, new_users=True, content=True, fusion=("intermediate",))
    requirements = Requirements(content=True, dense=True, fields=True)
    deterministic = True
    presets = {
        "raw": {
            "judge": "warm",
            "mix": 1e6,
            "l2": 1000.0,
            "popularity": 0.0,
            "sharpness_grid": (2.0, 4.0),
            "ridge_grid": (10.0, 3.0, 1.0),
        },
        "aligned": {
            "kernel": "aligned",
            "judge": "warm",
            "sharpness": 1.0,
            "ridge": 1000.0,
            "mix": 1e6,
            "l2": 1000.0,
            "popularity": 0.0,
            "media": {"directions": 4.0},
        },
    }

    class Config(ContentConfig):
        """Settings of the content kernel; None chooses on items held out as if new.

        The preset ``raw`` leaves behaviour out of the profile, which complements EASE on items that have behaviour.
        With ``modality_dropout``, at any rate, items that lack modalities are scored by a regression on the features
        that they have (see :mod:`palate.models.match.content_kernel.reduced`), which is what dropout would approach.
        """

        fusion: Fusion = Field("intermediate", description="where the modalities of an item are fused")
        sharpness: float | None = Field(
            None, description="weight of words and attributes in the kernel (or of its only group)"
        )
        ridge: float | None = Field(None, description="regularisation of the kernel regression")
        l2: float | None = Field(
            None,
            description="regularisation of EASE, which smooths profiles",
            json_schema_extra={"search": "10..2000:log"},
        )
        mix: float | None = Field(None, description="m, weight of the raw history in a profile")
        popularity: float | None = Field(None, description="c, weight of popularity in a profile")
        media: dict[str, float] | None = Field(
            None, description="group of features -> weight in the kernel; with kernel aligned, directions -> a"
        )
        features: tuple[str, ...] | None = Field(
            None, description="beginnings of the names of features to read; None reads all"
        )
        sharpness_grid: tuple[float, ...] = Field((2.0, 1.0, 4.0), description="values of sharpness tried")
        ridge_grid: tuple[float, ...] = Field((0.3, 0.1, 0.03), description="values of ridge tried")
        l2_grid: tuple[float, ...] = Field((300.0, 100.0, 1000.0), description="values of l2 tried")
        mix_grid: tuple[float, ...] = Field((0.3, 0.1, 0.0), description="values of mix tried")
        popularity_grid: tuple[float, ...] = Field((0.15, 0.0, 0.3), description="values of popularity tried")
        media_grid: tuple[float, ...] = Field(
            (0.0, 0.15, 0.3, 0.6, 1.2, 2.4),
            description="weights tried for each group of media; the first one leaves it out",
        )
        judge: Literal["cold", "warm"] = Field(
            "cold", description="choose on items held out as if new (cold), or on validation as it is (warm)"
        )
        kernel: Literal["product", "aligned"] = Field(
            "product",
            description="product of the similarities of blocks, or aligned: a sum of products that behaviour weighs",
        )
        max_items: int = Field(12_000, description="larger catalogues are refused")
        select_users: int = Field(2_000, description="users that settings are chosen on, at most")

    config: Config

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        self._kinds: dict[str, str] = {}
        self._content = ItemFeatures({})
        self._table: KernelTable | None = None

    def setup(self, train: TrainView) -> None:
        refuse_large(train.n_items, self.config.max_items, self.name)
        super().setup(train)
        visible = {**train.features, **train.fields}
        wanted = {n: f for n, f in visible.items() if self._wanted(n) and f.kind == "pooled" and f.present.any()}
        self._content = ItemFeatures.of(wanted, train.n_items)
        if not self._content:
            raise ConfigError("no content feature is left", key="features", hint="encode text, pictures or attributes")
        self._kinds = {name: kind_of(name, found) for name, found in self._content.items()}
        self._sources = {name: train.sources.get(name, (name.partition(".")[0],)) for name in self._content}
        self._make_kernel({name: found.dim for name, found in self._content.items()})

    def solve(self, train: TrainView, run: RunContext) -> bool:
        chosen = self._given() or search_kernel(self.kernel, self._content, train, self.config, run.metric)
        rows = np.flatnonzero(train.visible_items)
        self.kernel.fit(self._content, rows, train.matrix)
        self._settings = chosen
        matrix = sp.csr_array(train.matrix[:, rows])
        gram = self.kernel.combine(self.kernel.means(self._content, rows, rows), chosen["weights"])
        gram.diagonal().add_(chosen["ridge"])
        self.register_buffer("rows", torch.from_numpy(rows))
        self.register_buffer("smooth", ease_weights(dense_gram(matrix), chosen["l2"]))
        self.register_buffer("solver", torch.cholesky_inverse(torch.linalg.cholesky(gram)))
        popular = torch.from_numpy(np.asarray(matrix.sum(axis=0), np.float32))
        self.register_buffer("popular", chosen["popularity"] * torch.nn.functional.normalize(popular, dim=0))
        self._table = None
        return True

    def _given(self) -> dict[str, Any] | None:
        c = self.config
        if None in (c.sharpness, c.ridge, c.l2, c.mix, c.popularity):
            return None
        weights = {self.kernel.groups[0]: c.sharpness, **(c.media or {})}
        return dict(weights=weights, ridge=c.ridge, l2=c.l2, mix=c.mix, popularity=c.popularity)

    def selected_settings(self) -> dict[str, Any]:
        s = self._settings
        (_, sharp), *media = s["weights"].items()
        return {
            "sharpness": sharp,
            "media": dict(media),
            **{key: s[key] for key in ("ridge", "l2", "mix", "popularity")},
        }

    def update_items(self, features: ItemFeatures) -> None:
        if self._kinds:
            self._content = features.select(self._kinds)

    def on_fit_end(self) -> None:
        # a restored run makes its table of the whole content at once: so does the fitted model, to the same bits
        self._table = None

    def _current_table(self) -> KernelTable:
        """(K + ridge I)^-1 K over all items; made when a scorer first asks after content arrived."""
        if self._table is None or self._table.features is not self._content:
            if not self._content:
                raise ConfigError("content has not arrived", hint="call extend")
            fit = KernelFit(
                self.kernel,
                self.get_buffer("rows").numpy(),
                self._settings,
                self.get_buffer("solver"),
                self._sources if self.config.modality_dropout else None,
            )
            self._table = update_table(fit, self._content, self._table)
        return self._table

    def scorer(self) -> Scorer:
        table = self._current_table()
        place = torch.full((table.out.size,), -1)
        place[self.get_buffer("rows")] = torch.arange(len(self.get_buffer("rows")))
        smooth, popular = self.get_buffer("smooth"), self.get_buffer("popular")
        return KernelScorer(smooth, table.out, popular, place, self._settings["mix"], table.known)

    def extra_state(self) -> dict[str, Any]:
        own = {"settings": self._settings, "kinds": self._kinds, "widths": self._widths}
        return own | {"sources": {name: list(made_of) for name, made_of in self._sources.items()}}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        self._settings, self._kinds = dict(state["settings"]), dict(state["kinds"])
        self._sources = {name: tuple(made_of) for name, made_of in state.get("sources", {}).items()}
        self._make_kernel(state["widths"])

    def _make_kernel(self, widths: Mapping[str, int]) -> None:
        self._widths = dict(widths)
        kind = AlignedKernel if self.config.kernel == "aligned" else BlockKernel
        self.kernel: AlignedKernel | BlockKernel = kind(widths, self._kinds)

    def _wanted(self, name: str) -> bool:
        return self.config.features is None or name.startswith(self.config.features)
