import math

import pytest
import torch

from palate.core.errors import ConfigError, DataError
from palate.losses.contrastive import (
    alignment,
    bootstrap_cosine,
    info_nce,
    similarity_preserving,
    supervised_contrastive,
    uniformity,
)

A = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
B = torch.tensor([[1.0, 0.0], [3.0, 4.0]])  # cosines with A: [1, .6], [0, .8]


def test_info_nce_by_hand():
    rows = (math.log(1 + math.exp((0.6 - 1) / 0.5)) + math.log(1 + math.exp((0 - 0.8) / 0.5))) / 2
    columns = (math.log(1 + math.exp((0 - 1) / 0.5)) + math.log(1 + math.exp((0.6 - 0.8) / 0.5))) / 2
    assert info_nce(A, B, 0.5).item() == pytest.approx(rows, rel=1e-5)
    assert info_nce(A, B, 0.5, symmetric=True).item() == pytest.approx((rows + columns) / 2, rel=1e-5)
    assert info_nce(A, B, 0.5, candidates=B).item() == pytest.approx(rows, rel=1e-5)
    dot = (math.log(1 + math.exp(6 - 2)) + math.log(1 + math.exp(0 - 4))) / 2
    assert info_nce(A, B, 1.0, normalize=False).item() == pytest.approx(dot, rel=1e-5)


def test_more_candidates_make_it_harder():
    more = torch.cat([B, torch.tensor([[1.0, 1.0]])])
    assert info_nce(A, B, candidates=more) > info_nce(A, B)


def test_rows_of_one_entity_are_not_negatives_of_each_other():
    a, b = torch.cat([A, A[:1]]), torch.cat([B, B[:1]])
    loss = info_nce(a, b, 0.5, ids=torch.tensor([7, 8, 7]))
    first = math.log(1 + math.exp((0.6 - 1) / 0.5))
    second = math.log(1 + 2 * math.exp((0 - 0.8) / 0.5))
    assert loss.item() == pytest.approx((2 * first + second) / 3, rel=1e-5)
    assert loss < info_nce(a, b, 0.5)
    false_negatives = torch.zeros(3, 3, dtype=torch.bool)
    false_negatives[0, 2] = false_negatives[2, 0] = True
    assert info_nce(a, b, 0.5, false_negatives=false_negatives).item() == pytest.approx(loss.item(), rel=1e-6)
    everybody = torch.ones(3, 3, dtype=torch.bool)
    assert info_nce(a, b, 0.5, false_negatives=everybody, symmetric=True).item() == pytest.approx(0, abs=1e-6)


def test_supervised_contrast_by_hand():
    z = torch.tensor([[2.0, 0.0], [3.0, 4.0], [0.0, 5.0]])  # cosines .6, 0, .8
    e = {"ab": math.exp(0.6 / 0.5), "ac": 1.0, "bc": math.exp(0.8 / 0.5)}
    a, b = -math.log(e["ab"] / (e["ab"] + e["ac"])), -math.log(e["ab"] / (e["ab"] + e["bc"]))
    assert supervised_contrastive(z, torch.tensor([4, 4, 9]), 0.5).item() == pytest.approx((a + b) / 2, rel=1e-5)
    a, b = a - math.log(e["ac"] / (e["ab"] + e["ac"])), b - math.log(e["bc"] / (e["ab"] + e["bc"]))
    c = -math.log(e["ac"] / (e["ac"] + e["bc"])) - math.log(e["bc"] / (e["ac"] + e["bc"]))
    assert supervised_contrastive(z, torch.tensor([1, 1, 1]), 0.5).item() == pytest.approx((a + b + c) / 6, rel=1e-5)


def test_rows_of_unknown_class_take_no_part():
    z = torch.cat([A, B])
    known = supervised_contrastive(z[:3], torch.tensor([0, 1, 0]))
    assert torch.equal(supervised_contrastive(z, torch.tensor([0, 1, 0, -1])), known)
    for classes in ([0, 1, 2, 3], [-1, -1, -1, -1], [-1, 0, -1, -1]):
        kinless = z.clone().requires_grad_()
        loss = supervised_contrastive(kinless, torch.tensor(classes))
        loss.backward()
        assert loss.item() == 0 and not kinless.grad.any()


def test_alignment_and_uniformity_by_hand():
    assert alignment(A, B).item() == pytest.approx((0 + (2 - 1.6)) / 2, rel=1e-5)
    assert uniformity(A).item() == pytest.approx(-2 * 2, rel=1e-5)
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    assert uniformity(x).item() == pytest.approx(math.log((2 * math.exp(-4) + math.exp(-8)) / 3), rel=1e-5)
    assert uniformity(torch.ones(4, 3)).item() == pytest.approx(0, abs=1e-5)


def test_bootstrap_stops_the_gradient_into_the_target_and_skips_absent_rows():
    online, target = A.clone().requires_grad_(), B.clone().requires_grad_()
    loss = bootstrap_cosine(online, target)
    assert loss.item() == pytest.approx((0 + 0.2) / 2, rel=1e-5, abs=1e-6)
    loss.backward()
    assert target.grad is None and online.grad is not None
    assert bootstrap_cosine(A, B, torch.tensor([False, True])).item() == pytest.approx(0.2, rel=1e-5)
    assert bootstrap_cosine(A, B, torch.tensor([False, False])).item() == 0


def test_similarity_preserving_by_hand():
    x = torch.tensor([[1.0, 0.0], [3.0, 4.0]])
    z = torch.tensor([[1.0], [2.0]])
    # Z Z.T = [[1, 2], [2, 4]], cosines [[1, .6], [.6, 1]]
    assert similarity_preserving(z, x).item() == pytest.approx(math.sqrt(2 * 1.4**2 + 9) / 2, rel=1e-5)
    assert similarity_preserving(z, x, torch.tensor([False, True])).item() == pytest.approx(3, rel=1e-5)
    assert similarity_preserving(x / x.norm(dim=1, keepdim=True), x * 7).item() == pytest.approx(0, abs=1e-6)
    assert similarity_preserving(z, x, torch.tensor([False, False])).item() == 0


def test_gradcheck():
    torch.manual_seed(0)
    a, b = (torch.randn(4, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    for loss in (lambda a, b: info_nce(a, b, symmetric=True), alignment, lambda a, b: uniformity(a) + uniformity(b)):
        assert torch.autograd.gradcheck(loss, (a, b))
    assert torch.autograd.gradcheck(lambda a: supervised_contrastive(a, torch.tensor([0, 1, 0, 1])), (a,))
    assert torch.autograd.gradcheck(lambda a: similarity_preserving(a, b), (a,))


def test_input_is_checked():
    with pytest.raises(DataError):
        info_nce(A, B[:1])
    with pytest.raises(ConfigError):
        info_nce(A, B, 0)
    with pytest.raises(ConfigError):
        info_nce(A, B, candidates=B, symmetric=True)
    with pytest.raises(DataError):
        supervised_contrastive(A, torch.tensor([0]))
    with pytest.raises(ConfigError):
        supervised_contrastive(A, torch.tensor([0, 0]), 0)
    with pytest.raises(DataError):
        uniformity(A[:1])
    with pytest.raises(DataError):
        similarity_preserving(A, B[:1])
