"""Cholesky factors of kernels that float32 cannot tell from singular ones."""

from __future__ import annotations

import torch
from torch import Tensor

from palate.core.errors import ConfigError

JITTERS = (0.0, 1e-6, 1e-4, 1e-2)
"""Shares of the mean diagonal that are added, one after the other, until the matrix is positive definite."""


def cholesky(gram: Tensor) -> Tensor:
    """Lower factor of a symmetric matrix; rounding that leaves it indefinite (items that are all alike) is made good.

    Args:
        gram: float32 [n, n], a kernel with its ridge.

    Returns:
        float32 [n, n].

    Raises:
        ConfigError: if the kernel is not finite, or no small addition to the diagonal makes it positive definite.
    """
    factor: Tensor
    failed: Tensor
    factor, failed = torch.linalg.cholesky_ex(gram)
    if not int(failed):
        return factor
    if bool(gram.isfinite().all()):
        exact = gram.double()
        mean = exact.diagonal().mean()
        for jitter in JITTERS:
            exact.diagonal().add_(jitter * mean)
            factor, failed = torch.linalg.cholesky_ex(exact)
            if not int(failed):
                return factor.to(gram.dtype)
    raise ConfigError(
        "the kernel of these items cannot be inverted", key="ridge", hint="raise ridge, or use content_knn"
    )
