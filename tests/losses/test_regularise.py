import numpy as np
import pytest
import torch

from palate.core.errors import DataError
from palate.losses.regularise import l2_rows, norm_rows


def test_norms_are_not_squared_and_divided_by_the_rows_of_the_last():
    a, b = torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0], [2.0], [2.0], [4.0]])
    assert norm_rows(a, b).item() == pytest.approx((5 + 5) / 4)
    assert l2_rows(a, b).item() == pytest.approx((25 / 1 + 25 / 4) / 2)


def test_the_gradient_of_a_norm_does_not_grow_with_the_rows():
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    grads = []
    for scale in (1.0, 100.0):
        y = (x * scale).requires_grad_()
        norm_rows(y).backward()
        grads.append(y.grad.numpy())
    np.testing.assert_allclose(grads[0], grads[1], rtol=1e-5)


def test_nothing_to_regularise_is_said():
    with pytest.raises(DataError, match="nothing"):
        norm_rows()
