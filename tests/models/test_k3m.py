"""K3M: its terms by hand, answers that are not shown, missing modalities, and knowledge read off content."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from paired_items import COLOURS, READERS, shop, view

from palate.contracts import pretrainers
from palate.core.batch import ExampleBatch
from palate.core.context import RunContext
from palate.core.errors import ConfigError
from palate.data.relations import Edges, Relations
from palate.features.saved import load_encoder
from palate.models.pretrain.shared.properties import Properties
from palate.modules.interactive import AttentionPooling, CoAttention
from palate.modules.triples import Triples
from palate.training.pretrain import pretrain

SMALL = {"dim": 16, "layers": 1, "batch_size": 32, "lr": 3e-3, "classes": 4}
ROWS = torch.tensor([0, 1, 2, 3])
N = 48


def relations(n=N):
    """Every item's colour, and a size for every other one."""
    rows, some = np.arange(n), np.arange(0, n, 2)
    ones = np.ones(n, np.float32)
    return Relations(
        {
            "coloured": Edges(rows, rows % 4, ones, "colour", tuple(COLOURS)),
            "sized": Edges(some, some // 2 % 3, ones[: len(some)], "size", ("s", "m", "l")),
            "next_to": Edges(rows[:-1], rows[1:], ones[1:]),
        }
    )


def known(told=True, n=N, **shape):
    found = view(n, **shape)
    found.fields, found.relations = {}, relations(n) if told else Relations()
    return found


def build(train=None, **settings):
    torch.manual_seed(0)
    model = pretrainers.get("k3m")(**{**SMALL, **settings})
    model.setup(train or known(), RunContext())
    return model


def test_properties_are_relations_to_entities():
    found = Properties.from_view(known())
    assert found.names == ("coloured", "sized") and found.offsets.tolist() == [0, 4, 7]
    assert [found.values[i].tolist() for i in range(4)] == [[0, 4], [1], [2, 5], [3]]
    assert found.padded_values(8)[:2].tolist() == [[0, 4], [1, -1]] and found.padded_values(1).shape == (N, 1)
    assert found.classes("sized")[:4].tolist() == [4, -1, 5, -1]
    with pytest.raises(ConfigError, match="sised"):
        found.classes("sised")


def test_co_attention_without_a_partner_reads_nothing():
    torch.manual_seed(0)
    block = CoAttention(8, 2).eval()
    x, y = torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    there = torch.tensor([[True, True, False, False, False], [False] * 5])
    with torch.no_grad():
        out = block(x, (y, there))
        torch.testing.assert_close(out[1], block(x, None)[1])
        torch.testing.assert_close(out[:1], block(x[:1], (y[:1, :2], there[:1, :2])))
        assert not torch.allclose(out[0], block(x, None)[0], atol=1e-3)


def test_weights_are_of_what_is_there():
    torch.manual_seed(0)
    weighed = AttentionPooling(8)
    x = torch.randn(2, 3, 8)
    there = torch.tensor([[True, False, True], [False, False, False]])
    found = weighed(x, there)
    w = weighed.score(x[0, [0, 2]]).softmax(0)
    torch.testing.assert_close(found[0], (w * x[0, [0, 2]]).sum(0))
    assert torch.equal(found[1], torch.zeros(8))


def test_triples_by_hand():
    torch.manual_seed(0)
    triples = Triples(torch.tensor([0, 2, 5]), 4)
    items, stated = torch.randn(2, 4), torch.tensor([[1, 3], [0, -1]])
    p, v = triples.properties.weight, triples.values.weight
    with torch.no_grad():
        found = triples.aggregate(items, stated)
        j = torch.stack([triples.join(torch.cat([items[0], p[k], v[n]])) for k, n in ((0, 1), (1, 3))])
        a = F.leaky_relu(triples.score(j)).softmax(0)
        torch.testing.assert_close(found[0], items[0] + (a * j).sum(0))
        torch.testing.assert_close(found[1], items[1] + triples.join(torch.cat([items[1], p[0], v[0]])))
        assert torch.equal(triples.aggregate(items, torch.full((2, 2), -1)), items)
        asked = torch.tensor([[True, False], [False, False]])
        loss = triples.hinge(items, stated, asked, wrong=200, margin=3.0)
        right, far = (items[0] + p[0] - v[1]).norm(), (items[0] + p[0] - v[0]).norm()
        assert float(loss) == pytest.approx(float((3 + right - far).clamp(min=0)), rel=1e-4)
        ranks = triples.ranks(items, stated)
        d = (items[0] + p[1] - v[2:5]).norm(dim=1)
        assert len(ranks) == 3 and int((d <= d[1]).sum()) in ranks[2:].tolist()


def test_predicted_triples_are_not_aggregated():
    model = build(asked=1.0, modality_dropout=0, objectives=("lpm",)).eval()
    shown = []
    model.triples.aggregate = lambda items, stated: shown.append(stated) or items
    model.loss(ExampleBatch(ROWS[:, None]))
    assert (shown[0] == -1).all()
    model = build(asked=0.5).eval()
    model.triples.aggregate = lambda items, stated: shown.append(stated) or items
    model.triples.hinge = lambda items, stated, asked, *_: shown.append((stated, asked)) or items.sum()
    model.loss(ExampleBatch(ROWS[:, None]))
    stated, asked = shown[2]
    assert torch.equal(shown[1] >= 0, (stated >= 0) & ~asked) and asked.any(1).all()


def test_masked_words_and_regions_by_hand():
    model = build(masked=0.999, modality_dropout=0).eval()
    shown = torch.ones(4, 2, dtype=torch.bool)
    ids, pictures = model.ids(ROWS), model.inputs.read("image", ROWS)
    seen = {}
    model.mlm = lambda states, truth: seen.update(words=(states, truth)) or states.sum() * 0
    model.mom = lambda states, rows, where: seen.update(regions=(states, where)) or states.sum() * 0
    torch.manual_seed(3)
    model.loss(ExampleBatch(ROWS[:, None]))
    assert seen["regions"][1].all() and torch.equal(seen["words"][1], ids[ids >= 5])
    states, where = seen["regions"]
    with torch.no_grad():
        p = ((F.normalize(model.detector(ROWS), dim=2) @ model.detector.kinds.T) * 10).softmax(2).flatten(0, 1)
        expected = (p * (p.log() - model.guess_class(states).log_softmax(1))).sum(1).mean()
        found = type(model).mom(model, states, ROWS, where)
    assert float(found) == pytest.approx(float(expected), rel=1e-3)
    with torch.no_grad():
        hidden = torch.ones(4, 4, dtype=torch.bool)
        one = model.before(ids, pictures, shown, hidden)[1][0]
        other = model.before(ids, pictures.flip(0), shown, hidden)[1][0]
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("fusion", ["both", "initial", "interactive"])
def test_what_is_not_shown_changes_nothing(fusion):
    model = build(moments=fusion).eval()
    ids, pictures = model.ids(ROWS), model.inputs.read("image", ROWS)
    words = torch.tensor([[True, False]]).expand(4, -1)
    with torch.no_grad():
        alone = model.content(ids, pictures, words)
        torch.testing.assert_close(alone, model.content(ids, torch.zeros_like(pictures), words))
        torch.testing.assert_close(alone[:2], model.content(ids[:2], pictures[:2], words[:2]), atol=1e-5, rtol=1e-4)
        both = model.content(ids, pictures, torch.ones(4, 2, dtype=torch.bool))
        assert not torch.allclose(alone, both, atol=1e-3)


def test_missing_modalities_and_hiding():
    model = build(known(no_picture=[0, 1], no_text=[2]), modality_dropout=0.5)
    assert set(model.train_items) | set(model.eval_items) == set(range(N)) and not set(model.eval_items) & {0, 1, 2}
    shown = torch.stack([model.visible(ROWS) for _ in range(50)])
    assert (shown[:, 0] == torch.tensor([True, False])).all() and (shown[:, 2] == torch.tensor([False, True])).all()
    assert shown[:, 3].any(1).all() and 5 < int((~shown[:, 3]).any(1).sum()) < 45
    for rows in (ROWS, ROWS[:2], ROWS[2:3]):
        model.zero_grad()
        terms = model.loss(ExampleBatch(rows[:, None]))
        terms["loss"].backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_data_without_properties_are_refused():
    with pytest.raises(ConfigError, match="objectives"):
        build(known(told=False))
    model = build(known(told=False), objectives=("mlm", "mom"))
    assert not model.phases()[0].validate and build().phases()[0].validate
    with pytest.raises(ConfigError, match="items with image"):
        build(known(image=False))


def test_knowledge_is_predicted_from_content_and_encoders_are_restored(tmp_path):
    colours = {"coloured": relations(60).edges["coloured"]}
    data = replace(shop(60), relations=Relations(colours))
    model = pretrainers.get("k3m")(**SMALL, epochs=40, patience=40)
    encoders = pretrain(model, data, tmp_path / "out", readers=READERS, device="cpu")
    assert model.validation_score() > 0.8  # by chance .52
    for modality, raw in (("text", ["a red lamp", "a blue lamp"]), ("image", data.items.raw("image")[:2])):
        found = load_encoder(tmp_path / "out" / modality).encode([*raw, None])
        assert found.dim == 16 and found.present.tolist() == [True, True, False]
        np.testing.assert_array_equal(found.values, encoders[modality].encode([*raw, None]).values)
    ids = torch.from_numpy(encoders["text"].of.encode(["a red lamp"]).values).long()
    with torch.no_grad():
        alone = model.content(ids, torch.zeros(1, 3, 32, 32), torch.tensor([[True, False]]))
    np.testing.assert_allclose(
        encoders["text"].encode(["a red lamp"]).values, F.normalize(alone, dim=1).numpy(), atol=1e-5
    )
