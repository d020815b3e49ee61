"""Video by the vision tower of a transformer checkpoint: ``hf:<path or hub id>``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from palate.core.encoder import Raw, encoders
from palate.core.errors import ConfigError
from palate.features.encoders.base import ContentEncoder
from palate.features.encoders.hf_encoder import Output
from palate.features.encoders.hf_image import HfImage
from palate.features.media import read_video
from palate.features.media.source import VERSION, media_source


@encoders.register("hf_video")
class HfVideo(ContentEncoder):
    """Evenly spaced frames through an image tower; pooled: the mean over the frames there are; tokens: one a frame.

    Args:
        source: folder or hub id of a checkpoint with a vision tower.
        output: ``pooled`` or ``tokens``.
        frames: sampled at most.
        normalize: scale the vectors of frames to unit length.
        batch: frames in one forward pass.
        device: ``auto`` takes CUDA when there is one.
        revision: of a hub id.

    Raises:
        ConfigError: for an unknown output, or no frames.
        FeatureError: if there is no such checkpoint, or its type has no vision tower.
    """

    name, modality, version = "hf_video", "video", 1

    def __init__(
        self,
        source: str,
        output: Output = "pooled",
        frames: int = 8,
        normalize: bool = False,
        batch: int = 32,
        device: str = "auto",
        revision: str | None = None,
    ) -> None:
        if frames < 1:
            raise ConfigError(f"at least one frame is needed, not {frames}", key="frames")
        if output not in ("pooled", "tokens"):
            raise ConfigError(f"output is pooled or tokens, not {output!r}", key="output")
        self.tower = HfImage(source, "pooled", normalize, batch, device, revision)
        self.kind = output
        self.copy_files = self.tower.copy_files  # type: ignore[method-assign]
        self.options: dict[str, Any] = {**self.tower.options, "output": output, "frames": frames}

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "frames": self.options["frames"],
            "output": self.kind,
            "tower": self.tower.settings,
            "decoding": VERSION,
        }

    @property
    def dim(self) -> int:
        return self.tower.dim

    def read(self, raw: Raw) -> NDArray[np.float32]:
        return self.tower.pixels(list(read_video(media_source(raw, "a video"), self.options["frames"])))

    def embed(self, contents: list[Any]) -> list[NDArray[np.float32]]:
        # Videos differ in their number of frames: all frames go through the tower together, then back to their video.
        vectors = np.stack(self.tower.embed([frame for frames in contents for frame in frames]))
        videos = np.split(vectors, np.cumsum([len(frames) for frames in contents])[:-1])
        return videos if self.kind == "tokens" else [video.mean(0, dtype=np.float32) for video in videos]
