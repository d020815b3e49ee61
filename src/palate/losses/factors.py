"""Objectives that make content predict collaborative-filtering factors; both work on raw (not unit) vectors.

| loss | compares | picks |
|---|---|---|
| :func:`factor_mse` | predicted and given item factors | the default: every item counts the same |
| :func:`weighted_prediction` | predicted and observed behaviour | popular items count more; needs factors of users |
"""

from __future__ import annotations

from torch import Tensor

from palate.core.errors import DataError


def factor_mse(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean over items of ``||y_i - y'_i||^2`` (van den Oord et al., NIPS 2013).

    Data: items with factors of a matrix factorisation.
    Relations: :func:`weighted_prediction` weights errors by their effect on predictions.

    Args:
        predicted: [B, d].
        target: [B, d]; no gradient flows into it.

    Raises:
        DataError: the shapes differ.

    Examples:
        >>> import torch
        >>> float(factor_mse(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 0.0]])))
        5.0
    """
    if predicted.ndim != 2 or predicted.shape != target.shape:
        raise DataError(f"factors of shape {tuple(target.shape)} for predictions of shape {tuple(predicted.shape)}")
    return (predicted - target.detach()).square().sum(1).mean()


def weighted_prediction(
    predicted: Tensor, gram: Tensor, takers: Tensor, owners: Tensor, confidence: float | Tensor
) -> Tensor:
    """Mean over items of ``sum_u c_ui (p_ui - x_u y'_i)^2`` over all users (WPE, van den Oord et al., NIPS 2013).

    Users who did not take an item count through ``gram`` alone, so the cost is that of those who did.

    Data: factors of users, and the pairs of users and items.
    Relations: the part of a weighted factorisation's objective that depends on the items; :func:`factor_mse` is the
    unweighted alternative.

    Args:
        predicted: item factors y' [B, d].
        gram: ``X.T @ X`` over all users [d, d].
        takers: factors of the users who took the batch's items [e, d].
        owners: int [e], row of ``predicted`` that each of them took.
        confidence: c where p is 1; it is 1 elsewhere.

    Raises:
        DataError: the shapes do not fit.

    Examples:
        >>> import torch
        >>> users = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> items = torch.tensor([[0.5, 0.0]])  # taken by the first user
        >>> float(weighted_prediction(items, users.T @ users, users[:1], torch.tensor([0]), 2.0))  # 2 (1 - 0.5)^2
        0.5
    """
    if predicted.ndim != 2 or len(takers) != len(owners):
        raise DataError(f"{len(takers)} users for {len(owners)} owners, predictions {tuple(predicted.shape)}")
    everyone = ((predicted @ gram) * predicted).sum()
    scores = (takers * predicted[owners]).sum(1)
    return (everyone + (confidence * (1 - scores).square() - scores.square()).sum()) / len(predicted)
