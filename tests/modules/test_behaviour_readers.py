"""Readers of histories and modalities: recurrent, Transformers, queries, experts."""

import math

import torch
from torch import nn

from palate.modules.behaviour import BehaviourTransformer
from palate.modules.fusion_queries import FusionQueries
from palate.modules.mixture import MixtureOfExperts, ModalityExperts
from palate.modules.recurrent import run_in_order

THERE = torch.tensor([[False, True, True], [False, False, False], [True, True, True], [False, False, True]])


def test_a_recurrent_network_reads_histories_as_if_each_were_alone():
    torch.manual_seed(0)
    network, values = nn.GRU(2, 3, batch_first=True), torch.randn(4, 3, 2)
    states = run_in_order(network, values, THERE)
    for row, there in enumerate(THERE):
        assert not states[row, ~there].any()
        if there.any():
            alone = network(values[row, there][None])[0][0]
            assert torch.allclose(states[row, there], alone, atol=1e-6)
    assert not run_in_order(network, values, torch.zeros_like(THERE)).any()


def test_padding_is_not_read_by_the_transformer_and_places_count_from_the_newest():
    torch.manual_seed(0)
    network, values = BehaviourTransformer(4, 5, 1, 2).eval(), torch.randn(4, 3, 4)
    with torch.no_grad():
        network.places.normal_()
        states = network(values, THERE)
        for row, there in enumerate(THERE):
            assert not states[row, ~there].any()
            if there.any():
                alone = network(values[row, there][None], there[there][None])[0]
                assert torch.allclose(states[row, there], alone, atol=1e-5)


def test_queries_add_the_mean_of_what_they_attend_to():
    fuse = FusionQueries(2, 1, layers=1, heads=1)
    layer = fuse.layers.layers[0]
    with torch.no_grad():
        fuse.queries.copy_(torch.tensor([[2.0, 0.0]]))
        # queries and keys are zero: attention is uniform; values are the normalised tokens as they are
        layer.self_attn.in_proj_weight.zero_()
        layer.self_attn.in_proj_weight[4:].copy_(torch.eye(2))
        layer.self_attn.out_proj.weight.copy_(torch.eye(2))
        layer.linear2.weight.zero_()
        layer.linear2.bias.zero_()
    tokens = torch.tensor([[[3.0, 1.0], [0.0, 4.0]]]).repeat(2, 1, 1)
    present = torch.tensor([[True, True], [True, False]])
    # of two numbers the norm makes (1, -1) or (-1, 1)
    third = 1 / 3
    wanted = torch.tensor([[2 + third, -third], [3.0, -1.0]])
    assert torch.allclose(fuse(tokens, present), wanted, atol=1e-4)
    assert FusionQueries(2, 3, 1, 1)(tokens, present).shape == (2, 6)


def constant(mixture: MixtureOfExperts) -> None:
    """Let expert k answer k + 1, whatever it reads."""
    for number, expert in enumerate(mixture.experts):
        for parameter in expert.parameters():
            parameter.zero_()
        expert[-1].bias.fill_(number + 1.0)


def test_experts_are_mixed_by_the_gate_of_the_token():
    mixture = MixtureOfExperts(1, 2)
    with torch.no_grad():
        constant(mixture)
        mixture.gate.weight.copy_(torch.tensor([[math.log(3)], [0.0]]))
    # equal shares at 0; 3 to 1 at 1
    assert torch.allclose(mixture(torch.tensor([[0.0], [1.0]])), torch.tensor([[1.5], [1.25]]))
    assert MixtureOfExperts(1, 1).gate is None


def test_tokens_are_sent_to_the_experts_of_their_modality():
    experts = ModalityExperts(1, 1, 2)
    with torch.no_grad():
        for number, mixture in enumerate(experts.mixtures):
            constant(mixture)
            mixture.experts[0][-1].bias.fill_(10.0 * number)
    assert experts(torch.zeros(1, 2, 3, 1))[0, :, :, 0].tolist() == [[0.0] * 3, [10.0] * 3]
    assert len(ModalityExperts(1, 2, 1).mixtures) == 1
