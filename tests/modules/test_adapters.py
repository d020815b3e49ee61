"""Parts that are trained beside frozen weights, networks in stages, and where modalities meet."""

import pytest
import torch
from torch import nn

from palate.core.errors import ConfigError
from palate.core.tuning import TuningSpec, parse_tuning
from palate.modules.adapters import Bottleneck, LowRank, Prompt, add_low_rank
from palate.modules.modality_fusion import ModalityFusion
from palate.modules.network import Network
from palate.modules.towers import make_tower, pooled

TOWERS = {
    "text": ({"vocabulary": 20, "dim": 8, "heads": 2, "length": 12}, (5,)),
    "image": ({"dim": 8, "channels": (8, 16)}, (3, 16, 16)),
    "audio": ({"bands": 6, "dim": 8, "channels": (8, 8, 8)}, (1, 6, 20)),
    "words": ({"vocabulary": 20, "dim": 8, "length": 12}, (5,)),
}


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 4)

    def forward(self, tokens):
        return self.layer(pooled(tokens))


def network(kind):
    torch.manual_seed(0)
    return Network(make_tower(kind, **TOWERS[kind][0]), Head(), kind).eval()


def inputs(kind, n=3):
    shape = TOWERS[kind][1]
    if kind in ("text", "words"):
        found = torch.arange(n * 5).reshape(n, 5) % 19 + 1
        found[1, 3:] = 0
        return found.float()
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(1))


def test_plans_are_read_and_written():
    assert parse_tuning("lora") == TuningSpec("lora", 8) and str(parse_tuning("lora:4")) == "lora:4"
    assert not parse_tuning("frozen").trains and str(parse_tuning("full")) == "full"
    for wrong in ("", "partial", "lora:0", "full:1", "lora:x", "tuned"):
        with pytest.raises(ValueError, match=r"known|needs"):
            parse_tuning(wrong)


def test_a_low_rank_update_is_the_product_of_its_halves():
    layer = nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 2, 3], [4, 5, 6]]))
    add_low_rank(layer, 1)
    update = layer.parametrizations.weight[0]
    x = torch.tensor([[1.0, 1, 1]])
    assert layer(x).tolist() == [[6.0, 15.0]], "nothing at first"
    with torch.no_grad():
        update.down.copy_(torch.tensor([[1.0, 0, -1]]))
        update.up.copy_(torch.tensor([[2.0], [3.0]]))
    assert torch.equal(layer.weight, torch.tensor([[3.0, 2, 1], [7, 5, 3]])) and layer(x).tolist() == [[6.0, 15.0]]
    assert layer(torch.tensor([[1.0, 0, 0]])).tolist() == [[3.0, 7.0]]


def test_a_low_rank_update_of_a_window_has_no_more_rank_than_the_window():
    assert LowRank(torch.zeros(4, 2, 3, 3), 100).down.shape == (4, 18)
    assert LowRank(torch.zeros(40, 2, 3, 3), 100).down.shape == (18, 18)


def test_a_bottleneck_reads_tokens_and_maps_alike():
    torch.manual_seed(0)
    part, tokens = Bottleneck(4, 2), torch.rand(2, 6, 4)
    assert torch.equal(part(tokens), tokens), "nothing at first"
    nn.init.normal_(part.up.weight)
    by_map = part(tokens.transpose(1, 2).reshape(2, 4, 2, 3))
    assert torch.allclose(by_map.flatten(2).transpose(1, 2), part(tokens))
    by_hand = tokens + nn.functional.gelu(tokens @ part.down.weight.T + part.down.bias) @ part.up.weight.T
    assert torch.allclose(part(tokens), by_hand, atol=1e-6)


def test_prompts_come_first_and_are_there():
    part = Prompt((5, 8), 2)
    values, mask = part(torch.zeros(3, 5, 8), torch.tensor([[True, False, False, False, False]] * 3))
    assert values.shape == (3, 7, 8) and mask[:, :2].all() and mask.sum() == 9
    picture, none = Prompt((3, 4, 6), 2)(torch.zeros(1, 3, 4, 6), None)
    assert picture.shape == (1, 3, 4, 8) and none is None and not picture[..., 2:].any() and picture[..., :2].any()


@pytest.mark.parametrize("kind", TOWERS)
def test_stages_give_what_the_tower_gives(kind):
    found, x = network(kind), inputs(kind)
    tower = found.tower.tower if kind == "words" else found.tower
    with torch.no_grad():
        tokens, mask = tower(x)
        whole = found.head((tokens, mask))
        assert torch.allclose(found((x, None)), whole, atol=1e-5)
        for n in (1, 2, 9):
            split = network(kind).prepare(TuningSpec("partial", n), TOWERS[kind][1]).eval()
            state = (x, None) if split.split is None else split.lower(x)
            assert torch.allclose(split(state), whole, atol=1e-5), n


@pytest.mark.parametrize("kind", TOWERS)
@pytest.mark.parametrize("plan", ["frozen", "partial:1", "full", "lora:2", "adapter:3", "prompt:2"])
def test_a_plan_trains_what_it_says(kind, plan):
    parsed, x = parse_tuning(plan), inputs(kind)
    plain = network(kind)
    if kind == "words" and parsed.kind in ("prompt", "lora"):
        with pytest.raises(ConfigError, match=r"learnt positions|no linear map"):
            plain.prepare(parsed, TOWERS[kind][1])
        return
    before = {name: p.clone() for name, p in plain.named_parameters()}
    found = network(kind).prepare(parsed, TOWERS[kind][1]).eval()
    trained = [p for p in found.parameters() if p.requires_grad]
    count = sum(p.numel() for p in trained)
    whole = sum(p.numel() for p in plain.parameters())
    assert {"frozen": count == 0, "full": count == whole}.get(parsed.kind, 0 < count <= whole)
    state = (x, None) if found.split is None else found.lower(x)
    if plan != "prompt:2":
        assert torch.allclose(found(state), plain((x, None)), atol=1e-5), "it starts where the encoder was"
    if not trained:
        return
    if parsed.kind in ("lora", "adapter", "prompt"):
        names = {name for name, p in found.named_parameters() if p.requires_grad}
        assert not names & before.keys(), "no weight of the encoder itself"
    found(state).square().sum().backward()
    assert any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in trained)


def test_the_split_point_is_named_by_the_weights_below_it_alone():
    def key(change, n=1):
        found = network("text")
        with torch.no_grad():
            change(found)
        return found.prepare(TuningSpec("partial", n), (5,)).lower_key()

    same = key(lambda found: None)
    assert key(lambda found: found.head.layer.weight.add_(1)) == same
    assert key(lambda found: found.tower.layers.layers[1].linear1.weight.add_(1)) == same
    assert key(lambda found: found.tower.layers.layers[0].linear1.weight.add_(1)) != same
    assert key(lambda found: found.tower.words.weight.add_(1)) != same
    assert key(lambda found: None, 2) != same


@pytest.mark.parametrize("joint", ["perceptron", "transformer"])
def test_modalities_meet_in_the_mean_of_what_is_there(joint):
    torch.manual_seed(0)
    meeting = ModalityFusion([4, 3], 8, joint).eval()
    texts, picture = torch.rand(3, 5, 4), torch.rand(3, 1, 3)
    said = torch.tensor([[True] * 5, [True, True, False, False, False], [False] * 5])
    seen = torch.tensor([[True], [False], [True]])
    out = meeting([(texts, said), (picture, seen)])
    words = meeting.maps[0](meeting.norms[0](texts)) + meeting.kinds[0]
    sights = meeting.maps[1](meeting.norms[1](picture))[:, 0] + meeting.kinds[1]
    assert torch.allclose(out[0], (words[0].mean(0) + sights[0]) / 2, atol=1e-5)
    assert torch.allclose(out[1], words[1, :2].mean(0), atol=1e-5)
    assert torch.allclose(out[2], sights[2], atol=1e-5)
    for parameter in meeting.parameters():
        nn.init.normal_(parameter)
    whole = meeting([(texts, said), (picture, seen)])
    texts[1, 2:], texts[2], picture[1] = 9.0, torch.nan, torch.nan
    assert torch.allclose(whole, meeting([(texts, said), (picture, seen)]), atol=1e-5), "what is absent is not read"
    alone = meeting([(texts[1:2, :2], said[1:2, :2]), (picture[1:2], seen[1:2])])
    assert torch.allclose(whole[1:2], alone, atol=1e-5), "neither the batch nor the padding matters"
