"""Nearest item vectors: exact or through cells, filtered, kept on disk, changed while searched."""

from palate.serving.index.local import LocalIndex

__all__ = ["LocalIndex"]
