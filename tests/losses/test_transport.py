import pytest
import torch
from scipy.optimize import linear_sum_assignment

from palate.core.errors import DataError
from palate.losses.transport import ipot, transport_distance


def ones(*shape):
    return torch.ones(*shape, dtype=torch.bool)


def test_the_plan_is_the_exact_one():
    """Between equally many tokens the best plan is a permutation, which the assignment problem gives."""
    cost = torch.rand(1, 5, 5, generator=torch.Generator().manual_seed(0))
    plan = ipot(cost, ones(1, 5), ones(1, 5), beta=0.1, steps=300)[0]
    rows, columns = linear_sum_assignment(cost[0].numpy())
    expected = torch.zeros(5, 5)
    expected[rows, columns] = 1 / 5
    torch.testing.assert_close(plan, expected, atol=1e-3, rtol=0)


def test_marginals_are_uniform_over_what_is_there_and_padding_changes_nothing():
    generator = torch.Generator().manual_seed(1)
    a, b = torch.randn(2, 4, 3, generator=generator), torch.randn(2, 3, 3, generator=generator)
    there, other = ones(2, 4), ones(2, 3)
    there[0, 3] = False
    cost = torch.rand(2, 4, 3, generator=generator)
    plan = ipot(cost, there, other)
    torch.testing.assert_close(plan[0].sum(0), torch.full((3,), 1 / 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(plan[0].sum(1), torch.tensor([1 / 3, 1 / 3, 1 / 3, 0]), atol=2e-2, rtol=0)
    short = transport_distance(a[:1, :3], b[:1], ones(1, 3), ones(1, 3))
    torch.testing.assert_close(transport_distance(a, b, there, other)[:1], short)


def test_one_token_a_side_is_a_cosine_distance_with_a_gradient():
    a = torch.tensor([[[3.0, 4.0]]], requires_grad=True)
    distance = transport_distance(a, torch.tensor([[[1.0, 0.0]]]), ones(1, 1), ones(1, 1))
    assert distance.item() == pytest.approx(1 - 0.6, abs=1e-5)
    distance.sum().backward()
    # the gradient of -cos at (3, 4) against (1, 0): -(1/5 - 3 * 3 / 125), 3 * 4 / 125
    torch.testing.assert_close(a.grad[0, 0], torch.tensor([-0.128, 0.096]), atol=1e-5, rtol=0)


def test_nothing_on_one_side_costs_nothing():
    a, b = torch.randn(2, 3, 4, requires_grad=True), torch.randn(2, 2, 4)
    there = ones(2, 3)
    there[1] = False
    distance = transport_distance(a, b, there, ones(2, 2))
    assert distance[1].item() == 0 and distance[0].item() > 0
    distance.sum().backward()
    assert torch.isfinite(a.grad).all()


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match="shapes"):
        transport_distance(torch.ones(1, 2, 3), torch.ones(1, 2, 4), ones(1, 2), ones(1, 2))
