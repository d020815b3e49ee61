"""A bag of words: weights by rarity, about tf-idf before training, order and padding mean nothing."""

import numpy as np
import torch

from palate.modules.bag import N_SPECIAL, BagOfWords
from palate.modules.towers import pooled

IDS = np.array([[2, 5, 6, 3, 0], [2, 5, 7, 7, 3], [2, 5, 8, 3, 0], [2, 5, 6, 8, 3]])


def test_weights_follow_rarity():
    bag = BagOfWords(10, 8)
    bag.fit_weights(IDS)
    found = bag.weights.detach().numpy()
    assert not found[:N_SPECIAL].any() and found[5] == 0
    expected = np.log(5 / (1 + np.array([2, 1, 2, 0])))
    np.testing.assert_allclose(found[6:], expected / expected.max(), rtol=1e-6)


def test_untrained_it_is_about_tf_idf():
    torch.manual_seed(0)
    bag = BagOfWords(10, 4096).eval()
    bag.fit_weights(IDS)
    with torch.inference_mode():
        made = torch.nn.functional.normalize(pooled(bag(torch.from_numpy(IDS))), dim=1)
    counts = np.stack([np.bincount(row, minlength=10) for row in IDS]) * bag.weights.detach().numpy()
    unit = counts / np.linalg.norm(counts, axis=1, keepdims=True)
    np.testing.assert_allclose((made @ made.T).numpy(), unit @ unit.T, atol=0.06)


def test_order_and_padding_mean_nothing():
    bag = BagOfWords(10, 8).eval()
    with torch.inference_mode():
        a, b = (pooled(bag(torch.tensor([ids]))) for ids in ([5, 6, 7], [7, 5, 6, 0, 0]))
    torch.testing.assert_close(a, b)


def test_training_sees_a_part_and_never_nothing():
    torch.manual_seed(0)
    bag = BagOfWords(10, 8, hide=0.99).train()
    _, mask = bag(torch.from_numpy(IDS))
    assert mask.any(1).all() and (mask <= torch.from_numpy(IDS != 0)).all()
