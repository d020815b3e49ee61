"""What hidden regions of pictures and stretches of sound are predicted as: features of a reader that is not trained."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.core.batch import IntArray
from palate.core.config import ModelConfig
from palate.core.content import Features
from palate.core.errors import ConfigError
from palate.features.default_encoders import BUILT_IN_PICTURES, installed
from palate.models.pretrain.shared.inputs import ItemInputs, read_rows
from palate.modules.region_labeller import RegionLabeller
from palate.modules.region_statistics import cell_statistics, stretch_statistics
from palate.modules.regions import STRIDE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from palate.data.catalog import Catalog

log = logging.getLogger("palate")
REGIONS = "regions"
"""Name in ``TrainView.fields`` of what the encoder of regions made."""
SAMPLE_ITEMS, CHUNK = 512, 64


class RegionConfig(ModelConfig):
    """Settings of systems that predict regions of pictures."""

    region_encoder: str = Field(
        "auto",
        description="encoder of pictures whose map is averaged over each region, or whose vector all regions of a "
        "picture share, as what hidden regions are predicted as; auto takes EfficientNet-Lite0 where it is installed; "
        "built-in colours and edges if empty",
    )


LITE0 = "efficientnet_lite0"


def default_regions() -> str:
    """The encoder of regions where none is named: the map of EfficientNet-Lite0 where installed, else none."""
    return f"{LITE0}?output=map&framing=whole" if installed(LITE0) else ""


def region_columns(items: Catalog, encoder: str) -> Mapping[str, tuple[str, str, tuple[str, ...]]]:
    """What a pretrainer's ``columns`` asks for, so that pictures are read by the encoder of regions as well.

    Args:
        items: the catalogue.
        encoder: the setting ``region_encoder``.
    """
    if "image" not in items.modalities:
        return {}
    if encoder == "auto":
        encoder = default_regions()
        log.info("regions of pictures are predicted as %s", encoder or BUILT_IN_PICTURES)
    return {REGIONS: ("image", encoder, ())} if encoder else {}


class RegionTargets(nn.Module):
    """Standardised features of the regions of an item's picture, or of the stretches of its sound, and their classes.

    Args:
        inputs: inputs of the items.
        modality: ``image`` or ``audio``.
        rows: int64 [n], items with the modality that may be learnt from.
        regions: tokens of an item.
        words: classes at most; 0 for none.
        seed: of the classes.
        encoded: output of an encoder of pictures, for all items; None takes built-in descriptors.

    Raises:
        ConfigError: if the encoder returns tokens, which do not say where in the picture they are, or could read no
            picture.
    """

    def __init__(
        self,
        inputs: ItemInputs,
        modality: str,
        rows: IntArray,
        regions: int,
        words: int,
        seed: int,
        encoded: Features | None = None,
    ) -> None:
        super().__init__()
        if encoded is not None and encoded.kind == "tokens":
            raise ConfigError(
                "an encoder of regions returns a map or a vector", key="region_encoder", hint=encoded.identity
            )
        self.inputs, self.modality, self.regions, self.encoded = inputs, modality, regions, encoded
        self.table = _cells(inputs) if modality == "image" and encoded is None else None
        if encoded is not None:
            rows = rows[encoded.present[rows]]
            if not len(rows):
                raise ConfigError("the encoder of regions could read no picture", key="region_encoder")
        # evenly spaced rows, since the catalogue may be in order of kind
        sample = torch.from_numpy(rows[np.linspace(0, len(rows) - 1, min(len(rows), SAMPLE_ITEMS)).astype(np.int64)])
        described = torch.cat([self.described(part) for part in sample.split(CHUNK)])
        self.labeller = RegionLabeller(described, words, seed)

    @torch.no_grad()
    def described(self, rows: Tensor) -> Tensor:
        """Features float32 [B, R, f] of these items' regions."""
        if self.table is not None:
            return self.table[rows.cpu()].to(rows.device)
        if self.encoded is None:
            return stretch_statistics(self.inputs.read(self.modality, rows), STRIDE)
        values = read_rows(self.encoded, rows)
        if values.ndim == 2:
            return values[:, None].expand(-1, self.regions, -1)
        return F.adaptive_avg_pool2d(values, math.isqrt(self.regions)).flatten(2).transpose(1, 2)

    def forward(self, rows: Tensor) -> Tensor:
        """Standardised features float32 [B, R, width]; 0, the mean, where the encoder could not read the picture."""
        features: Tensor = self.labeller(self.described(rows))
        if self.encoded is None:
            return features
        there = torch.from_numpy(self.encoded.present[rows.cpu().numpy()]).to(features.device)
        return features * there[:, None, None]

    @property
    def width(self) -> int:
        """Width of the features."""
        return self.labeller.width

    @property
    def kinds(self) -> Tensor:
        """Words of the classes, float32 [classes, width]."""
        return self.labeller.kinds

    def classes(self, features: Tensor) -> Tensor:
        """Probabilities [..., classes] of features [..., width]."""
        return self.labeller.classes(features)


@torch.no_grad()
def _cells(inputs: ItemInputs) -> Tensor:
    """Built-in descriptors of all items' pictures, float32 [n_items, R, f]: slow beside a step of training."""
    rows = torch.arange(len(inputs.present("image")))
    return torch.cat([cell_statistics(inputs.read("image", part)) for part in rows.split(CHUNK)])
