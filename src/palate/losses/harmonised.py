"""Terms of several modalities, weighed by how much each modality is worth."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from palate.core.errors import DataError


def harmonised(logits: Mapping[str, Tensor], terms: Mapping[tuple[str, ...], Tensor]) -> Tensor:
    """``sum_t n w_t L_t``, ``w = softmax_t(sum of the logits of t's modalities)``, n the number of terms.

    Args:
        logits: modality -> a learnt scalar, 0 at first: then all weights are 1.
        terms: modalities that take part -> the scalar term.

    Self-harmonised weights after SCALE (Dong et al., CVPR 2022): the logits are learnt with the rest, by descent on the
    weighed sum itself, so a modality whose terms stay high (noise, nothing to align) loses weight. Data: terms of
    comparable scale. Relations: several calls with the same logits share one importance between kinds of terms.
    """
    if not terms:
        raise DataError("no terms to weigh")
    total = torch.stack([torch.stack([logits[m] for m in modalities]).sum() for modalities in terms])
    weights = len(terms) * total.softmax(0)
    return (weights * torch.stack([*terms.values()])).sum()
