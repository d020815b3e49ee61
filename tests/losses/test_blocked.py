import numpy as np
import pytest
import torch

from palate.core.errors import DataError
from palate.losses.blocked import sum_log_partition


def test_value_and_gradients_equal_the_dense_formula():
    rng = torch.Generator().manual_seed(0)
    a, b = (torch.randn(n, 4, generator=rng, dtype=torch.float64, requires_grad=True) for n in (37, 50))
    weight = torch.rand(37, generator=rng, dtype=torch.float64)
    blocked = sum_log_partition(a, b, weight, 20.0, block=8)
    dense = weight @ torch.logsumexp(a @ b.T, 1)
    assert blocked.item() == pytest.approx(dense.item(), rel=1e-12)
    for ours, theirs in zip(torch.autograd.grad(3 * blocked, (a, b)), torch.autograd.grad(3 * dense, (a, b))):
        np.testing.assert_allclose(ours, theirs, atol=1e-10)


def test_large_products_do_not_overflow():
    a = torch.full((1, 1), 200.0)
    assert sum_log_partition(a, torch.ones(3, 1), torch.ones(1), 200.0).item() == pytest.approx(200 + np.log(3))


def test_shapes_are_checked():
    with pytest.raises(DataError):
        sum_log_partition(torch.ones(2, 3), torch.ones(4, 2), torch.ones(2), 1.0)
