"""Objectives on vectors of matching pairs: two views of an entity, a user and a liked item, content and ID.

| loss | negatives | needs |
|---|---|---|
| :func:`info_nce` | the batch, or all candidates | batches of a few hundred and more |
| :func:`supervised_contrastive` | the batch's other classes | classes, several items of each in a batch |
| :func:`alignment` + :func:`uniformity` | none + the spread of a batch | pairs; the two parts of InfoNCE in the limit |
| :func:`bootstrap_cosine` | none | a predictor on one side and stop-gradient on the other, else it collapses |
| :func:`similarity_preserving` | none | raw features whose geometry should survive |
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from palate.core.errors import ConfigError, DataError


def info_nce(
    a: Tensor,
    b: Tensor,
    tau: float | Tensor = 0.2,
    *,
    symmetric: bool = False,
    candidates: Tensor | None = None,
    ids: Tensor | None = None,
    false_negatives: Tensor | None = None,
    normalize: bool = True,
) -> Tensor:
    """Mean over rows of ``-log exp(s(a_i, b_i) / tau) / sum_c exp(s(a_i, c) / tau)`` (van den Oord et al., 2018).

    Data: pairs; large batches.
    Relations: with sampled negatives and their probabilities use :func:`palate.losses.ranking.sampled_softmax`.

    Args:
        a: anchors [B, d].
        b: positives [B, d], row by row.
        tau: temperature, a number or a learnt scalar.
        symmetric: average with the direction b -> a (CLIP); only without ``candidates``.
        candidates: [C, d], the vectors that the sum runs over; the positives must be among them (LGMRec takes all
            nodes). By default the rows of ``b``.
        ids: int [B], entity of each row; another row of the same entity is not a negative. Only without ``candidates``.
        false_negatives: bool [B, B], symmetric, rows that are not each other's negatives for any other reason. Only
            without ``candidates``.
        normalize: compare cosines (default) or plain dot products.

    Raises:
        DataError: the shapes differ.
        ConfigError: the temperature is not positive, or ``candidates`` come with arguments that compare rows.

    Examples:
        >>> a, b = torch.eye(2), torch.tensor([[1.0, 0.0], [0.6, 0.8]])
        >>> round(float(info_nce(a, b, tau=0.5)), 4)
        0.2775
    """
    _pairs(a, b)
    if tau <= 0:
        raise ConfigError(f"a temperature must be positive, got {tau}", key="tau")
    if candidates is not None and (symmetric or ids is not None or false_negatives is not None):
        raise ConfigError(
            "symmetric, ids and false_negatives compare rows of a batch, they do not go with candidates",
            key="candidates",
        )
    if normalize:
        a, b = F.normalize(a, dim=1), F.normalize(b, dim=1)
        candidates = None if candidates is None else F.normalize(candidates, dim=1)
    if candidates is not None:
        positive = (a * b).sum(1) / tau
        return (torch.logsumexp(a @ candidates.T / tau, dim=1) - positive).mean()
    logits = a @ b.T / tau
    if ids is not None:
        same = ids[:, None] == ids[None, :]
        false_negatives = same if false_negatives is None else false_negatives | same
    if false_negatives is not None:
        own = torch.eye(len(a), dtype=torch.bool, device=a.device)
        logits = logits.masked_fill(false_negatives & ~own, -torch.inf)
    target = torch.arange(len(a), device=a.device)
    loss = F.cross_entropy(logits, target)
    return (loss + F.cross_entropy(logits.T, target)) / 2 if symmetric else loss


def supervised_contrastive(z: Tensor, classes: Tensor, tau: float = 0.1) -> Tensor:
    """Supervised contrastive loss (Khosla et al., NeurIPS 2020, with the sum outside the logarithm).

    Mean over rows i whose class has other rows of
    ``-1/|P_i| sum_(p in P_i) log exp(s_ip / tau) / sum_(a != i) exp(s_ia / tau)``, s a cosine, P_i the other rows of
    i's class.

    Data: classes, such as the category of an item.
    Relations: with two rows to a class it is :func:`info_nce` over all other rows of the batch.

    Args:
        z: vectors of a batch [B, d].
        classes: int [B], negative where unknown; such rows take no part.
        tau: temperature.

    Returns:
        A scalar; 0 where no class has two rows.

    Raises:
        DataError: the shapes do not fit.
        ConfigError: the temperature is not positive.

    Examples:
        >>> z = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
        >>> round(float(supervised_contrastive(z, torch.tensor([0, 0, 1]), tau=0.5)), 4)
        0.3485
    """
    if z.ndim != 2 or classes.shape != z.shape[:1]:
        raise DataError(f"{tuple(classes.shape)} classes do not name the vectors of shape {tuple(z.shape)}")
    if tau <= 0:
        raise ConfigError(f"a temperature must be positive, got {tau}", key="tau")
    z, classes = F.normalize(z[classes >= 0], dim=1), classes[classes >= 0]
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    same_class = (classes[:, None] == classes[None, :]) & ~itself
    logits = (z @ z.T / tau).masked_fill(itself, -torch.inf)
    each = torch.where(same_class, logits.log_softmax(1), 0).sum(1) / same_class.sum(1).clamp(min=1)
    return -each.sum() / same_class.any(1).sum().clamp(min=1)


def alignment(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared distance of matching unit vectors, ``||a_i - b_i||^2`` (Wang & Isola, ICML 2020).

    Data: pairs.
    Relations: collapses alone; add :func:`uniformity` on both sides (DirectAU, Wang et al., KDD 2022).

    Args:
        a: [B, d].
        b: [B, d], row by row.

    Raises:
        DataError: the shapes differ.

    Examples:
        >>> a, b = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])
        >>> float(alignment(a, b))
        2.0
    """
    _pairs(a, b)
    return (F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(1).mean()


def uniformity(x: Tensor, t: float = 2.0) -> Tensor:
    """``log mean_(i<j) exp(-t ||x_i - x_j||^2)`` of unit vectors: low when a batch spreads over the sphere.

    Data: a batch of distinct entities (repeats look like collapse).
    Relations: see :func:`alignment`.

    Args:
        x: [B, d] with B >= 2.
        t: sharpness.

    Raises:
        DataError: there are fewer than two vectors.

    Examples:
        >>> round(float(uniformity(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))), 4)
        -4.0
    """
    if x.ndim != 2 or len(x) < 2:
        raise DataError(f"uniformity needs at least two vectors, got shape {tuple(x.shape)}")
    unit = F.normalize(x, dim=1)
    above = torch.triu_indices(len(x), len(x), offset=1, device=x.device)
    squared = 2 - 2 * (unit @ unit.T)[above[0], above[1]]
    return torch.logsumexp(-t * squared, dim=0) - torch.log(torch.tensor(float(above.shape[1]), device=x.device))


def bootstrap_cosine(online: Tensor, target: Tensor, present: Tensor | None = None) -> Tensor:
    """Mean of ``1 - cos(online_i, sg(target_i))`` (BM3, Zhou et al., WWW 2023; after BYOL and SimSiam).

    Data: pairs, no negatives.
    Relations: without predictor and stop-gradient it is half of :func:`alignment`, which collapses.

    Args:
        online: [B, d], output of a predictor.
        target: [B, d]; no gradient flows into it.
        present: bool [B]; absent rows (a missing modality) do not count.

    Raises:
        DataError: the shapes differ.

    Examples:
        >>> online, target = torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
        >>> float(bootstrap_cosine(online, target))
        0.5
        >>> float(bootstrap_cosine(online, target, torch.tensor([True, False])))
        0.0
    """
    _pairs(online, target)
    each = 1 - F.cosine_similarity(online, target.detach(), dim=1)
    return each.mean() if present is None else _masked_mean(each, present)


def similarity_preserving(z: Tensor, x: Tensor, present: Tensor | None = None) -> Tensor:
    """``||Z Z.T - cos(X, X)||_F / B``: vectors keep the geometry of raw features (AlignRec, Liu et al., CIKM 2024).

    Data: items with raw features. Cost B x B, so for batches only.
    Relations: a content-space regulariser next to :func:`info_nce`.

    Args:
        z: learned vectors of a batch of items [B, d]; their scale matters, as in the paper.
        x: raw features [B, D] of the same items.
        present: bool [B]; pairs with an absent item do not count, B is the number of present ones.

    Raises:
        DataError: the numbers of rows differ.

    Examples:
        >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> round(float(similarity_preserving(2 * x, x)), 4)  # the norm of diag(3, 3), over 2
        2.1213
    """
    if z.ndim != 2 or x.ndim != 2 or len(z) != len(x):
        raise DataError(f"vectors of shape {tuple(z.shape)} do not describe the features of shape {tuple(x.shape)}")
    if present is not None:
        z, x = z[present], x[present]
    if not len(z):
        return z.sum()
    unit = F.normalize(x.detach(), dim=1)
    distance: Tensor = torch.linalg.matrix_norm(z @ z.T - unit @ unit.T)
    return distance / len(z)


def _pairs(a: Tensor, b: Tensor) -> None:
    if a.ndim != 2 or a.shape != b.shape:
        raise DataError(f"pairs of vectors need one shape [B, d], got {tuple(a.shape)} and {tuple(b.shape)}")


def _masked_mean(each: Tensor, present: Tensor) -> Tensor:
    weight = present.to(each.dtype)
    return (torch.where(present, each, each.new_zeros(()))).sum() / weight.sum().clamp_min(1)
