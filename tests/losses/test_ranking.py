import math

import pytest
import torch

from palate.core.errors import ConfigError, DataError
from palate.losses.ranking import bpr, cosine_contrastive, hinge, sampled_softmax
from palate.losses.regularise import l2_rows

POS = torch.tensor([2.0, -1.0])
NEG = torch.tensor([[1.0, 3.0], [0.0, -2.0]])


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def test_bpr_by_hand():
    assert bpr(POS, NEG[:, 0]).item() == pytest.approx((softplus(-1) + softplus(1)) / 2)
    assert bpr(POS, NEG).item() == pytest.approx((softplus(-1) + softplus(1) + softplus(1) + softplus(-1)) / 4)
    assert bpr(POS, NEG[:, 0], torch.tensor([3.0, 1.0])).item() == pytest.approx((3 * softplus(-1) + softplus(1)) / 4)
    assert bpr(torch.tensor([1e4]), torch.tensor([-1e4])).item() == 0
    assert bpr(torch.tensor([-1e4]), torch.tensor([1e4])).item() == pytest.approx(2e4)


def test_hinge_by_hand():
    assert hinge(POS, NEG, 0.5).item() == pytest.approx((0 + 1.5 + 1.5 + 0) / 4)


def test_cosine_contrastive_by_hand():
    pos, neg = torch.tensor([0.9, 0.5]), torch.tensor([[0.6, 0.1], [0.4, -1.0]])
    assert cosine_contrastive(pos, neg, 0.3, 2.0).item() == pytest.approx((0.1 + 0.5) / 2 + 2 * (0.3 + 0.1) / 4)


def test_sampled_softmax_by_hand_and_equals_bpr_for_one_negative():
    expected = (math.log(1 + math.exp(-1) + math.exp(1)) + math.log(1 + math.exp(1) + math.exp(-1))) / 2
    assert sampled_softmax(POS, NEG).item() == pytest.approx(expected)
    assert sampled_softmax(POS, NEG[:, :1]).item() == pytest.approx(bpr(POS, NEG[:, 0]).item())
    mask = torch.tensor([[True, False], [True, False]])
    assert sampled_softmax(POS, NEG, mask=mask).item() == pytest.approx(bpr(POS, NEG[:, 0]).item())
    half = sampled_softmax(POS / 2, NEG / 2, tau=0.5).item()
    assert half == pytest.approx(expected)


def test_log_q_makes_the_sampled_gradient_unbiased_for_a_skewed_sampler():
    torch.manual_seed(0)
    scores = torch.randn(50)
    q = torch.softmax(scores + torch.randn(50), 0)
    exact = torch.logsumexp(scores, 0)
    drawn = torch.multinomial(q, 200_000, replacement=True)
    # the mean of exp(s - log q) estimates the partition function; log n turns the sum into that mean
    estimate = sampled_softmax(
        torch.tensor([-60.0]), scores[drawn][None], log_q_neg=q.log()[drawn][None] + math.log(200_000)
    )
    assert estimate.item() - 60 == pytest.approx(exact.item(), abs=0.02)
    wrong = sampled_softmax(
        torch.tensor([-60.0]), scores[drawn][None], log_q_neg=torch.tensor([math.log(200_000 / 50)])
    )
    assert abs(wrong.item() - 60 - exact.item()) > 0.1


def test_log_q_of_the_positive_lowers_popular_positives_less():
    plain = sampled_softmax(POS, NEG)
    shifted = sampled_softmax(POS, NEG, log_q_pos=torch.full((2,), -3.0))
    assert shifted < plain


@pytest.mark.parametrize("loss", [bpr, hinge, cosine_contrastive, sampled_softmax])
def test_gradients_push_apart_and_pass_gradcheck(loss):
    torch.manual_seed(0)
    pos = (torch.rand(4, dtype=torch.float64) * 0.5).requires_grad_()
    neg = (torch.rand(4, 3, dtype=torch.float64) * 0.5 + 0.45).requires_grad_()
    assert torch.autograd.gradcheck(loss, (pos, neg))
    loss(pos, neg).backward()
    assert (pos.grad < 0).all() and (neg.grad > 0).all()


def test_shapes_and_settings_are_checked():
    with pytest.raises(DataError):
        bpr(POS, NEG[:1])
    with pytest.raises(DataError):
        sampled_softmax(POS, NEG[:, 0])
    with pytest.raises(ConfigError):
        sampled_softmax(POS, NEG, tau=0)


def test_l2_is_half_the_mean_squared_row_norm_summed_over_arguments():
    a, b = torch.tensor([[3.0, 4.0], [0.0, 1.0]]), torch.ones(2, 3, 2)
    assert l2_rows(a).item() == pytest.approx((25 + 1) / 2 / 2)
    assert l2_rows(a, b).item() == pytest.approx(6.5 + 3)
    with pytest.raises(DataError):
        l2_rows()


def test_sampled_softmax_leaves_masked_negatives_out():
    pos, neg = torch.tensor([2.0, 1.0]), torch.tensor([[0.0, 5.0], [3.0, -1.0]])
    counts = torch.tensor([[True, False], [False, True]])
    found = sampled_softmax(pos, neg, mask=counts)
    by_hand = math.log(1 + math.exp(-2.0)) + math.log(1 + math.exp(-2.0))
    assert found.item() == pytest.approx(by_hand / 2, rel=1e-5)
    none = sampled_softmax(pos, neg, mask=torch.zeros(2, 2, dtype=torch.bool))
    assert none.item() == pytest.approx(0.0, abs=1e-6)
