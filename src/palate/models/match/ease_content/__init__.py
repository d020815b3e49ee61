"""EASEContent: item-item regression that leans towards content neighbours."""

from palate.models.match.ease_content.model import EASEContent

__all__ = ["EASEContent"]
