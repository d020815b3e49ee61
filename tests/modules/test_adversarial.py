"""Parts of adversarial training against cases computed by hand."""

import math

import torch
from torch import nn

from palate.modules.adversarial import DoubleDiscriminator, held_constant, reverse_gradient


def test_gradients_come_back_with_the_opposite_sign():
    x = torch.tensor([2.0, 3.0], requires_grad=True)
    out = reverse_gradient(x)
    assert out.tolist() == [2.0, 3.0]
    (out * torch.tensor([1.0, 5.0])).sum().backward()
    assert x.grad.tolist() == [-1.0, -5.0]


def test_a_network_held_constant_moves_its_input_alone():
    network, x = nn.Linear(2, 1), torch.ones(1, 2, requires_grad=True)
    held_constant(network, x).sum().backward()
    assert network.weight.grad is None and torch.equal(x.grad, network.weight.detach())


def test_what_the_first_discriminator_knows_counts_less_in_the_second():
    double = DoubleDiscriminator(2, 2)
    with torch.no_grad():
        for parameter in double.parameters():
            parameter.zero_()
        double.weigh[2].bias[0] = math.log(3)
    # the first gives modality 0 the probability 3/4 everywhere, the second 1/2
    vectors = torch.randn(4, 2, 2)
    present = torch.tensor([[True, True]] * 4)
    first, second = double(vectors, present)
    assert math.isclose(float(first.detach()), -(math.log(0.75) + math.log(0.25)) / 2, rel_tol=1e-6)
    assert math.isclose(float(second.detach()), (0.25 + 0.75) / 2 * math.log(2), rel_tol=1e-6)
    first, second = double(vectors, torch.tensor([[True, False]] * 4))
    assert math.isclose(float(first.detach()), -math.log(0.75), rel_tol=1e-6)
    assert math.isclose(float(second.detach()), 0.25 * math.log(2), rel_tol=1e-6)
    assert [float(loss.detach()) for loss in double(vectors, torch.zeros(4, 2, dtype=torch.bool))][1] == 0


def test_vectors_play_against_the_second_discriminator_alone():
    torch.manual_seed(0)
    double, vectors = DoubleDiscriminator(3, 2), torch.randn(5, 2, 3, requires_grad=True)
    present = torch.ones(5, 2, dtype=torch.bool)
    first, second = double(vectors, present)
    assert torch.autograd.grad(first, vectors, allow_unused=True, retain_graph=True)[0] is None
    up = torch.autograd.grad(second, vectors)[0]
    with torch.no_grad():
        for sign in (1, -1):
            moved = double(vectors - sign * 0.01 * up, present)[1]
            # a step along the reversed gradient makes the discriminator worse
            assert (moved > second) == (sign == 1)
