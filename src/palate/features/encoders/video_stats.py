"""Picture descriptors of a video's frames and motion by place: no fitting, no download (needs PyAV to decode)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from palate.core.encoder import Raw, encoders
from palate.core.errors import ConfigError
from palate.features.encoders.base import MediaEncoder
from palate.features.encoders.image_descriptors import DIM, SIDE, describe, small
from palate.features.media import read_video
from palate.features.media.source import media_source

_MOTION_GRID = 4


@encoders.register("video_stats")
class VideoStats(MediaEncoder):
    """Mean and deviation of the frames' picture descriptors, then motion energy on a 4 x 4 grid and its deviation.

    Motion energy is the mean absolute change of luminance between neighbouring sampled frames.

    Args:
        frames: sampled at most.

    Raises:
        ConfigError: for no frames.
    """

    name, modality, version = "video_stats", "video", 1

    def __init__(self, frames: int = 8) -> None:
        if frames < 1:
            raise ConfigError(f"at least one frame is needed, not {frames}", key="frames")
        self.options: dict[str, Any] = {"frames": frames}

    @property
    def dim(self) -> int:
        return 2 * DIM + 2 * _MOTION_GRID**2

    def read(self, raw: Raw) -> NDArray[np.float32]:
        pictures = read_video(media_source(raw, "a video"), self.options["frames"], side=4 * SIDE)
        planes = [small(picture) for picture in pictures]
        looks = np.stack([describe(*plane) for plane in planes])
        grey = np.stack([rgb.mean(2) for rgb, _ in planes])
        return np.concatenate([looks.mean(0), looks.std(0), _motion(grey)]).astype(np.float32)


def _motion(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    if len(grey) < 2:
        return np.zeros(2 * _MOTION_GRID**2, np.float32)
    step = SIDE // _MOTION_GRID
    change = np.abs(np.diff(grey, axis=0)).reshape(-1, _MOTION_GRID, step, _MOTION_GRID, step).mean((2, 4))
    energy = np.sqrt(change.reshape(len(change), -1))
    return np.concatenate([energy.mean(0), energy.std(0)])
