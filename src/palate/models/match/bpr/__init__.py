"""BPR: matrix factorisation with a pairwise loss."""

from palate.models.match.bpr.model import BPR

__all__ = ["BPR"]
