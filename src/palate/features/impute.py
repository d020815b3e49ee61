"""What a missing modality's vectors may have been, predicted from the modalities that an item has.

    z = (x - mean) V / s            leading directions of each feature, its whole variance brought to 1
    x' = mean + s f(z of what is there) V^T

f is chosen by ``kind`` (see ``_predict``). A missing-feature predictor by regression or InfoNCE is what Dong et al.
(RecSys 2020 tutorial) draw up for missing information; the common space and the choice of f are ours. It is fitted to
what training may see; predicted vectors are marked present, and an item without any modality stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.core.content import Features, modalities_of
from palate.core.errors import DataError
from palate.core.seeding import isolated, seed_torch
from palate.features.predictors import FeatureLayout, NetPredictor, Predictor, RidgePredictor

Kind = Literal["ridge", "mlp", "infonce"]
Impute = Kind | Literal["none"]
DIRECTIONS = 64
"""Leading directions of a feature at most."""
SPARSE = 0.25
"""A feature without negative values of which fewer entries than this differ from 0 is predicted as sparse."""

Bools = NDArray[np.bool_]


@dataclass
class _Space:
    """One feature's directions: mean [d], basis [d, r], scale s, and entries of a sparse vector (0: not sparse)."""

    mean: Tensor
    basis: Tensor
    scale: float
    entries: int

    @classmethod
    def of(cls, found: Features) -> _Space:
        values = torch.from_numpy(found.values[found.present].astype(np.float32))
        if len(values) < 2:
            return cls(torch.zeros(found.dim), torch.zeros(found.dim, 1), 1.0, 0)
        mean, share = values.mean(0), float((values != 0).float().mean())
        entries = max(1, round(share * found.dim)) if share < SPARSE and bool((values >= 0).all()) else 0
        centred = values - mean
        rank = min(DIRECTIONS, *values.shape)
        basis = torch.svd_lowrank(centred, q=min(rank + 16, *values.shape), niter=4)[2][:, :rank]
        scale = float(centred.square().sum(1).mean().sqrt())
        return cls(mean, basis.contiguous(), max(scale, 1e-6), entries)

    def read(self, found: Features) -> Tensor:
        """z float32 [n, r], zero where absent."""
        z = (torch.from_numpy(found.values.astype(np.float32)) - self.mean) @ self.basis / self.scale
        return torch.where(torch.from_numpy(found.present)[:, None], z, 0.0)

    def vectors(self, z: Tensor) -> NDArray[np.float32]:
        """x' float32 [n, d]."""
        x = self.mean + self.scale * z @ self.basis.T
        if self.entries:
            least = x.topk(self.entries, dim=1).values[:, -1:].clamp(min=0)
            x = torch.where(x >= least, x, 0.0).clamp_(min=0)
        return x.numpy()


class Imputer:
    """Fills modalities that items lack.

    Args:
        kind: how to predict. sources: feature -> the modalities it is made of.
    """

    def __init__(self, kind: Kind, sources: Mapping[str, tuple[str, ...]]) -> None:
        self.kind, self.sources = kind, dict(sources)
        self.modalities = tuple(dict.fromkeys(m for made_of in sources.values() for m in made_of))
        self._spaces: dict[str, _Space] = {}
        self._predictor: Predictor | None = None

    @isolated
    def fit(self, content: Mapping[str, Features]) -> Imputer:
        """Learn from ``content``, in which only what may be seen is present; always from the same random start."""
        seed_torch(0, "impute", self.kind)
        pooled = {name: found for name, found in content.items() if found.kind == "pooled" and name in self.sources}
        self._spaces = {name: _Space.of(found) for name, found in pooled.items()}
        z, here = self._read(pooled), self._here(pooled)
        rows = torch.from_numpy(np.flatnonzero(here.any(0)))
        present = np.stack([found.present for found in pooled.values()])
        self._predictor = self._unfitted().fit(
            z[rows], torch.from_numpy(here)[:, rows], torch.from_numpy(present)[:, rows]
        )
        return self

    def __call__(self, content: Mapping[str, Features]) -> dict[str, Features]:
        """``content`` with predictions where an item lacks a modality and has another; the rest is untouched."""
        if self._predictor is None:
            raise DataError("the imputer is not fitted")
        known = {name: content[name] for name in self._spaces if name in content}
        if len(known) < len(self._spaces):
            raise DataError("a feature it was fitted on is not here", key=sorted(set(self._spaces) - set(known))[0])
        here = self._here(known)
        rows = np.flatnonzero(here.any(0) & ~here.all(0))
        if not len(rows):
            return dict(content)
        found = self._predictor.predict(
            self._read({name: one.take(rows) for name, one in known.items()}), torch.from_numpy(here[:, rows])
        )
        out = dict(content)
        for (name, one), z in zip(known.items(), found.split(self._layout().widths, 1)):
            lacks = ~here[[self.modalities.index(m) for m in self.sources[name]]][:, rows].all(0)
            fill = np.flatnonzero(lacks & ~one.present[rows])
            # of a feature that nobody had in fitting nothing can be said
            if len(fill) and bool(self._spaces[name].basis.any()):
                values, present = one.values.copy(), one.present.copy()
                values[rows[fill]] = self._spaces[name].vectors(z[torch.from_numpy(fill)])
                present[rows[fill]] = True
                out[name] = replace(one, values=values, present=present)
        return out

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON-able facts from which :meth:`from_state` makes the same imputer."""
        assert self._predictor is not None
        tensors = {f"predictor/{name}": tensor for name, tensor in self._predictor.state().items()}
        for name, space in self._spaces.items():
            tensors |= {f"mean/{name}": space.mean, f"basis/{name}": space.basis}
        spaces = {name: [space.scale, space.entries] for name, space in self._spaces.items()}
        return tensors, {"kind": self.kind, "sources": {n: list(s) for n, s in self.sources.items()}, "spaces": spaces}

    @classmethod
    @isolated
    def from_state(cls, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Imputer:
        """Restore what :meth:`state` returned."""
        made = cls(facts["kind"], {name: tuple(made_of) for name, made_of in facts["sources"].items()})
        for name, (scale, entries) in facts["spaces"].items():
            made._spaces[name] = _Space(tensors[f"mean/{name}"], tensors[f"basis/{name}"], float(scale), int(entries))
        made._predictor = made._unfitted()
        made._predictor.load(
            {n.removeprefix("predictor/"): tensor for n, tensor in tensors.items() if n.startswith("predictor/")}
        )
        return made

    def _unfitted(self) -> Predictor:
        return RidgePredictor(self._layout()) if self.kind == "ridge" else NetPredictor(self._layout(), self.kind)

    def _layout(self) -> FeatureLayout:
        owners = [[self.modalities.index(m) for m in self.sources[name]] for name in self._spaces]
        return FeatureLayout(len(self.modalities), owners, [space.basis.shape[1] for space in self._spaces.values()])

    def _read(self, content: Mapping[str, Features]) -> Tensor:
        return torch.cat([self._spaces[name].read(found) for name, found in content.items()], dim=1)

    def _here(self, content: Mapping[str, Features]) -> Bools:
        return modalities_of(content, self.sources, self.modalities)
