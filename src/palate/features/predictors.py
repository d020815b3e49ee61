"""Predict the directions of the features that an item lacks from those of the features it has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RIDGES = (1e-4, 1e-3, 1e-2, 1e-1)
"""Ridge strengths that are tried, as shares of a feature's total variance."""
VALIDATION_STEP = 5
"""One row in so many is held out to choose settings."""
EPOCHS, BATCH, HIDDEN, TAU = 60, 256, 256, 0.1


@dataclass(frozen=True)
class FeatureLayout:
    """Columns of z [n, R].

    Attributes:
        modalities: their number.
        owners: modalities of each feature.
        widths: columns of each feature.
    """

    modalities: int
    owners: Sequence[Sequence[int]]
    widths: Sequence[int]

    def known(self, available: Tensor) -> Tensor:
        """Features whose modalities are all available, bool [F, n], from ``available`` bool [modalities, n]."""
        return torch.stack([available[list(owner)].all(0) for owner in self.owners])

    def expand(self, features: Tensor) -> Tensor:
        """Rows of features [F, ...] repeated once for each of their columns, [R, ...]."""
        return features.repeat_interleave(torch.tensor(self.widths), dim=0)


class Predictor(ABC):
    """Predictor f of the directions of all features.

    Args:
        layout: of z.
    """

    def __init__(self, layout: FeatureLayout) -> None:
        self.layout = layout

    @abstractmethod
    def fit(self, z: Tensor, available: Tensor, present: Tensor) -> Self:
        """Learn from items.

        Args:
            z: float32 [n, R].
            available: bool [modalities, n].
            present: bool [features, n].
        """

    @abstractmethod
    def predict(self, z: Tensor, available: Tensor) -> Tensor:
        """Predict z of all features.

        Args:
            z: float32 [n, R]; columns of modalities that are not available are not read.
            available: bool [modalities, n].

        Returns:
            float32 [n, R].
        """

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Tensors that :meth:`load` takes."""

    @abstractmethod
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`state` returned."""


class RidgePredictor(Predictor):
    """f(z_P) = C_*P (C_PP + ridge I)^-1 z_P for every set P of modalities, C the covariance of all directions.

    One matrix serves every P; where items have gaps its entries are means over the items that have both.
    The ridge is the one that predicts held-out rows best from all modalities but one.
    """

    covariance: Tensor
    ridge = RIDGES[0]

    def __init__(self, layout: FeatureLayout) -> None:
        super().__init__(layout)
        self._spectra: dict[bytes, tuple[Tensor, Tensor]] = {}

    def fit(self, z: Tensor, available: Tensor, present: Tensor) -> Self:
        held_out = torch.arange(len(z)) % VALIDATION_STEP == VALIDATION_STEP - 1
        if self.layout.modalities > 1 and len(z) >= 2 * VALIDATION_STEP:
            self._moments(z[~held_out], available[:, ~held_out])
            self.ridge = min(
                RIDGES, key=lambda ridge: self._error(ridge, z[held_out], available[:, held_out], present[:, held_out])
            )
        self._moments(z, available)
        return self

    def predict(self, z: Tensor, available: Tensor) -> Tensor:
        out = torch.zeros_like(z)
        for pattern in available.unique(dim=1).T:
            rows = (available == pattern[:, None]).all(0)
            known = self.layout.expand(self.layout.known(pattern[:, None]))[:, 0]
            if bool(known.any()):
                out[rows] = z[rows][:, known] @ self._weights(known)
        return out

    def state(self) -> dict[str, Tensor]:
        return {"covariance": self.covariance, "ridge": torch.tensor([self.ridge], dtype=torch.float64)}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        self.covariance, self.ridge = tensors["covariance"], float(tensors["ridge"])

    def _moments(self, z: Tensor, available: Tensor) -> None:
        known = self.layout.known(available).float()
        both = self.layout.expand(self.layout.expand(known @ known.T).T).T
        read = z * self.layout.expand(known).T
        self.covariance = read.T @ read / both.clamp(min=1)
        self._spectra.clear()

    def _weights(self, known: Tensor) -> Tensor:
        """float32 [|P|, R]; negative eigenvalues, which gaps can make, count as 0."""
        key = known.numpy().tobytes()
        if key not in self._spectra:
            self._spectra[key] = torch.linalg.eigh(self.covariance[known][:, known])
        values, vectors = self._spectra[key]
        scaled = vectors / (values.clamp(min=0) + self.ridge)
        out: Tensor = scaled @ (vectors.T @ self.covariance[known])
        return out

    def _error(self, ridge: float, z: Tensor, available: Tensor, present: Tensor) -> float:
        self.ridge, total = ridge, 0.0
        for hidden in range(self.layout.modalities):
            left = available.clone()
            left[hidden] = False
            targets = self.layout.expand(present & ~self.layout.known(left)).T & left.any(0)[:, None]
            total += float((self.predict(z, left) - z)[targets].square().sum())
        return total


class NetPredictor(Predictor):
    """f is a network with one hidden layer that reads z and which modalities are available.

    In training every item lacks a random part of its modalities. ``mlp`` minimises squared errors of what it lacks,
    ``infonce`` tells an item's own z from those of the others in the batch by cosine; its length is then the one that
    fits best. The epoch that is best on held-out rows is kept.

    Args:
        layout: of z.
        kind: ``mlp`` or ``infonce``.
    """

    def __init__(self, layout: FeatureLayout, kind: str) -> None:
        super().__init__(layout)
        self.kind = kind
        width = sum(layout.widths)
        self.net = nn.Sequential(nn.Linear(width + layout.modalities, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, width))
        self.lengths = torch.ones(len(layout.widths))

    def fit(self, z: Tensor, available: Tensor, present: Tensor) -> Self:
        held_out = torch.arange(len(z)) % VALIDATION_STEP == VALIDATION_STEP - 1
        optimiser = torch.optim.Adam(self.net.parameters(), lr=1e-3, weight_decay=1e-5)
        gaps = self._gaps(available[:, held_out])
        best, best_state = float("inf"), self.state()
        learn = (~held_out).nonzero().squeeze(1)
        for _ in range(EPOCHS if len(learn) else 0):
            for rows in learn[torch.randperm(len(learn))].split(BATCH):
                loss = self._loss(z[rows], self._gaps(available[:, rows]), present[:, rows])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            with torch.no_grad():
                error = float(self._loss(z[held_out], gaps, present[:, held_out])) if bool(held_out.any()) else 0.0
            if error < best:
                best, best_state = error, {name: tensor.clone() for name, tensor in self.state().items()}
        self.load(best_state)
        if self.kind == "infonce":
            self._fit_lengths(z, self._gaps(available), present)
        return self

    @torch.no_grad()
    def predict(self, z: Tensor, available: Tensor) -> Tensor:
        features = self._raw(z, available).split(list(self.layout.widths), dim=1)
        if self.kind == "infonce":
            features = tuple(F.normalize(one, dim=1) * length for one, length in zip(features, self.lengths))
        return torch.cat(features, dim=1)

    def state(self) -> dict[str, Tensor]:
        return {**{n: t.detach() for n, t in self.net.state_dict().items()}, "lengths": self.lengths}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        self.lengths = tensors["lengths"]
        self.net.load_state_dict({name: tensor for name, tensor in tensors.items() if name != "lengths"})

    def _raw(self, z: Tensor, available: Tensor) -> Tensor:
        read = z * self.layout.expand(self.layout.known(available)).T
        out: Tensor = self.net(torch.cat([read, available.T.to(z.dtype)], dim=1))
        return out

    def _gaps(self, available: Tensor) -> Tensor:
        """``available`` without a random part; at least one modality is left to items that have any."""
        draws = torch.rand(available.shape).masked_fill(~available, -1.0)
        return available & ((draws > 0.5) | (draws == draws.amax(0)))

    def _loss(self, z: Tensor, available: Tensor, present: Tensor) -> Tensor:
        parts = []
        for _, predicted, target in self._targets(z, available, present):
            if self.kind == "infonce":
                logits = F.normalize(predicted, dim=1) @ F.normalize(target, dim=1).T / TAU
                parts.append(F.cross_entropy(logits, torch.arange(len(logits))))
            else:
                parts.append((predicted - target).square().sum(1).mean())
        return torch.stack(parts).mean() if parts else next(self.net.parameters()).sum() * 0

    @torch.no_grad()
    def _fit_lengths(self, z: Tensor, available: Tensor, present: Tensor) -> None:
        for place, predicted, target in self._targets(z, available, present):
            self.lengths[place] = (F.normalize(predicted, dim=1) * target).sum(1).mean().clamp(min=0)

    def _targets(self, z: Tensor, available: Tensor, present: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
        """(feature, prediction, target) [b, r] over the items that lack the feature."""
        rows, widths = present & ~self.layout.known(available) & available.any(0), list(self.layout.widths)
        for place, (predicted, target) in enumerate(zip(self._raw(z, available).split(widths, 1), z.split(widths, 1))):
            if int(rows[place].sum()) > 1:
                yield place, predicted[rows[place]], target[rows[place]]
