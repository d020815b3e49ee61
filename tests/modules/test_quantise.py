"""Codebooks: nearest codes and the loss by hand, where gradients go, a residual stack, and unused codes that return."""

import pytest
import torch

from palate.modules.quantise import VectorQuantiser, straight_through

CODES = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 9.0]])
Z = torch.tensor([[1.0, 0.0], [3.0, 1.0]])


def book(codes=CODES, **settings):
    made = VectorQuantiser(len(codes), codes.shape[1], **settings)
    made.kept.data = codes / made.lr_scale
    return made


def test_nearest_codes_and_the_loss_by_hand():
    found, ids, loss = book(commit=0.25, dead_code_weight=0.1)(Z)
    assert ids.tolist() == [0, 1] and torch.equal(found, CODES[:2])
    # squares: (1 + 0 + 1 + 1) / 4 numbers; each code against its nearest vector: 1, 1 + 1, 9 + 64, over 6 numbers
    assert loss.item() == pytest.approx((1 + 0.25) * 3 / 4 + 0.1 * (1 + 2 + 73) / 6)
    inner = torch.tensor([[[1.0, 0.0], [0.0, 8.0]]])
    assert book()(inner)[1].tolist() == [[0, 2]] == book().nearest(inner).tolist()


def test_gradients_of_codes_and_of_vectors():
    z, made = Z.clone().requires_grad_(), book(commit=0.5, dead_code_weight=0)
    _, _, loss = made(z)
    loss.backward()
    assert torch.allclose(z.grad, 0.5 * 2 * (Z - CODES[:2]) / 4)
    assert torch.allclose(made.kept.grad[:2], 2 * (CODES[:2] - Z) / 4) and not made.kept.grad[2].any()


def test_straight_through_rounds_forwards_only():
    z = Z.clone().requires_grad_()
    out = straight_through(z, CODES[:2])
    assert torch.equal(out, CODES[:2])
    (out * torch.tensor([2.0, 3.0])).sum().backward()
    assert torch.equal(z.grad, torch.tensor([[2.0, 3.0], [2.0, 3.0]]))


def test_levels_of_a_residual_quantiser_leave_less_and_less():
    torch.manual_seed(0)
    z = torch.randn(200, 4)
    levels = [VectorQuantiser(16, 4) for _ in range(3)]
    optimiser = torch.optim.Adam([p for level in levels for p in level.parameters()], 0.05)
    for _ in range(60):
        left, loss, errors = z, 0, []
        for level in levels:
            found, _, term = level(left)
            left, loss = left - found.detach(), loss + term
            errors.append(float(left.square().mean()))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert 1 > errors[0] > errors[1] > errors[2]


def test_unused_codes_return():
    torch.manual_seed(0)
    z = torch.randn(300, 2)
    used = {}
    for weight in (0.0, 0.1):
        made = book(torch.full((8, 2), 50.0) + torch.rand(8, 2), dead_code_weight=weight)
        made.kept.data[0] = 0
        optimiser = torch.optim.Adam(made.parameters(), 0.5)
        for _ in range(200):
            optimiser.zero_grad()
            made(z)[2].backward()
            optimiser.step()
        used[weight] = len(made.nearest(z).unique())
    assert used[0.0] == 1 and used[0.1] > 1


def test_a_codebook_can_be_initialized_from_given_vectors():
    made = VectorQuantiser(5, 2)
    made.initialize(Z, torch.Generator().manual_seed(0))
    assert all(any(torch.equal(code, z) for z in Z) for code in made.codes)


def test_codes_at_a_higher_learning_rate_are_the_same_codes():
    slow, fast = book(), book(lr_scale=10.0)
    for a, b in zip(slow(Z), fast(Z)):
        assert torch.allclose(a.float(), b.float())
    for made in (slow, fast):
        optimiser = torch.optim.Adam(made.parameters(), 0.01)
        made(Z)[2].backward()
        optimiser.step()
    assert torch.allclose(10 * (slow.codes - CODES), fast.codes - CODES, atol=1e-5)
    fast.initialize(Z, torch.Generator().manual_seed(0))
    assert all(any(torch.allclose(code, z) for z in Z) for code in fast.codes)
