import numpy as np
import pytest
import torch

from palate.core.content import Features
from palate.core.errors import FeatureError
from palate.modules.bank import ContentBank


def content(n=9, seed=0, text=4, image=6):
    rng = np.random.default_rng(seed)
    present = np.arange(n) % 3 != 1
    return {
        "text": Features(rng.standard_normal((n, text)).astype(np.float32), np.ones(n, bool)),
        "image": Features(
            np.where(present[:, None], rng.standard_normal((n, image)), np.nan).astype(np.float16), present
        ),
    }


def test_rows_come_in_order_with_their_mask():
    given = content()
    bank = ContentBank(given)
    assert bank.names == ("text", "image") and len(bank) == 9
    x, present = bank.rows("image", torch.tensor([4, 0, 0]))
    assert present.tolist() == [False, True, True] and x.dtype == torch.float32
    assert (x[0] == 0).all()
    np.testing.assert_array_equal(x[1].numpy(), given["image"].values[0].astype(np.float32))
    everything, mask = bank.rows("text")
    np.testing.assert_array_equal(everything.numpy(), given["text"].values)
    assert mask.all()


def test_content_is_not_saved_and_not_trained():
    bank = ContentBank(content())
    assert not bank.state_dict() and not list(bank.parameters())
    assert all(not buffer.requires_grad for buffer in bank.buffers())


def test_unusable_content_is_refused():
    bad = content()
    bad["text"].values[3, 1] = np.inf
    with pytest.raises(FeatureError, match=r"row 4.*text"):
        ContentBank(bad)
    with pytest.raises(FeatureError, match="different numbers"):
        ContentBank({"text": content()["text"], "image": content(4)["image"]})
    tokens = Features(np.zeros((3, 2), np.float32), np.ones(2, bool), kind="tokens", lengths=np.array([1, 2]))
    with pytest.raises(FeatureError, match="one vector per item"):
        ContentBank({"text": tokens})
    with pytest.raises(FeatureError, match="known: image, text"):
        ContentBank(content()).rows("sound")
