import numpy as np
import pytest
import torch

from palate.core.content import Features
from palate.core.errors import ConfigError, FeatureError
from palate.modules.bank import ContentBank
from palate.modules.project import ContentProjector, Projector


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
    assert bank.names == ("text", "image") and len(bank) == 9 and bank.dim("image") == 6
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


def test_replace_takes_another_catalogue_of_the_same_width():
    bank = ContentBank(content())
    bank.replace(content(5, seed=1))
    assert len(bank) == 5
    with pytest.raises(FeatureError, match="7 columns"):
        bank.replace(content(5, text=7))
    with pytest.raises(FeatureError, match="modalities"):
        bank.replace({"text": content()["text"]})
    assert len(bank) == 5


def test_extend_appends_and_marks_what_is_not_given_absent():
    bank = ContentBank(content())
    before = bank.rows("text")[0]
    bank.extend({"text": content(2, seed=2)["text"]})
    assert len(bank) == 11
    torch.testing.assert_close(bank.rows("text")[0][:9], before)
    assert bank.present("text")[9:].all() and not bank.present("image")[9:].any()
    with pytest.raises(FeatureError, match="did you mean text"):
        bank.extend({"txt": content(2)["text"]})


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


@pytest.mark.parametrize("absent", ["zero", "learned"])
@pytest.mark.parametrize("hidden", [(), (5,)])
def test_absent_rows_have_no_influence_and_no_gradient(absent, hidden):
    layer = Projector(4, 3, hidden, norm=True, absent=absent)
    x = torch.randn(6, 4)
    present = torch.tensor([True, False, True, True, False, True])
    z = layer(x, present)
    torch.testing.assert_close(z, layer(torch.where(present[:, None], x, torch.nan), present))
    expected = torch.zeros(3) if absent == "zero" else layer.absent
    assert (z[~present] == expected).all() and (z[present] != 0).any()
    z[~present].sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in layer.layers.parameters())
    if absent == "learned":
        assert layer.absent.grad.tolist() == [2.0, 2.0, 2.0]


def test_nan_in_absent_rows_does_not_reach_the_weights():
    layer = Projector(2, 2)
    x = torch.tensor([[1.0, 2.0], [torch.nan, torch.nan]])
    layer(x, torch.tensor([True, False])).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in layer.parameters())


def test_projector_of_a_bank_projects_the_batch_alone_and_in_chunks():
    bank = ContentBank(content())
    layer = ContentProjector({name: bank.dim(name) for name in bank.names}, 3)
    seen = []
    layer.maps[0].register_forward_hook(lambda module, args, out: seen.append(len(args[0])))
    rows = torch.tensor([2, 7])
    some, full = layer(bank, rows), layer(bank)
    assert seen == [2, 9]
    for name in bank.names:
        torch.testing.assert_close(some[name][0], full[name][0][rows])
        assert torch.equal(some[name][1], full[name][1][rows])
        joined = torch.cat([part[name][0] for part in layer.chunks(bank, size=4)])
        torch.testing.assert_close(joined, full[name][0])
    with pytest.raises(ConfigError):
        ContentProjector({}, 3)
