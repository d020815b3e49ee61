"""Predict the features of missing modalities from the modalities that an item has.

    z = (x - mean) V / s            leading directions of each feature, scaled to a total variance of 1
    x' = mean + s f(z of the features that are present) V^T

f is chosen by ``kind`` (see :mod:`palate.features.predictors`). Dong et al. (RecSys 2020 tutorial) propose a
missing-feature predictor by regression or InfoNCE for missing information; the common space and the choice of f are
ours. It is fitted to visible content; predicted vectors are marked present, and an item without any modality stays as
it is.
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
"""Leading directions of a feature, at most."""
SPARSE = 0.25
"""A feature without negative values and with a smaller share of entries other than 0 is predicted as sparse."""

Bools = NDArray[np.bool_]


@dataclass
class _Space:
    """Leading directions of one feature.

    Attributes:
        mean: float32 [d].
        basis: float32 [d, r].
        scale: s.
        entries: entries of a sparse vector that differ from 0; 0 where vectors are not sparse.
    """

    mean: Tensor
    basis: Tensor
    scale: float
    entries: int

    @classmethod
    def of(cls, features: Features) -> _Space:
        values = torch.from_numpy(features.values[features.present].astype(np.float32))
        if len(values) < 2:
            return cls(torch.zeros(features.dim), torch.zeros(features.dim, 1), 1.0, 0)
        mean, share = values.mean(0), float((values != 0).float().mean())
        entries = max(1, round(share * features.dim)) if share < SPARSE and bool((values >= 0).all()) else 0
        centred = values - mean
        rank = min(DIRECTIONS, *values.shape)
        basis = torch.svd_lowrank(centred, q=min(rank + 16, *values.shape), niter=4)[2][:, :rank]
        scale = float(centred.square().sum(1).mean().sqrt())
        return cls(mean, basis.contiguous(), max(scale, 1e-6), entries)

    def project(self, features: Features) -> Tensor:
        """z float32 [n, r], zero where absent."""
        z = (torch.from_numpy(features.values.astype(np.float32)) - self.mean) @ self.basis / self.scale
        return torch.where(torch.from_numpy(features.present)[:, None], z, 0.0)

    def vectors(self, z: Tensor) -> NDArray[np.float32]:
        """x' float32 [n, d]."""
        x = self.mean + self.scale * z @ self.basis.T
        if self.entries:
            least = x.topk(self.entries, dim=1).values[:, -1:].clamp(min=0)
            x = torch.where(x >= least, x, 0.0).clamp_(min=0)
        return x.numpy()


class Imputer:
    """Predictor of the modalities that items lack.

    Args:
        kind: ``ridge`` regression, or a network trained by squared errors (``mlp``) or to tell vectors apart
            (``infonce``).
        sources: feature -> the modalities it is made of.
    """

    def __init__(self, kind: Kind, sources: Mapping[str, tuple[str, ...]]) -> None:
        self.kind, self.sources = kind, dict(sources)
        self.modalities = tuple(dict.fromkeys(m for made_of in sources.values() for m in made_of))
        self._spaces: dict[str, _Space] = {}
        self._predictor: Predictor | None = None

    @isolated
    def fit(self, content: Mapping[str, Features]) -> Imputer:
        """Learn from visible content; always from the same random start.

        Args:
            content: features of all items, rows that may not be seen absent.
        """
        seed_torch(0, "impute", self.kind)
        pooled = {name: found for name, found in content.items() if found.kind == "pooled" and name in self.sources}
        self._spaces = {name: _Space.of(found) for name, found in pooled.items()}
        z, available = self._project(pooled), self._available(pooled)
        rows = torch.from_numpy(np.flatnonzero(available.any(0)))
        present = np.stack([found.present for found in pooled.values()])
        self._predictor = self._unfitted().fit(
            z[rows], torch.from_numpy(available)[:, rows], torch.from_numpy(present)[:, rows]
        )
        return self

    def __call__(self, content: Mapping[str, Features]) -> dict[str, Features]:
        """Fill in predictions where an item lacks a modality and has another.

        Args:
            content: features of any items, those that it was fitted on included.

        Returns:
            The same features, with predictions marked present.

        Raises:
            DataError: if it is not fitted, or a feature that it was fitted on is missing.
        """
        if self._predictor is None:
            raise DataError("the imputer is not fitted")
        known = {name: content[name] for name in self._spaces if name in content}
        if len(known) < len(self._spaces):
            raise DataError(
                "a feature that the imputer was fitted on is missing", key=sorted(set(self._spaces) - set(known))[0]
            )
        available = self._available(known)
        rows = np.flatnonzero(available.any(0) & ~available.all(0))
        if not len(rows):
            return dict(content)
        predicted = self._predictor.predict(
            self._project({name: one.take(rows) for name, one in known.items()}), torch.from_numpy(available[:, rows])
        )
        out = dict(content)
        for (name, one), z in zip(known.items(), predicted.split(self._layout().widths, 1)):
            lacks = ~available[[self.modalities.index(m) for m in self.sources[name]]][:, rows].all(0)
            fill = np.flatnonzero(lacks & ~one.present[rows])
            # a feature that no item had in fitting cannot be predicted
            if len(fill) and bool(self._spaces[name].basis.any()):
                values, present = one.values.copy(), one.present.copy()
                values[rows[fill]] = self._spaces[name].vectors(z[torch.from_numpy(fill)])
                present[rows[fill]] = True
                out[name] = replace(one, values=values, present=present)
        return out

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON-able facts from which :meth:`from_state` restores the imputer."""
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
        imputer = cls(facts["kind"], {name: tuple(made_of) for name, made_of in facts["sources"].items()})
        for name, (scale, entries) in facts["spaces"].items():
            imputer._spaces[name] = _Space(
                tensors[f"mean/{name}"], tensors[f"basis/{name}"], float(scale), int(entries)
            )
        imputer._predictor = imputer._unfitted()
        imputer._predictor.load(
            {n.removeprefix("predictor/"): tensor for n, tensor in tensors.items() if n.startswith("predictor/")}
        )
        return imputer

    def _unfitted(self) -> Predictor:
        return RidgePredictor(self._layout()) if self.kind == "ridge" else NetPredictor(self._layout(), self.kind)

    def _layout(self) -> FeatureLayout:
        owners = [[self.modalities.index(m) for m in self.sources[name]] for name in self._spaces]
        return FeatureLayout(len(self.modalities), owners, [space.basis.shape[1] for space in self._spaces.values()])

    def _project(self, content: Mapping[str, Features]) -> Tensor:
        return torch.cat([self._spaces[name].project(found) for name, found in content.items()], dim=1)

    def _available(self, content: Mapping[str, Features]) -> Bools:
        return modalities_of(content, self.sources, self.modalities)
