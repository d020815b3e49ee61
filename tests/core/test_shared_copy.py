"""A twin shares tensors with its module, and what replaces them in one leaves the other as it was."""

import torch
from torch import nn

from palate.core.shared_copy import shared_copy


class Nest(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(3, 2)
        self.again = self.inner
        self.register_buffer("kept", torch.ones(4), persistent=False)
        self.content = {"text": 1}


def test_a_twin():
    one = Nest()
    two = shared_copy(one)
    assert type(two) is Nest and two.inner is two.again is not one.inner
    assert two.kept is one.kept and two.inner.weight is one.inner.weight
    x = torch.ones(1, 3)
    assert torch.equal(two.inner(x), one.inner(x))
    two.register_buffer("kept", torch.zeros(5))
    two.inner.weight = nn.Parameter(torch.zeros(2, 3))
    two.content = {}
    assert one.kept.sum() == 4 and one.inner.weight.abs().sum() > 0 and one.content == {"text": 1}
    assert "kept" in two.state_dict() and "kept" not in one.state_dict()
    assert [name for name, _ in two.named_parameters()] == [name for name, _ in one.named_parameters()]
