"""Simulated worlds with known truth."""

from .montage import gallery
from .presets import PRESETS, WorldConfig
from .truth import Truth
from .world import World

__all__ = ["PRESETS", "Truth", "World", "WorldConfig", "gallery"]
