"""Pictures by EfficientNet-Lite0, trained on ImageNet; its weights come in a package: no download."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from palate.core.encoder import Raw, encoders
from palate.core.errors import ConfigError
from palate.core.files import file_digest
from palate.features.encoders.base import MediaEncoder
from palate.features.encoders.lite0_network import CLASSES, SIDE, WIDTH, Lite0, load_lite0, weights_file
from palate.features.media import open_image
from palate.features.media.source import media_source

Output = Literal["pooled", "map", "classes"]
Framing = Literal["both", "square", "whole"]
NEARLY_SQUARE = 1.1
"""Longer over shorter side up to which both framings show the same."""


@encoders.register("efficientnet_lite0")
class EfficientNetLite0(MediaEncoder):
    """Pictures by EfficientNet-Lite0 (Tan and Le 2019), a convolutional network trained on ImageNet.

    The network sees a square: the largest one in the middle of the picture (``square``), the whole picture fitted into
    one (``whole``), or each in turn (``both``: their mean; pictures that are nearly square are seen once). Vectors are
    square roots of means over the last map, since few large values would outweigh all others (Perronnin et al. 2010).

    Args:
        output: ``pooled``, 1280 roots of means over the last map; ``map``, the map itself, 1280 x 7 x 7; or
            ``classes``, probabilities of the 1,000 classes of ImageNet.
        framing: ``both``, ``square`` or ``whole``; maps are those of the square unless it is ``whole``.
        batch: squares in one forward pass.

    Raises:
        ConfigError: for another output or framing, or a batch below 1.
        MissingDependencyError: if the extra ``pictures`` is not installed.
    """

    name, modality, version = "efficientnet_lite0", "image", 2

    def __init__(self, output: Output = "pooled", framing: Framing = "both", batch: int = 4) -> None:
        if output not in ("pooled", "map", "classes"):
            raise ConfigError(f"output is pooled, map or classes, not {output!r}", key="output")
        if framing not in ("both", "square", "whole"):
            raise ConfigError(f"framing is both, square or whole, not {framing!r}", key="framing")
        if batch < 1:
            raise ConfigError(f"at least 1, not {batch}", key="batch")
        self.file, self.batch = weights_file(), batch
        self.kind = "map" if output == "map" else "pooled"
        self.framing = "square" if (output, framing) == ("map", "both") else framing
        self.options: dict[str, Any] = {"output": output, "framing": framing}

    @property
    def settings(self) -> dict[str, Any]:
        return {**super().settings, "weights": self.weights}

    @property
    def dim(self) -> int:
        return CLASSES if self.options["output"] == "classes" else WIDTH

    @property
    def worth_keeping(self) -> bool:
        return self.kind == "pooled"

    @cached_property
    def weights(self) -> str:
        """Hash of the network's weights."""
        return file_digest(self.file)

    def read(self, raw: Raw) -> NDArray[np.uint8]:
        """RGB of the one or two squares that the network sees, uint8 [1 or 2, 224, 224, 3]."""
        picture = open_image(media_source(raw, "an image"), near=SIDE)
        once = max(picture.size) <= NEARLY_SQUARE * min(picture.size)
        middle = _middle(picture.size)
        boxes: dict[str, list[tuple[float, float, float, float] | None]] = {
            "square": [middle], "whole": [None], "both": [middle] if once else [middle, None],
        }  # fmt: skip
        squares = [
            np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box, reducing_gap=2.0))
            for box in boxes[self.framing]
        ]
        return np.stack(squares)

    def embed(self, contents: list[Any]) -> NDArray[np.float32]:
        squares = [square for content in contents for square in content]
        parts = (squares[start : start + self.batch] for start in range(0, len(squares), self.batch))
        found = np.concatenate([self._forward(np.stack(part)) for part in parts])
        if self.kind == "map":
            return found
        counts = np.array([len(content) for content in contents])
        means = np.add.reduceat(found, np.cumsum(counts) - counts, axis=0) / counts[:, None].astype(np.float32)
        roots: NDArray[np.float32] = np.sqrt(means)
        return roots if self.options["output"] == "pooled" else self.classify(roots)

    def classify(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities [n, 1000] of the classes of ImageNet.

        Args:
            vectors: of the output ``pooled``, [n, 1280].
        """
        with torch.inference_mode():
            logits = self._network.classifier(torch.from_numpy(np.square(vectors)))
        chances: NDArray[np.float32] = logits.softmax(1).numpy()
        return chances

    def _forward(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            # a view: rows of pixels with their colours together are channels-last order already
            inputs = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127) / 128
            outputs = self._network.layers(inputs)
            vectors: NDArray[np.float32] = (
                (outputs if self.kind == "map" else outputs.mean((2, 3))).contiguous().numpy()
            )
        return vectors

    @cached_property
    def _network(self) -> Lite0:
        return load_lite0()


def _middle(size: tuple[int, int]) -> tuple[float, float, float, float]:
    """The largest square in the middle of a picture: left, top, right, bottom."""
    side = min(size)
    left, top = (size[0] - side) / 2, (size[1] - side) / 2
    return left, top, left + side, top + side
