"""Simulated worlds with known truth."""

from palate.simulation.montage import gallery
from palate.simulation.presets import PRESETS, WorldConfig
from palate.simulation.truth import Truth
from palate.simulation.world import World

__all__ = ["PRESETS", "Truth", "World", "WorldConfig", "gallery"]
