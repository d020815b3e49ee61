"""Content kernel: kernel ridge regression from content to users' smoothed profiles, which scores any item.

    h_u = unit(unit(EASE(y_u)) + m unit(y_u)) + c unit(popularity)        over the items seen in fitting
    score(u, i) = h_u (K + ridge I)^-1 k_i,   K = exp(sum_g w_g (mean similarity of the blocks of group g - 1))

EASE (Steck, WWW 2019) fills in what a user would have taken; the exponential of averaged similarities multiplies the
blocks, so that an item is near only where most columns agree. Our own combination; one column or modality is one block.
New items need their kernel row only, new users their history only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
import torch

from palate.contracts import Capabilities, InputSpec, Requirements, models
from palate.core.context import RunContext
from palate.core.errors import ConfigError
from palate.core.item_features import ItemFeatures
from palate.models.base import Recommender
from palate.models.match.content_kernel.aligned import AlignedKernel
from palate.models.match.content_kernel.blocks import BlockKernel, kind_of
from palate.models.match.content_kernel.config import KernelConfig
from palate.models.match.content_kernel.factor import cholesky
from palate.models.match.content_kernel.profiles import KernelScorer
from palate.models.match.content_kernel.search import SEARCH_ROWS, kernels_tried, search_kernel
from palate.models.match.content_kernel.table import KernelFit, KernelTable, update_table
from palate.models.match.ease import dense_gram, ease_weights, inverse, refuse_large
from palate.models.match.shared.columns import Columns
from palate.models.match.shared.cost import say_cost
from palate.ranking.scorer import Scorer

if TYPE_CHECKING:
    from palate.data.views import TrainView

MATRICES = 4
"""Dense items x items matrices at the peak beside one for each group: the kernel, its inverse, EASE, and the table."""


@models.register("content_kernel")
class ContentKernel(Recommender):
    """Kernel ridge regression from content to smoothed behaviour."""

    name = "content_kernel"
    paper = "Palate; kernel ridge regression after EASE (Steck, WWW 2019)"
    capabilities = Capabilities(new_items=True, new_users=True, content=True, fusion=("intermediate",))
    requirements = Requirements(content=True, dense=True, fields=True)
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

    Config = KernelConfig
    config: KernelConfig

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        self._kinds: dict[str, str] = {}
        self._features = ItemFeatures({})
        self._table: KernelTable | None = None

    def setup(self, train: TrainView, run: RunContext) -> None:
        """Select features and build the kernel.

        Args:
            train: all that training may see.
            run: seed and metric.

        Raises:
            ConfigError: if the catalogue is too large, also for the memory that is free, or no feature is left.
        """
        refuse_large(train.n_items, self.config.max_items, self.name)
        super().setup(train, run)
        visible = {**train.features, **train.fields}
        wanted = {n: f for n, f in visible.items() if self._selected(n) and f.kind == "pooled" and f.present.any()}
        self._features = ItemFeatures.of(wanted, train.n_items)
        if not self._features:
            raise ConfigError("no content feature is left", key="features", hint="encode text, pictures or attributes")
        self._kinds = {name: kind_of(name, vectors) for name, vectors in self._features.items()}
        self._sources = {name: train.sources.get(name, (name.partition(".")[0],)) for name in self._features}
        self._make_kernel({name: vectors.dim for name, vectors in self._features.items()})
        matrices = MATRICES + len(self.kernel.groups)
        say_cost(self.name, train.n_items, matrices, self._inverses(train.n_items), inverse)

    def _inverses(self, n_items: int) -> int:
        """Inverses of [n_items, n_items] that take as long as the fit, the search on a part of the items included."""
        c, part = self.config, (min(n_items, SEARCH_ROWS) / n_items) ** 3
        smoothed = len(c.l2_grid) if c.l2 is None else 1
        searched = 0 if self._given() else kernels_tried(self.kernel.groups, c) + smoothed
        return 2 + round(searched * part)

    def solve(self, train: TrainView, run: RunContext) -> bool:
        chosen = self._given() or search_kernel(self.kernel, self._features, train, self.config, run)
        rows = np.flatnonzero(train.visible_items)
        self.kernel.fit(self._features, rows, train.matrix)
        self._settings = chosen
        matrix = sp.csr_array(train.matrix[:, rows])
        gram = self.kernel.combine(self.kernel.means(self._features, rows, rows), chosen["weights"])
        gram.diagonal().add_(chosen["ridge"])
        self.register_buffer("rows", torch.from_numpy(rows))
        self.register_buffer("smooth", ease_weights(dense_gram(matrix), chosen["l2"]))
        self.register_buffer("solver", torch.cholesky_inverse(cholesky(gram)))
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
            self._features = features.select(self._kinds)
        out, known = (self._buffers.pop(name, None) for name in ("table", "known"))
        if out is not None and known is not None and out.shape[1] == features.n_items:
            self._table = KernelTable(self._features, Columns.of(out), known.numpy(), {})

    def derived_tensors(self) -> dict[str, torch.Tensor]:
        table = self._current_table()
        # scoring with columns kept apart rounds differently: this model and the restored one hold the same table
        self._table = replace(table, out=Columns.of(table.out.dense().contiguous()))
        return {"table": self._table.out.base, "known": torch.from_numpy(table.known)}

    def on_fit_end(self) -> None:
        # the table of the finished model is computed from all content at once, with the same bits on every machine
        self._table = None

    def _current_table(self) -> KernelTable:
        """(K + ridge I)^-1 K over all items, computed for the first scorer after content arrived."""
        if self._table is None or self._table.features is not self._features:
            if not self._features:
                raise ConfigError("the items' content is not loaded", hint="call update_items(features) first")
            fit = KernelFit(
                self.kernel,
                self.get_buffer("rows").numpy(),
                self._settings,
                self.get_buffer("solver"),
                self._sources if self.config.modality_dropout else None,
            )
            self._table = update_table(fit, self._features, self._table)
        return self._table

    def scorer(self) -> Scorer:
        table = self._current_table()
        place = torch.full((table.out.size,), -1)
        place[self.get_buffer("rows")] = torch.arange(len(self.get_buffer("rows")))
        smooth, popular = self.get_buffer("smooth"), self.get_buffer("popular")
        return KernelScorer(smooth, table.out, popular, place, self._settings["mix"], table.known)

    def extra_state(self) -> dict[str, Any]:
        own = {"settings": self._settings, "kinds": self._kinds, "widths": self._widths}
        return own | {"sources": {name: list(sources) for name, sources in self._sources.items()}}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        self._settings, self._kinds = dict(state["settings"]), dict(state["kinds"])
        self._sources = {name: tuple(sources) for name, sources in state.get("sources", {}).items()}
        self._make_kernel(state["widths"])

    def _make_kernel(self, widths: Mapping[str, int]) -> None:
        self._widths = dict(widths)
        kind = AlignedKernel if self.config.kernel == "aligned" else BlockKernel
        self.kernel: AlignedKernel | BlockKernel = kind(widths, self._kinds)

    def _selected(self, name: str) -> bool:
        return self.config.features is None or name.startswith(self.config.features)
