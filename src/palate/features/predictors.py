"""From the directions of the features that an item has to those of the features it lacks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RIDGES = (1e-4, 1e-3, 1e-2, 1e-1)
"""Ridge strengths tried, as shares of a feature's whole variance."""
HELD = 5
"""One row in so many judges."""
EPOCHS, BATCH, HIDDEN, TAU = 60, 256, 256, 0.1


@dataclass(frozen=True)
class FeatureLayout:
    """Where things are in z [n, R]: ``owners`` are the modalities of each feature, ``widths`` its columns."""

    modalities: int
    owners: Sequence[Sequence[int]]
    widths: Sequence[int]

    def known(self, here: Tensor) -> Tensor:
        """bool [F, n] from ``here`` bool [modalities, n]: features whose modalities are all there."""
        return torch.stack([here[list(owner)].all(0) for owner in self.owners])

    def wide(self, features: Tensor) -> Tensor:
        """[R, ...] from [F, ...]: every feature's row once for each of its columns."""
        return features.repeat_interleave(torch.tensor(self.widths), dim=0)


class Predictor(ABC):
    """Args: layout: of z."""

    def __init__(self, layout: FeatureLayout) -> None:
        self.layout = layout

    @abstractmethod
    def fit(self, z: Tensor, here: Tensor, present: Tensor) -> Self:
        """Learn from ``z`` [n, R], ``here`` bool [modalities, n] and ``present`` bool [features, n]."""

    @abstractmethod
    def predict(self, z: Tensor, here: Tensor) -> Tensor:
        """z [n, R] of all features, from the columns of modalities that are ``here``; no others are read."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Tensors that :meth:`load` takes."""

    @abstractmethod
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`state` returned."""


class RidgePredictor(Predictor):
    """f(z_P) = C_*P (C_PP + ridge I)^-1 z_P for every set P of modalities, C the covariance of all directions.

    One matrix answers for every P; where items have gaps its entries are means over the items that have both.
    The ridge is the one that predicts held rows best from all modalities but one.
    """

    covariance: Tensor
    ridge = RIDGES[0]

    def __init__(self, layout: FeatureLayout) -> None:
        super().__init__(layout)
        self._spectra: dict[bytes, tuple[Tensor, Tensor]] = {}

    def fit(self, z: Tensor, here: Tensor, present: Tensor) -> Self:
        judged = torch.arange(len(z)) % HELD == HELD - 1
        if self.layout.modalities > 1 and len(z) >= 2 * HELD:
            self._moments(z[~judged], here[:, ~judged])
            self.ridge = min(
                RIDGES, key=lambda ridge: self._error(ridge, z[judged], here[:, judged], present[:, judged])
            )
        self._moments(z, here)
        return self

    def predict(self, z: Tensor, here: Tensor) -> Tensor:
        out = torch.zeros_like(z)
        for pattern in here.unique(dim=1).T:
            rows = (here == pattern[:, None]).all(0)
            known = self.layout.wide(self.layout.known(pattern[:, None]))[:, 0]
            if bool(known.any()):
                out[rows] = z[rows][:, known] @ self._weights(known)
        return out

    def state(self) -> dict[str, Tensor]:
        return {"covariance": self.covariance, "ridge": torch.tensor([self.ridge], dtype=torch.float64)}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        self.covariance, self.ridge = tensors["covariance"], float(tensors["ridge"])

    def _moments(self, z: Tensor, here: Tensor) -> None:
        known = self.layout.known(here).float()
        both = self.layout.wide(self.layout.wide(known @ known.T).T).T
        read = z * self.layout.wide(known).T
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

    def _error(self, ridge: float, z: Tensor, here: Tensor, present: Tensor) -> float:
        self.ridge, total = ridge, 0.0
        for gone in range(self.layout.modalities):
            left = here.clone()
            left[gone] = False
            asked = self.layout.wide(present & ~self.layout.known(left)).T & left.any(0)[:, None]
            total += float((self.predict(z, left) - z)[asked].square().sum())
        return total


class NetPredictor(Predictor):
    """f is a network with one hidden layer that reads what is there and which modalities are.

    In training every item lacks a random part of its modalities. ``mlp`` minimises squared errors of what it lacks,
    ``infonce`` tells an item's own z from those of the others in the batch by cosine; its length is then the one that
    fits best. The epoch that is best on held rows is kept.
    """

    def __init__(self, layout: FeatureLayout, kind: str) -> None:
        super().__init__(layout)
        self.kind = kind
        width = sum(layout.widths)
        self.net = nn.Sequential(nn.Linear(width + layout.modalities, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, width))
        self.lengths = torch.ones(len(layout.widths))

    def fit(self, z: Tensor, here: Tensor, present: Tensor) -> Self:
        judged = torch.arange(len(z)) % HELD == HELD - 1
        optimiser = torch.optim.Adam(self.net.parameters(), lr=1e-3, weight_decay=1e-5)
        asked = self._gaps(here[:, judged])
        best, kept = float("inf"), self.state()
        learn = (~judged).nonzero().squeeze(1)
        for _ in range(EPOCHS if len(learn) else 0):
            for rows in learn[torch.randperm(len(learn))].split(BATCH):
                loss = self._loss(z[rows], self._gaps(here[:, rows]), present[:, rows])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            with torch.no_grad():
                error = float(self._loss(z[judged], asked, present[:, judged])) if bool(judged.any()) else 0.0
            if error < best:
                best, kept = error, {name: tensor.clone() for name, tensor in self.state().items()}
        self.load(kept)
        if self.kind == "infonce":
            self._fit_lengths(z, self._gaps(here), present)
        return self

    @torch.no_grad()
    def predict(self, z: Tensor, here: Tensor) -> Tensor:
        found = self._raw(z, here).split(list(self.layout.widths), dim=1)
        if self.kind == "infonce":
            found = tuple(F.normalize(one, dim=1) * length for one, length in zip(found, self.lengths))
        return torch.cat(found, dim=1)

    def state(self) -> dict[str, Tensor]:
        return {**{n: t.detach() for n, t in self.net.state_dict().items()}, "lengths": self.lengths}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        self.lengths = tensors["lengths"]
        self.net.load_state_dict({name: tensor for name, tensor in tensors.items() if name != "lengths"})

    def _raw(self, z: Tensor, here: Tensor) -> Tensor:
        read = z * self.layout.wide(self.layout.known(here)).T
        out: Tensor = self.net(torch.cat([read, here.T.to(z.dtype)], dim=1))
        return out

    def _gaps(self, here: Tensor) -> Tensor:
        """``here`` less a random part, at least one modality left to those that have any."""
        draws = torch.rand(here.shape).masked_fill(~here, -1.0)
        return here & ((draws > 0.5) | (draws == draws.amax(0)))

    def _loss(self, z: Tensor, here: Tensor, present: Tensor) -> Tensor:
        parts = []
        for _, guess, answer in self._asked(z, here, present):
            if self.kind == "infonce":
                logits = F.normalize(guess, dim=1) @ F.normalize(answer, dim=1).T / TAU
                parts.append(F.cross_entropy(logits, torch.arange(len(logits))))
            else:
                parts.append((guess - answer).square().sum(1).mean())
        return torch.stack(parts).mean() if parts else next(self.net.parameters()).sum() * 0

    @torch.no_grad()
    def _fit_lengths(self, z: Tensor, here: Tensor, present: Tensor) -> None:
        for place, guess, answer in self._asked(z, here, present):
            self.lengths[place] = (F.normalize(guess, dim=1) * answer).sum(1).mean().clamp(min=0)

    def _asked(self, z: Tensor, here: Tensor, present: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
        """(feature, what is predicted, what it is) [b, r] over the items that lack it."""
        rows, widths = present & ~self.layout.known(here) & here.any(0), list(self.layout.widths)
        for place, (guess, answer) in enumerate(zip(self._raw(z, here).split(widths, 1), z.split(widths, 1))):
            if int(rows[place].sum()) > 1:
                yield place, guess[rows[place]], answer[rows[place]]
