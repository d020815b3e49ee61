"""Click models that read modalities: equations by hand, and every part with content that is partly missing."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from palate.contracts import models
from palate.core.content import Features
from palate.core.context import RunContext
from palate.data.dataset import Dataset
from palate.data.views import TrainView
from palate.models.rank.cross_encoder import CrossEncoder
from palate.models.rank.em3 import EM3
from palate.models.rank.gmmf import GMMF, evidence, interest
from palate.models.rank.m3srec import M3SRec
from palate.models.rank.main import MAIN
from palate.models.rank.marn import MARN
from palate.models.rank.ppm_ranker import PPMRanker
from palate.models.rank.shared.content_ranker import ContentRanker
from palate.models.rank.tavern import Tavern
from palate.models.rank.urm import URM

N_ITEMS = 8
KINDS = [
    (EM3, {}), (EM3, {"queries": 0, "contrast": 0}), (MARN, {}), (PPMRanker, {}), (Tavern, {}),
    (GMMF, {"adversarial_from": 0}), (GMMF, {"difference": False}), (M3SRec, {}), (M3SRec, {"specific": False}),
    (URM, {}), (URM, {"layers": 0}), (MAIN, {}), (MAIN, {"interests": 1}), (CrossEncoder, {}),
    (CrossEncoder, {"joint": "late"}), (CrossEncoder, {"joint": "intermediate"}),
]  # fmt: skip


@cache
def view() -> TrainView:
    """Six users, eight items; an item without a picture, one without a text, one with neither."""
    rng = np.random.default_rng(0)
    rows = [
        (f"u{user}", f"i{item}", 10 * number, int(rng.random() < 0.5), f"{user}-{number}", int(number == 11) * 2)
        for user in range(6)
        for number, item in enumerate(rng.integers(0, N_ITEMS, 12))
    ]
    log = pl.DataFrame(rows, ["user", "item", "time", "label", "impression", "part"], orient="row")
    items = pl.DataFrame({"item": [f"i{row}" for row in range(N_ITEMS)], "kind": list("aabbccdd")})
    data = Dataset.from_frames(
        items, log, columns={"item": "id", "kind": "attributes"}, positive={"label": ">=1"}, name="tiny"
    )
    there = np.ones((2, N_ITEMS), bool)
    there[0, 2] = there[1, 3] = there[:, 4] = False
    vectors = {
        name: Features(rng.normal(size=(N_ITEMS, width)).astype(np.float32), there[row], identity=name)
        for row, (name, width) in enumerate((("image", 5), ("text", 3)))
    }
    return data.select_view().with_features(vectors)


def built(kind: type[ContentRanker], **settings: Any) -> ContentRanker:
    torch.manual_seed(0)
    known = {"dim": 4, "hidden": (8,), "min_count": 1, "longest": 4, **settings}
    model = kind(**known)
    model.setup(view(), RunContext())
    return model


def batch(model: ContentRanker, rows: Any = None) -> Any:
    source = model.batches(view(), RunContext())
    return source.collate(np.arange(len(source)) if rows is None else np.asarray(rows), np.random.default_rng(0))


@pytest.mark.parametrize(("kind", "settings"), KINDS)
def test_every_part_learns_and_scores_stand_alone(kind, settings):
    model = built(kind, **settings)
    model.train()
    model.loss(batch(model))["loss"].backward()
    idle = {key for key, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())}
    stage_one = {key for key in idle if key.startswith("plug_in.out")}
    assert not {key for key in idle - stage_one if "bias" not in key}
    model.eval()
    with torch.no_grad():
        whole = model.logits(batch(model))["label"]
        some = model.logits(batch(model, [7, 2, 30]))["label"]
    assert torch.allclose(whole[[7, 2, 30]], some, atol=1e-5)


@pytest.mark.parametrize(("kind", "settings"), KINDS)
def test_content_counts_and_absent_content_does_not(kind, settings):
    model = built(kind, **settings).eval()
    some = batch(model)

    def scores() -> torch.Tensor:
        with torch.no_grad():
            return model.logits(some)["label"]

    before, filler = scores(), model.content.bank.get_buffer("values_0")
    filler[4] += 100.0
    assert torch.allclose(scores(), before, atol=1e-6), "item 4 has no picture: what stands there is not read"
    filler[0] = -filler[0]
    assert not torch.allclose(scores(), before, atol=1e-6)


def test_names_of_models_are_registered():
    assert {kind.name for kind, _ in KINDS} <= set(models.names())


def test_marn_sums_specific_parts_and_takes_the_largest_invariant_ones():
    model = built(MARN, dim=2)
    with torch.no_grad():
        model.specific.copy_(torch.eye(2).expand(3, 2, 2))
        model.gate.zero_()
        model.gate_bias.fill_(math.atanh(0.5))
        model.invariant.weight.copy_(2 * torch.eye(2))
    tokens = torch.tensor([[[1.0, 2.0], [3.0, -1.0], [50.0, 50.0]], [[1.0, 1.0]] * 3])
    present = torch.tensor([[True, True, False], [False] * 3])
    vectors, specific, invariant = model.divide(tokens, present)
    # s = half of (1, 2) + (3, -1), c = max of (2, 4) and (6, -2)
    assert torch.allclose(vectors, torch.tensor([[2.0 + 6.0, 0.5 + 4.0], [0.0, 0.0]]))
    losses = model.divided(specific, invariant, present)
    # products 1*2 + 2*4 = 10 and 3*6 + 1*2 = 20
    assert torch.allclose(losses["orthogonality"], torch.tensor(0.05 * (100 + 400) / 2))
    assert built(MARN, adversarial=0).opponents is None


def test_em3_contrasts_content_with_ids_and_leaves_frozen_maps():
    model = built(EM3, dim=2, queries=1, rank=1, tau=1.0)
    with torch.no_grad():
        model.project.weight.copy_(torch.eye(2))
    loss = model.contrast(torch.eye(2), torch.eye(2))
    assert math.isclose(float(loss.detach()), -math.log(math.e / (math.e + 1)), rel_tol=1e-6)
    assert float(model.contrast(torch.eye(2)[:1], torch.eye(2)[:1])) == 0
    frozen = {name for name, p in model.content.named_parameters() if not p.requires_grad}
    assert len(frozen) == 2 and all(name.endswith("original") for name in frozen)


def test_gmmf_pools_by_positive_cosines():
    target, history = torch.tensor([[1.0, 0.0]]), torch.tensor([[[3.0, 4.0], [-2.0, 0.0], [5.0, 0.0], [9.0, 9.0]]])
    there = torch.tensor([[True, True, True, False]])
    # cosines .6, -1, 1: (.6 (3, 4) + (5, 0)) / 3
    assert torch.allclose(interest(target, history, there), torch.tensor([[6.8 / 3, 0.8]]))
    assert not interest(target, history, torch.zeros_like(there)).any()


def test_gmmf_takes_away_what_the_id_tells():
    model = built(GMMF, dim=2)
    with torch.no_grad():
        for parameter in [*model.imagine[0].parameters(), *model.remove[0].parameters()]:
            parameter.zero_()
        model.imagine[0][-1].bias.copy_(torch.tensor([2.0, -4.0]))
    h = torch.tensor([[3.0, 1.0]])
    # half of g = (2, -4) goes
    assert model.details(0, torch.zeros(1, 2), h).tolist() == [[2.0, 3.0]]
    assert built(GMMF, difference=False).details(0, h, h) is h
    assert evidence(torch.tensor([[2.0]]), torch.tensor([[3.0]])).tolist() == [[2.0, -1.0, 6.0, 3.0]]


def test_gmmf_opponents_learn_apart_and_late():
    model = built(GMMF)
    rows, ids = torch.arange(4), torch.randn(4, 4, requires_grad=True)
    encoded, present = torch.rand(4, 4, requires_grad=True), torch.tensor([True, True, False, True])
    assert set(model.own_losses(0, rows, ids, encoded, present)) == {"reconstruction"}
    model.on_epoch(1, np.random.default_rng(0))
    losses = model.own_losses(0, rows, ids, encoded, present)
    networks = {"discriminator": model.tell, "generator": model.imagine}
    for name, network in networks.items():
        model.zero_grad()
        losses[name].backward(retain_graph=True)
        moved = {key.split(".")[0] for key, p in model.named_parameters() if p.grad is not None and p.grad.any()}
        assert moved == {"tell" if network is model.tell else "imagine"}
    assert ids.grad is None and encoded.grad is None
    slow = model.phases()[0].param_groups[-1]
    assert slow.lr_scale == 0.1 and len(slow.parameters) == len([*model.tell.parameters(), *model.imagine.parameters()])


def test_tavern_divides_what_pictures_share():
    model = built(Tavern, dim=2)
    with torch.no_grad():
        model.noise.weight.copy_(torch.tensor([[0.25, 0.0], [0.0, 0.0]]))
        model.select.weight.zero_()
        model.select.bias.zero_()
    preference, noise, gate = model.part(torch.tensor([[4.0, 2.0]]))
    assert preference.tolist() == [[3.0, 2.0]] and noise.tolist() == [[1.0, 0.0]] and gate.tolist() == [[0.5, 0.5]]
    assert model.visual == [0], "pictures alone are visual where there are any"
    assert built(Tavern, preference=False).config.preference is False


@pytest.mark.parametrize(
    ("pretrained", "stages"),
    [
        ("finetune", ["pretrain", "train"]),
        ("frozen", ["pretrain", "train"]),
        ("random", ["train"]),
        ("none", ["train"]),
    ],
)
def test_stages_of_the_plug_in(pretrained, stages):
    model = built(PPMRanker, pretrained=pretrained)
    phases = {phase.name: phase for phase in model.phases()}
    assert list(phases) == stages
    if model.plug_in is None:
        return
    own = {id(parameter) for parameter in [*model.content.parameters(), *model.plug_in.parameters()]}
    trained = {id(parameter) for parameter in phases["train"].parameters}
    assert bool(own & trained) == (pretrained != "frozen")
    model.pretraining_loss(batch(model))["loss"].backward()
    moved = {key.split(".")[0] for key, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert moved == {"content", "plug_in"}
    if pretrained == "frozen":
        model.zero_grad()
        model.loss(batch(model))["loss"].backward()
        assert all(parameter.grad is None for parameter in [*model.content.parameters(), *model.plug_in.parameters()])


def test_interests_are_attention_over_the_history():
    model = built(MAIN, dim=2, interests=2)
    with torch.no_grad():
        for parameter in model.extract.parameters():
            parameter.zero_()
    history = torch.tensor([[[9.0, 9.0], [1.0, 3.0], [3.0, 5.0]]])
    there = torch.tensor([[False, True, True]])
    assert model.interests(history, there).tolist() == [[[2.0, 4.0]] * 2]
    assert not model.interests(history, torch.zeros_like(there)).any()


def test_experts_read_the_newest_item_that_has_the_modality():
    model = built(M3SRec, dim=4, layers=1, longest=3).eval()
    tokens, there = torch.randn(1, 3, 3, 4), torch.ones(1, 3, 3, dtype=torch.bool)
    there[0, 1, 2] = False
    with torch.no_grad():
        before = model.interest(tokens, there)
        tokens[0, 1, 2] += 100.0
        assert torch.allclose(model.interest(tokens, there), before, atol=1e-5)
        tokens[0, 1, 1] += 1.0
        assert not torch.allclose(model.interest(tokens, there), before, atol=1e-3)
        assert not model.interest(tokens, torch.zeros_like(there)).any()


@pytest.mark.parametrize(("joint", "items"), [("late", [4, 1]), ("early", [5]), ("intermediate", [5])])
def test_a_late_cross_encoder_reads_a_history_without_the_candidate(joint, items, monkeypatch):
    model, read = built(CrossEncoder, joint=joint).eval(), []
    summary = model.summary

    def noted(tokens, present, start):
        read.append(tokens.shape[1])
        return summary(tokens, present, start)

    monkeypatch.setattr(model, "summary", noted)
    model.logits(batch(model, [20, 21]))
    assert read == items


def test_tables_met_while_predicting_take_a_checkpoint():
    model = built(URM, counters="none")
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.inference_mode():
        model.meet_tables(view().users_table, view().items_table)
    model.load_state_dict(state)
