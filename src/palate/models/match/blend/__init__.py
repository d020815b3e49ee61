"""Blend: several members, weighted separately for warm and for cold items."""

from palate.models.match.blend.model import Blend
from palate.models.match.blend.scorer import BlendScorer

__all__ = ["Blend", "BlendScorer"]
