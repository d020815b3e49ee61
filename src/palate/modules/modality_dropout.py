"""Modality dropout: items lose whole modalities at random, but never all of them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from palate.core.content import modality_dropout_mask


def draw_modality_mask(present: Mapping[str, Tensor], p: float) -> dict[str, Tensor]:
    """Which items keep the modality of each feature.

    Features of one modality (the part of the name before a dot) are kept or dropped together. Draws from torch's own
    generator.

    Args:
        present: feature name -> bool [n_items], items that have the feature.
        p: probability that an item lacks one of its modalities; an item keeps at least one.

    Returns:
        Feature name -> bool [n_items].
    """
    groups: dict[str, list[str]] = {}
    for name in present:
        groups.setdefault(name.partition(".")[0], []).append(name)
    by_group = torch.stack([torch.stack([present[name] for name in group]).any(0) for group in groups.values()])
    draws = torch.rand(by_group.shape).numpy()
    kept = torch.from_numpy(modality_dropout_mask(draws, by_group.cpu().numpy(), p)).to(by_group.device)
    return {name: rows for group, rows in zip(groups.values(), kept) for name in group}
