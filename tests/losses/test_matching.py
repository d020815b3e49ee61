"""Matching and labels by hand."""

import math

import pytest
import torch

from palate.core.errors import DataError
from palate.losses.labels import batch_topics, share_cross_entropy
from palate.losses.pointwise import cosine_match


def test_a_cosine_as_a_probability_by_hand():
    a = torch.tensor([[1.0, 0.0], [2.0, 0.0]])
    b = torch.tensor([[0.0, 3.0], [1.0, math.sqrt(3)]])
    found = cosine_match(a, b, torch.tensor([True, False]))
    assert float(found) == pytest.approx((-math.log(0.5) - math.log(0.25)) / 2, rel=1e-5)
    assert float(cosine_match(a[:0], b[:0], torch.ones(0, dtype=torch.bool))) == 0
    same = a.clone().requires_grad_()
    cosine_match(same, a, torch.tensor([True, False])).backward()
    assert same.grad.isfinite().all()
    with pytest.raises(DataError, match="do not fit"):
        cosine_match(a, b, torch.ones(3, dtype=torch.bool))


def test_topics_that_the_batch_lacks_do_not_count():
    logits = torch.tensor([[0.0, 1.0, 9.0], [2.0, 0.0, 9.0], [7.0, 7.0, 7.0]])
    truth = torch.tensor([[True, False, False], [False, True, False], [False, False, False]])
    expected = sum(math.log1p(math.exp(x)) for x in (0, 1, 2, 0)) / 4
    assert float(batch_topics(logits, truth)) == pytest.approx(expected, rel=1e-5)
    assert float(batch_topics(logits[2:], truth[2:])) == 0
    for loss in (batch_topics, share_cross_entropy):
        with pytest.raises(DataError, match="do not fit"):
            loss(logits, truth[:2])
