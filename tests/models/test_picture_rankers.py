"""Click models that read pictures: their own parts against formulas, and what each setting leaves out."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "contract"))

from ranker_case import N_ITEMS, TASTES, make, pictures, shop

from palate.contracts import models
from palate.core.content import Features
from palate.core.context import RunContext
from palate.core.errors import ConfigError
from palate.losses.contrastive import info_nce
from palate.modules.neighbour_hubs import NeighbourHubs

READERS = ("dicm", "cscnn", "hccm", "visual_debias", "compositional_vr")


def built(name: str, features: dict[str, Features] | None = None, **settings):
    """A model after ``setup``, in evaluation mode, and a batch of its first events."""
    model = make(name, longest=6, dropout=0.0, **settings)
    train = shop().select_view().with_features({"image": pictures()} if features is None else features)
    torch.manual_seed(0)
    model.setup(train, RunContext())
    source = model.batches(train, RunContext())
    return model.eval(), source.collate(np.arange(600, 632), np.random.default_rng(0))


def reader_of(model, rows):
    return model.reader(rows, model.categories())


@pytest.mark.parametrize("aggregator", ["concat", "sum", "max", "attentive", "multi_query"])
def test_dicm_joins_the_candidates_picture_and_those_of_the_history(aggregator):
    model, batch = built("dicm", aggregator=aggregator, counters="none")
    history = batch.padded_history(6)
    before = reader_of(model, history)[batch.groups]
    there = ((history >= 0) & (history != 6) & (history != 13))[batch.groups]
    picture, behind = model.visual(batch)
    assert torch.allclose(picture, reader_of(model, batch.items), atol=1e-6)
    if aggregator == "concat":
        expected = before.flatten(1)
    elif aggregator in ("sum", "max"):
        masked = before.masked_fill(~there[..., None], 0 if aggregator == "sum" else -torch.inf)
        expected = masked.sum(1) if aggregator == "sum" else masked.amax(1)
        expected = torch.where(there.any(1, keepdim=True), expected, 0.0)
    else:
        ids = model.slots.entities("item", batch.items).mean(1)
        queries = [picture, ids][: len(model.interest.attend)]
        expected = torch.cat([one(before, there, q) for one, q in zip(model.interest.attend, queries)], 1)
    assert torch.allclose(behind, expected, atol=1e-6) and behind.abs().sum() > 0
    x = torch.cat([model.embedded(batch).flatten(1), picture, behind], 1)
    total = model.score(x)[:, 0] + model.first_order(batch, model.counters_of(batch))
    assert torch.allclose(model.logits(batch)["label"], total, atol=1e-5)


def test_whose_pictures_dicm_reads_is_a_setting():
    def parts(**settings) -> tuple[int, int]:
        model, batch = built("dicm", aggregator="sum", **settings)
        return len(model.visual(batch)) if model.reader is not None else 0, model.score[0].in_features

    none, ad, behaviour, joint = (
        parts(**one)
        for one in ({"pictures": "none"}, *({"pictures_of": kind} for kind in ("ad", "behaviour", "joint")))
    )
    assert [one[0] for one in (none, ad, behaviour, joint)] == [0, 1, 1, 2]
    assert [one[1] - none[1] for one in (ad, behaviour, joint)] == [12, 12, 24]


def test_a_partial_warm_start_leaves_ids_as_they_are():
    old, _ = built("dicm")
    state = {name: torch.full_like(tensor, 0.5) for name, tensor in old.state_dict().items()}
    for warm, kept in (("partial", {"slots.table", "weights.table"}), ("full", set())):
        new, _ = built("dicm", warm_start=warm)
        copied = new.initialize(state)
        parameters = dict(new.named_parameters())
        assert parameters.keys() - set(copied) == kept
        assert all((parameters[name] == 0.5).all() for name in copied)
        assert all(not (parameters[name] == 0.5).any() for name in kept)


def test_cscnn_crosses_fields_with_the_picture_read_in_its_category():
    model, batch = built("cscnn", counters="none")
    x = torch.cat([model.embedded(batch).flatten(1), reader_of(model, batch.items)], 1)
    total = model.score(torch.cat([model.cross(x), model.deep(x)], 1))[:, 0]
    total = total + model.first_order(batch, model.counters_of(batch))
    assert torch.allclose(model.logits(batch)["label"], total, atol=1e-5)
    with torch.no_grad():
        one_hot = model.categories()
        assert one_hot.argmax(1)[: N_ITEMS - 1].bincount().max() <= -(-N_ITEMS // TASTES), "one column a genre"
        moved = model.reader.read(batch.items, one_hot[batch.items].roll(1, 1))
        assert not torch.allclose(moved, model.reader.read(batch.items, one_hot[batch.items]), atol=1e-4)
    plain, _ = built("cscnn", attention="none")
    assert plain.category is None and plain.categories().shape == (N_ITEMS, 0)


def test_hccm_attends_to_clicked_pictures_and_the_prior_can_be_left_out():
    model, batch = built("hccm", counters="none")
    history = batch.padded_history(6)
    picture, before = reader_of(model, batch.items), reader_of(model, history)
    pooled = model.attend(picture, before[batch.groups], model.has_picture(history)[batch.groups])
    x = torch.cat([model.embedded(batch).flatten(1), picture, pooled], 1)
    total = model.score(x)[:, 0] + model.first_order(batch, model.counters_of(batch))
    assert torch.allclose(model.logits(batch)["label"], total, atol=1e-5)
    assert model.reader.blocks[0].attention.channels.prior is not None
    plain, _ = built("hccm", prior=False, behaviour=False, reduce=2)
    assert plain.reader.blocks[0].attention.channels.prior is None and plain.attend is None
    assert plain.reader.blocks[0].conv.in_channels == 2


def test_exposed_pictures_are_paired_with_the_likest_rare_one_of_their_category():
    model, batch = built("visual_debias", debias=0.5)
    exposure = np.arange(N_ITEMS)[::-1].copy()
    partners = model.pair_exposure(exposure).tolist()
    there = [row for row in range(N_ITEMS) if row not in (6, 13)]
    heads = [row for row in there if exposure[row] > np.quantile(exposure[there], 0.8)]
    tails = [row for row in there if exposure[row] <= np.quantile(exposure[there], 0.5)]
    seen = model.reader.inputs(torch.arange(N_ITEMS)).mean((2, 3))
    category = model.categories().argmax(1)
    for row in range(N_ITEMS):
        able = [t for t in tails if category[t] == category[row]] if row in heads else []
        cosines = torch.cosine_similarity(seen[row][None], seen[able]) if able else None
        assert partners[row] == (-1 if cosines is None else able[int(cosines.argmax())])
    model.partners = torch.tensor(partners)
    found = model.loss(batch)
    own = [row for row in sorted(set(batch.items.tolist())) if partners[row] >= 0]
    a = model.pictures_of(torch.tensor(own))
    b = model.pictures_of(torch.tensor([partners[row] for row in own]))
    e = reader_of(model, torch.tensor(own))
    assert torch.allclose(a, e + model.debias(e), atol=1e-6)
    expected = info_nce(a, b, 0.1, ids=torch.tensor([partners[row] for row in own]))
    assert found["debias"].item() == pytest.approx(expected.item(), rel=1e-4)
    assert found["loss"].item() == pytest.approx((found["clicks"] + 0.5 * found["debias"]).item(), rel=1e-5)
    plain, batch = built("visual_debias", debias=0)
    assert set(plain.loss(batch)) == {"loss"} and plain.category is None


def test_neighbours_share_a_value_and_an_item_is_not_its_own():
    hubs = NeighbourHubs(5, 1)
    with torch.no_grad():
        hubs.nodes.copy_(torch.tensor([[100.0], [100.0], [1.0], [2.0], [6.0]]))
        hubs.out.weight.fill_(1.0)
    items = torch.tensor([2, 3, 4, 1])  # the last is new
    maker, colour = torch.tensor([2, 2, 3, 2]), torch.tensor([2, 3, 3, 0])
    out = hubs(torch.arange(4), items, [maker, colour])[:, 0].tolist()
    # item 0: maker of 1; item 1: maker of 0, colour of 2; item 2: colour of 1; the new one: maker of 0 and 1
    assert out == pytest.approx([2.0, (1 + 6) / 2, 2.0, 1.5])


def test_components_are_pooled_over_those_that_an_advertisement_has():
    rng = np.random.default_rng(0)
    present = np.arange(N_ITEMS) % 3 > 0
    vectors = {
        "image": pictures(),
        "text": Features(rng.normal(size=(N_ITEMS, 5)).astype(np.float32)),
        "text.links": Features(rng.normal(size=(N_ITEMS, 4)).astype(np.float32) * present[:, None], present),
    }
    model, _ = built("compositional_vr", vectors)
    slots = model.content(torch.tensor([3, 4]))
    scores = model.pool.score(slots)[..., 0]
    pooled = model.component_vectors(torch.tensor([3, 4]))
    assert torch.allclose(pooled[0], slots[0, 0], atol=1e-6), "item 3 has no links"
    assert torch.allclose(pooled[1], scores[1].softmax(0) @ slots[1], atol=1e-6)
    plain, batch = built("compositional_vr", vectors, components=False, relational=False, pictures="none")
    assert plain.hubs is None and plain.pool is None and plain.logits(batch)["label"].shape == batch.labels.shape


@pytest.mark.parametrize("name", READERS)
def test_pooled_vectors_and_no_pictures_are_read_as_well(name):
    vectors = {"image": Features(pictures().values.mean((2, 3)), pictures().present)}
    for features in (vectors, {}):
        settings = {"attention": "none"} if name == "cscnn" and not features else {}
        model, batch = built(name, features, **settings)
        assert (model.reader is None) == (not features)
        loss = model.train().loss(batch)["loss"]
        loss.backward()
        assert torch.isfinite(loss)


def test_a_category_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match="category=gener"):
        built("cscnn", category="gener")
    assert issubclass(models.get("cscnn").Config, models.get("dicm").Config.__mro__[1])
