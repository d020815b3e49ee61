"""Interactions of fields, each against its formula written out."""

import torch
from torch import nn

from palate.modules.interactions import CrossNetwork, GatedCross, Products, factorised_pairs, multilayer
from palate.modules.target_attention import TargetAttention


def test_factorised_pairs_are_the_sum_over_all_pairs():
    slots = torch.tensor([[[1.0, 2.0], [3.0, -1.0], [0.5, 4.0]]])
    # <a,b> = 1, <a,c> = 8.5, <b,c> = -2.5
    assert factorised_pairs(slots).tolist() == [7.0]


def test_inner_and_outer_products_of_pairs():
    slots = torch.tensor([[[1.0, 2.0], [3.0, -1.0], [0.5, 4.0]]])
    assert Products(3, outer=False, dim=2)(slots).tolist() == [[1.0, 8.5, -2.5]]
    outer = Products(3, outer=True, dim=2)
    with torch.no_grad():
        outer.kernel.copy_(torch.tensor([[1.0, 0.0], [0.0, 0.0]]).expand(3, 2, 2))
    # the kernel keeps the product of the first numbers alone
    assert outer(slots).tolist() == [[3.0, 0.5, 1.5]]


def test_a_cross_layer_multiplies_with_the_input():
    cross = CrossNetwork(2, layers=2)
    with torch.no_grad():
        for layer in cross.layers:
            layer.weight.copy_(torch.eye(2))
            layer.bias.zero_()
    x = torch.tensor([[2.0, 3.0]])
    # x1 = x * x + x, x2 = x * x1 + x1
    assert cross(x).tolist() == [[2 * 6 + 6.0, 3 * 12 + 12.0]]
    low = CrossNetwork(6, layers=1, rank=2)
    assert sum(p.numel() for p in low.parameters()) == 6 * 2 + 2 * 6 + 6


def test_the_exponential_cross_doubles_the_degree_and_the_linear_one_adds_one():
    def value(exponential: bool, scale: float) -> float:
        cross = GatedCross(4, layers=2, exponential=exponential)
        with torch.no_grad():
            for weight in cross.weights:
                weight.weight.copy_(torch.eye(2, 4))
                weight.bias.zero_()
            for norm in cross.norms:
                norm.weight.zero_()
                norm.bias.fill_(1.0)
            cross.score.weight.copy_(torch.tensor([[1.0, 0, 0, 0]]))
            cross.score.bias.zero_()
        return float(cross(scale * torch.tensor([[1.0, 2.0, 3.0, 4.0]])).detach())

    # with a mask of ones: x1 = x * x + x; exponential x2 = x1 * x1 + x1, linear x2 = x * x1 + x1
    assert value(True, 1.0) == 2 * 2 + 2
    assert value(False, 1.0) == 1 * 2 + 2
    assert value(True, 2.0) == 6 * 6 + 6 and value(False, 2.0) == 2 * 6 + 6


def test_the_mask_of_a_cross_takes_values_below_the_mean_away():
    cross = GatedCross(4, layers=1, exponential=False)
    with torch.no_grad():
        cross.weights[0].weight.copy_(torch.eye(2, 4))
        cross.weights[0].bias.zero_()
        cross.score.weight.copy_(torch.tensor([[0, 0, 1.0, 0]]))
        cross.score.bias.zero_()
    # the first of the two halves is below the layer's mean: its mask is 0, and nothing is crossed
    assert float(cross(torch.tensor([[-1.0, 1.0, 5.0, 1.0]]))) == 5.0


def test_target_attention_pools_by_its_weights_and_leaves_padding_out():
    attend = TargetAttention(1, 2)
    attend.weigh = nn.Sequential(nn.Linear(4, 1, bias=False))
    with torch.no_grad():
        attend.weigh[0].weight.copy_(torch.tensor([[0.0, 0.0, 0.0, 1.0]]))
    target, history = torch.tensor([[2.0]]), torch.tensor([[[1.0], [3.0], [100.0]]])
    there = torch.tensor([[True, True, False]])
    # weights are v * q = 2 and 6: (2 * 1 + 6 * 3) / sqrt(2)
    assert torch.allclose(attend(target, history, there), torch.tensor([[20 / 2**0.5]]))
    assert attend(target, history, torch.zeros(1, 3, dtype=torch.bool)).tolist() == [[0.0]]


def test_layers_end_with_a_logit_or_with_the_last_hidden_layer():
    assert multilayer(3, (5, 4))(torch.ones(2, 3)).shape == (2, 1)
    assert multilayer(3, (5, 4), out=None)(torch.ones(2, 3)).shape == (2, 4)
    assert multilayer(3, (), out=None)(torch.ones(2, 3)).shape == (2, 3)
