"""PatchAtoms (after Coates, Lee & Ng, AISTATS 2011): small patches of pictures are gathered around atoms.

A random patch, evened out and whitened by the patches of the training pictures, is z; L = 1 - max_k cos(z, a_k): every
patch draws its nearest atom (spherical k-means). A picture's vector is how strongly each atom answers in each cell of a
coarse grid, see :class:`palate.modules.patches.PatchTower`; of these the ``width`` first principal components over the
training pictures are exported, for thousands of numbers a picture are too many to keep. No label and no click is read.

Our choices: atoms follow the gradient in batches and start as patches, so that few stay idle; answers are rooted and
averaged with those to the mirrored picture. ``whiten`` false leaves patches as they are, ``grid`` 1 forgets places:
each switches one part of the method off. Nothing stops early: how near patches come is no matter of retrieval.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import Phase, Pretrainer, pretrainers
from palate.core.batch import ExampleBatch, IntArray
from palate.core.config import TrainedConfig
from palate.core.encoder import Encoder
from palate.features.encoders.tower import Tower, tower_network, vectors_of
from palate.modules.patches import PatchTower, sample_patches
from palate.modules.towers import pooled

from ._held import HeldOut, reciprocal_rank
from ._inputs import ItemInputs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from palate.data.views import TrainView

CHUNK = 256
FIRST = 60_000
"""Patches at most that whitening is computed from."""
MOST = 4000
"""Pictures at most whose components are found; time grows with the third power."""


@pretrainers.register("patch_atoms")
class PatchAtoms(Pretrainer):
    """One wide layer of patches, which needs few pictures and seconds."""

    name = "patch_atoms"
    paper = "Coates, Lee & Ng, An Analysis of Single-Layer Networks in Unsupervised Feature Learning, AISTATS 2011"

    class Config(TrainedConfig):
        """Settings.

        Attributes:
            atoms: how many. size: of patches, in pixels of the reader. grid: cells on a side in which they are counted.
            threshold: below it an atom is silent. width: of vectors; 0 keeps all ``atoms * grid ** 2`` numbers.
            whiten: make all directions of patches equally strong. patches: of each picture at a time.
            held: share of the pictures kept out to judge.
        """

        atoms: int = Field(400, ge=2)
        size: int = Field(8, ge=2, le=8)
        grid: int = Field(4, ge=1)
        threshold: float = Field(0.5, ge=0)
        width: int = Field(512, ge=0)
        whiten: bool = True
        patches: int = Field(32, ge=1)
        held: float = Field(0.1, ge=0, lt=1)
        lr: float = Field(0.03, gt=0)
        batch_size: int = Field(128, ge=1)
        epochs: int = Field(10, ge=0)

    config: Config

    def reads(self) -> tuple[str, ...]:
        return ("image",)

    def setup(self, train: TrainView) -> None:
        c = self.config
        self.inputs = ItemInputs(train.features)
        pictured = self.inputs.pictured(self.name)
        wide = c.atoms * c.grid**2
        self.width = c.width or wide
        self.network = {
            "kind": "patches", "dim": wide, "size": c.size, "grid": c.grid, "threshold": c.threshold,
        }  # fmt: skip
        self.part = tower_network(self.network, self.width)
        # found in closed form when all else is trained
        self.part["head"].requires_grad_(False)
        self.held = HeldOut(train, pictured, c.held, self.name)

    @property
    def tower(self) -> PatchTower:
        """What is trained."""
        found = self.part["tower"]
        assert isinstance(found, PatchTower)
        return found

    def phases(self) -> list[Phase]:
        c = self.config
        return [Phase("patches", self.loss, [self.tower.atoms], c.lr, epochs=c.epochs, validate=False)]

    def examples(self, view: TrainView) -> IntArray:
        return self.held.trained[:, None]

    def on_epoch(self, epoch: int, rng: np.random.Generator) -> None:
        if epoch == 0 and self.config.whiten:
            rows = torch.from_numpy(rng.permutation(self.held.trained)).to(self.device)
            count = max(FIRST // len(rows), 1)
            found = [self.cut(part, count) for part in rows[:FIRST].split(CHUNK)]
            whole = torch.cat(found)
            self.tower.initialize(whole[torch.from_numpy(rng.permutation(len(whole))).to(self.device)])

    def cut(self, rows: Tensor, count: int) -> Tensor:
        """Random patches of pictures."""
        return sample_patches(self.inputs.read("image", rows), self.config.size, count)

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        z = F.normalize(self.tower.whiten(self.cut(batch.rows[:, 0], self.config.patches)), dim=1)
        return {"loss": 1 - (z @ F.normalize(self.tower.atoms, dim=1).T).amax(1).mean()}

    @torch.no_grad()
    def validation_score(self) -> float:
        """Mean reciprocal rank of a held-out picture among all of them, asked by its mirrored and cropped self."""
        if not len(self.held.kept):
            return float("nan")
        pictures = self.inputs.read("image", torch.from_numpy(self.held.kept).to(self.device))
        side = pictures.shape[3]
        inner = pictures[:, :, side // 8 : side - side // 8, side // 8 : side - side // 8]
        asked = F.interpolate(inner.flip(3), pictures.shape[2:], mode="bilinear")
        a, b = (vectors_of(self.part, x) for x in (asked, pictures))
        return reciprocal_rank(a, b, torch.arange(len(a), device=a.device))

    @torch.no_grad()
    def condense(self) -> None:
        """Make the head those directions in which pictures differ most."""
        head, trained = self.part["head"], self.held.trained
        if isinstance(head, nn.Linear):
            # spread over the catalogue, which may be in order of kind
            rows = torch.from_numpy(trained[:: -(-len(trained) // MOST)]).to(self.device)
            found = torch.cat([pooled(self.tower(self.inputs.read("image", part))) for part in rows.split(CHUNK)])
            centre = found.mean(0)
            wide = found - centre
            strength, sides = torch.linalg.eigh((wide @ wide.T).double())
            kept = min(self.width, len(rows) - 1, wide.shape[1])
            mix = (sides[:, -kept:] / strength[-kept:].sqrt()).flip(1).to(wide.dtype)
            head.weight.zero_()[:kept] = mix.T @ wide
            head.bias.copy_(-head.weight @ centre)

    def export(self, readers: Mapping[str, Encoder], fitted_on: str) -> dict[str, Encoder]:
        if self.config.epochs:
            self.condense()
        made = Tower(readers["image"], self.network, self.width, unit=False)
        return {"image": made.take_weights(self.part.state_dict(), fitted_on)}
