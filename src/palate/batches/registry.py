"""Kinds of batches by name."""

from __future__ import annotations

from palate.core.batch import BatchSource
from palate.core.registry import Registry

batch_kinds: Registry[type[BatchSource]] = Registry("batch kind", ("palate.batches",), "palate.batches")
