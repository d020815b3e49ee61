"""Frames of clips as a rectangle, evenly spaced where a clip has more than are read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from palate.core.content import Features


def padded_frames(clips: Features | None, most: int, width: int) -> NDArray[np.float32] | None:
    """Vectors of frames, zero where an item has fewer.

    Args:
        clips: frames of all items as token features, or None.
        most: frames of an item that are read.
        width: of the vectors of pictures, which frames must share.

    Returns:
        float32 [items + 1, most, width], the last row empty; None where there are no such frames.
    """
    if clips is None or clips.kind != "tokens" or clips.lengths is None or clips.dim != width or not most:
        return None
    lengths = np.where(clips.present, clips.lengths, 0)
    starts = np.cumsum(clips.lengths) - clips.lengths
    count = np.minimum(lengths, most)
    slot = np.arange(most)
    inside = slot < count[:, None]
    place = starts[:, None] + slot * lengths[:, None] // np.maximum(count, 1)[:, None]
    out = np.zeros((len(lengths) + 1, most, width), np.float32)
    out[:-1][inside] = clips.values[place[inside]]
    return out
