"""Pictures by EfficientNet-Lite0 on small squares, whose network can be trained with a model."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from palate.core.encoder import Raw, encoders
from palate.core.errors import ConfigError
from palate.core.files import file_digest
from palate.features.encoders.base import MediaEncoder
from palate.features.encoders.lite0_network import WIDTH, load_lite0, weights_file
from palate.features.encoders.pixels import Pixels
from palate.modules.network import Network
from palate.modules.towers import State, Tokens, pooled

STRIDE, BATCH = 32, 16
EPSILON = 1e-6
"""Added under the root, whose slope at 0 has no end."""


class Lite0Tower(nn.Module):
    """The network in blocks: the first convolution, the inverted bottlenecks, the last convolution.

    Attributes:
        accepts_prefix: maps take no learnt positions.
    """

    accepts_prefix = False

    def __init__(self) -> None:
        super().__init__()
        layers = list(load_lite0().layers)
        # what is no block by itself: padding, convolution and activation at both ends
        inner = [at for at, layer in enumerate(layers) if isinstance(layer, nn.Sequential)]
        stem, last = nn.Sequential(*layers[: inner[0]]), nn.Sequential(*layers[inner[-1] + 1 :])
        self.layers = nn.ModuleList([stem, *(layers[at] for at in inner), last])

    def input_parameters(self) -> list[nn.Parameter]:
        """Part of the interface :class:`palate.modules.network.LayeredTower`, like the methods below."""
        return []

    def blocks(self) -> list[nn.Module]:
        return list(self.layers)

    def embed(self, inputs: Tensor) -> State:
        return inputs.contiguous(memory_format=torch.channels_last), None

    def apply_block(self, index: int, state: State) -> State:
        return self.layers[index](state[0]), state[1]

    def finalize(self, state: State) -> Tokens:
        tokens = state[0].flatten(2).transpose(1, 2)
        return tokens, tokens.new_ones(tokens.shape[:2], dtype=torch.bool)


class RootOfMean(nn.Module):
    """Square roots of means over the last map, which no large value outweighs (Perronnin et al. 2010)."""

    def forward(self, tokens: Tokens) -> Tensor:
        """Vectors [B, d] of tokens [B, T, d] and their mask."""
        return (pooled(tokens) + EPSILON).sqrt()


@encoders.register("lite0")
class TrainableLite0(MediaEncoder):
    """Pictures by EfficientNet-Lite0 (Tan and Le 2019) on squares of any size, trainable with a model.

    The whole picture is fitted into the square. At 96 pixels it takes a sixth of the time that ``efficientnet_lite0``
    needs for its 224, and knows less; trained along it can make up for that.

    Args:
        side: pixels, a multiple of 32.

    Raises:
        ConfigError: for another side.
        MissingDependencyError: if the extra ``pictures`` is not installed.
    """

    name, modality, version = "lite0", "image", 1

    def __init__(self, side: int = 96) -> None:
        if side % STRIDE or not STRIDE <= side <= 512:
            raise ConfigError(f"a multiple of {STRIDE} up to 512 pixels, not {side}", key="side")
        self.file, self.options = weights_file(), {"side": side}

    @property
    def settings(self) -> dict[str, Any]:
        return {**super().settings, "weights": self.weights}

    @property
    def dim(self) -> int:
        return WIDTH

    @cached_property
    def weights(self) -> str:
        """Hash of the network's weights."""
        return file_digest(self.file)

    @property
    def preprocessor(self) -> Pixels:
        return Pixels(self.options["side"])

    def network(self) -> Network:
        return Network(Lite0Tower(), RootOfMean(), f"lite0:{self.weights}")

    def read(self, raw: Raw) -> NDArray[np.float32]:
        return self.preprocessor.read(raw)

    def embed(self, contents: list[Any]) -> NDArray[np.float32]:
        parts = (np.stack(contents[start : start + BATCH]) for start in range(0, len(contents), BATCH))
        with torch.inference_mode():
            return np.concatenate([self._network((torch.from_numpy(part), None)).numpy() for part in parts])

    @cached_property
    def _network(self) -> Network:
        return self.network().requires_grad_(False).eval()
