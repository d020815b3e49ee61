"""PatchAtoms (after Coates, Lee & Ng, AISTATS 2011): small patches of pictures are clustered around atoms.

A random patch, contrast-normalised and whitened by the patches of the training pictures, is z;
L = 1 - max_k cos(z, a_k): every patch draws its nearest atom (spherical k-means). A picture's vector is how strongly
each atom responds in each cell of a coarse grid, see :class:`palate.modules.patches.PatchTower`; of these the ``width``
first principal components over the training pictures are exported, since thousands of numbers a picture are too many to
keep. Neither labels nor clicks are read.

Our choices: atoms follow the gradient in batches and start as patches, so that few stay idle; responses are rooted and
averaged with those to the mirrored picture. ``whiten`` false leaves patches as they are, ``start`` random draws atoms
instead of taking patches, ``learn`` false leaves atoms as they start, ``grid`` 1 drops positions: each switches off one
part of the method and leaves the others, principal components included, as they are. There is no early stopping: the
distance of patches to atoms does not measure retrieval.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import Phase, Pretrainer, pretrainers
from palate.core.batch import ExampleBatch, IntArray
from palate.core.config import TrainedConfig
from palate.core.context import RunContext
from palate.core.encoder import Encoder
from palate.features.encoders.tower import Tower, tower_network, vectors_of
from palate.models.pretrain.shared.held_out import HeldOut, reciprocal_rank
from palate.models.pretrain.shared.inputs import ItemInputs
from palate.modules.patches import PatchTower, sample_patches
from palate.modules.towers import pooled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from palate.data.views import TrainView

CHUNK = 256
WHITENING_PATCHES = 60_000
"""Patches at most that whitening is computed from."""
MAX_COMPONENT_ITEMS = 4000
"""Pictures at most that principal components are computed from; time grows with the third power."""


@pretrainers.register("patch_atoms")
class PatchAtoms(Pretrainer):
    """One wide layer of patches, which needs few pictures and seconds."""

    name = "patch_atoms"
    paper = "Coates, Lee & Ng, An Analysis of Single-Layer Networks in Unsupervised Feature Learning, AISTATS 2011"

    class Config(TrainedConfig):
        """Settings of the patches and the grid."""

        atoms: int = Field(400, ge=2, description="number of atoms")
        size: int = Field(8, ge=2, le=8, description="side of a patch, in pixels of the reader")
        grid: int = Field(4, ge=1, description="cells on a side in which responses are averaged")
        threshold: float = Field(0.5, ge=0, description="response below which an atom is silent")
        width: int = Field(512, ge=0, description="width of the vectors; 0 keeps all atoms * grid ** 2 numbers")
        whiten: bool = Field(True, description="whiten patches")
        start: Literal["patches", "random"] = Field("patches", description="what atoms are before they learn")
        learn: bool = Field(True, description="train atoms; otherwise they stay what they start as")
        patches: int = Field(32, ge=1, description="patches drawn from each picture of a batch")
        held: float = Field(0.1, ge=0, lt=1, description="share of the pictures held out for validation")
        lr: float = Field(0.03, gt=0, description="learning rate")
        batch_size: int = Field(128, ge=1, description="pictures a step")
        epochs: int = Field(10, ge=0, description="epochs; there is no early stopping")

    config: Config

    def reads(self) -> tuple[str, ...]:
        return ("image",)

    def setup(self, train: TrainView, run: RunContext) -> None:
        """Build the layer, and hold out pictures.

        Args:
            train: training view.
            run: seed of what is drawn.

        Raises:
            ConfigError: if fewer than 2 items have a picture.
        """
        c = self.config
        self.inputs = ItemInputs(train.features)
        items = self.inputs.with_image(self.name)
        responses = c.atoms * c.grid**2
        self.width = c.width or responses
        self.network = {
            "kind": "patches", "dim": responses, "size": c.size, "grid": c.grid, "threshold": c.threshold,
        }  # fmt: skip
        self.part = tower_network(self.network, self.width)
        # solved in closed form after training
        self.part["head"].requires_grad_(False)
        self.held_out = HeldOut(train, items, c.held, self.name, run.seed)

    @property
    def tower(self) -> PatchTower:
        """The layer of atoms."""
        tower = self.part["tower"]
        assert isinstance(tower, PatchTower)
        return tower

    def phases(self) -> list[Phase]:
        phase = self.phase("patches", groups=[self.tower.atoms], validate=False)
        if self.config.learn:
            return [phase]
        return [replace(phase, train_epoch=_no_step, epochs=min(phase.epochs, 1))]

    def examples(self, view: TrainView, run: RunContext) -> IntArray:
        return self.held_out.train_items[:, None]

    def on_epoch(self, epoch: int, rng: np.random.Generator) -> None:
        if epoch == 0:
            rows = torch.from_numpy(rng.permutation(self.held_out.train_items)).to(self.device)
            count = max(WHITENING_PATCHES // len(rows), 1)
            patches = torch.cat([self.cut(part, count) for part in rows[:WHITENING_PATCHES].split(CHUNK)])
            order = torch.from_numpy(rng.permutation(len(patches))).to(self.device)
            self.tower.initialize(patches[order], self.config.whiten, self.config.start == "patches")

    def cut(self, rows: Tensor, count: int) -> Tensor:
        """``count`` random patches of each picture."""
        return sample_patches(self.inputs.read("image", rows), self.config.size, count)

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        z = F.normalize(self.tower.whiten(self.cut(batch.rows[:, 0], self.config.patches)), dim=1)
        return {"loss": 1 - (z @ F.normalize(self.tower.atoms, dim=1).T).amax(1).mean()}

    @torch.no_grad()
    def validation_score(self) -> float:
        """Mean reciprocal rank of a held-out picture among all of them, for its mirrored and cropped copy."""
        if not len(self.held_out.eval_items):
            return float("nan")
        pictures = self.inputs.read("image", torch.from_numpy(self.held_out.eval_items).to(self.device))
        side = pictures.shape[3]
        inner = pictures[:, :, side // 8 : side - side // 8, side // 8 : side - side // 8]
        copies = F.interpolate(inner.flip(3), pictures.shape[2:], mode="bilinear")
        a, b = (vectors_of(self.part, x) for x in (copies, pictures))
        return reciprocal_rank(a, b, torch.arange(len(a), device=a.device))

    @torch.no_grad()
    def solve_head(self) -> None:
        """Set the head to the principal components of the training pictures' responses."""
        head, items = self.part["head"], self.held_out.train_items
        if isinstance(head, nn.Linear):
            # evenly spaced rows, since the catalogue may be in order of kind
            rows = torch.from_numpy(items[:: -(-len(items) // MAX_COMPONENT_ITEMS)]).to(self.device)
            parts = [pooled(self.tower(self.inputs.read("image", part))) for part in rows.split(CHUNK)]
            responses = torch.cat(parts)
            mean = responses.mean(0)
            centred = responses - mean
            eigenvalues, eigenvectors = torch.linalg.eigh((centred @ centred.T).double())
            count = min(self.width, len(rows) - 1, centred.shape[1])
            mix = (eigenvectors[:, -count:] / eigenvalues[-count:].sqrt()).flip(1).to(centred.dtype)
            head.weight.zero_()[:count] = mix.T @ centred
            head.bias.copy_(-head.weight @ mean)

    def export(self, readers: Mapping[str, Encoder], fitted_on: str) -> dict[str, Encoder]:
        if self.config.epochs:
            self.solve_head()
        encoder = Tower(readers["image"], self.network, self.width, unit=False)
        return {"image": encoder.load_weights(self.part.state_dict(), fitted_on)}


def _no_step(lr: float, rng: np.random.Generator) -> dict[str, float]:
    """An epoch that changes nothing."""
    return {"loss": 0.0}
