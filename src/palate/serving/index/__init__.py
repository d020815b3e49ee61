"""Nearest item vectors: exact or through cells, filtered, kept on disk, changed while searched."""

from .index import Index

__all__ = ["Index"]
