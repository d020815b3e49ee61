"""Indexes of item vectors: exact or approximate, filtered, stored on disk, changed while they are searched."""

from palate.serving.index.local import LocalIndex
from palate.serving.index.vector_index import VectorIndex, open_index

__all__ = ["LocalIndex", "VectorIndex", "open_index"]
