"""Unified-IO 2: one vocabulary, each task by hand, what must not leak, every switch, and encoders of one modality."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from paired_items import READERS, shop, view

from palate.contracts import pretrainers
from palate.core.batch import ExampleBatch
from palate.core.content import Features
from palate.core.context import RunContext
from palate.core.errors import ConfigError
from palate.features.saved import load_encoder
from palate.models.pretrain.shared.denoising import UnifiedVocabulary, map_target, text_target
from palate.training.pretrain import pretrain

SMALL = {"dim": 16, "layers": 1, "codes": 8, "code_epochs": 2, "batch_size": 32, "lr": 3e-3}
ROWS = torch.tensor([0, 1, 2, 3])
TASKS = {("text", "R"), ("text", "S"), ("text", "X"), ("image", "R"), ("image", "S"), ("audio", "R"), ("audio", "S")}


def heard(train=None, silent=()):
    """With sounds of two cells, loud at one of four pitches: the one of the item's colour."""
    train = train or view()
    maps = np.full((train.n_items, 1, 16, 32), -1, np.float32)
    for row in range(train.n_items):
        maps[row, 0, 4 * (row % 4) : 4 * (row % 4) + 4] = 1
    present = np.ones(train.n_items, bool)
    present[list(silent)] = False
    maps[~present] = 0
    train.features["audio"] = Features(maps, present, "map")
    return train


def build(train=None, **settings):
    torch.manual_seed(0)
    model = pretrainers.get("unified_io2")(**{**SMALL, **settings})
    model.setup(train or heard(), RunContext())
    return model


def test_one_vocabulary_without_overlaps():
    vocabulary = UnifiedVocabulary(12, 6, ["image", "audio"], 8)
    assert (vocabulary.first_code("image"), vocabulary.first_code("audio"), vocabulary.first_sentinel) == (12, 20, 28)
    asked = [
        vocabulary.task_prefix("text", "R"),
        vocabulary.task_prefix("image", "S"),
        vocabulary.task_prefix("audio", "X"),
    ]
    assert asked == [[31, 34], [32, 35], [33, 36]] and len(vocabulary) == 37
    model = build()
    assert len(model.vocabulary) == len(model.net.head.bias) == len(model.net.senses.words.weight) == 37
    assert set(model.tasks) == TASKS
    image, sound = model.target(ROWS, "image", "S").ids, model.target(ROWS, "audio", "S").ids
    assert image.shape == (4, 4) and ((image >= 12) & (image < 20)).all()
    assert sound.shape == (4, 2) and ((sound >= 20) & (sound < 28)).all()


def test_a_picture_is_written_from_other_modalities_alone_by_hand():
    """[S]: the encoder reads prefix and words, and the codes follow each other from [CLS] on."""
    model = build(view(), alone=0).eval()
    with torch.no_grad():
        codes = model.codes.ids("image", ROWS) + 12
        senses, net = model.net.senses, model.net
        prefix = senses.prefix(torch.tensor([model.vocabulary.task_prefix("image", "S")] * 4))
        read = net.encode([prefix, senses.text(model.inputs.read("text", ROWS).long())])
        opened = torch.cat([torch.full((4, 1), 2), codes[:, :-1]], 1)
        rule = torch.ones(4, 4, 4, dtype=torch.bool).tril()
        places = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]).expand(4, -1, -1)
        states = net.decoder(senses.norm(senses.words(opened)), places, rule, read)
        chances = net.head(states, senses.words.weight).log_softmax(2)
        expected = -chances.gather(2, codes[:, :, None]).sum()
        total, count = model.denoise(ROWS, "image", "S")
    assert chances.shape[2] == len(model.vocabulary) and count == 16
    assert float(total) == pytest.approx(float(expected), rel=1e-4)


def test_short_spans_long_spans_and_cut_texts():
    model, ids = build(), torch.tensor([[2, 5, 6, 7, 8, 9, 10, 11, 3]]).repeat(50, 1)
    senses = model.net.senses
    torch.manual_seed(0)
    r, x, s = (text_target(senses, ids, kind, 28) for kind in "RXS")
    assert r.scored.sum() < x.scored.sum()
    for target in (r, x):
        assert (target.ids[:, 0] == 28).all() and ((target.ids == 3).sum(1) == 1).all() and target.readable.all()
    first = s.ids[:, 0]
    assert set(first.tolist()) > {5, 11} and not s.scored[s.ids == 0].any() and (s.visible[1].sum(1) >= 1).all()
    assert (s.visible[1].sum(1) + s.scored.sum(1) == 9).all()


def test_only_hidden_cells_are_learnt_and_their_codes_are_not_seen_later():
    model = build(view())
    maps, codes = model.inputs.read("image", ROWS), torch.arange(16).view(4, 4)
    target = map_target(model.net.senses, "image", maps, codes, "R", 0.5, True)
    assert torch.equal(target.scored, ~target.readable) and torch.equal(target.visible[1], target.readable)
    assert target.scored.any(1).all() and not target.scored.all()
    open_ = map_target(model.net.senses, "image", maps, codes, "R", 0.5, False)
    assert open_.readable.all() and open_.scored.any()
    whole = map_target(model.net.senses, "image", maps, codes, "S", 0.5, True)
    assert whole.visible is None and whole.readable.all() and whole.scored.all()


@pytest.mark.parametrize("dynamic", [True, False])
def test_what_was_not_shown_cannot_be_copied(dynamic):
    """Cell 0 is hidden. Its code is seen where cell 1 is written, and, under dynamic masking, nowhere later."""
    model = build(view()).eval()
    senses, net = model.net.senses, model.net
    maps, hidden = model.inputs.read("image", ROWS[:1]), torch.tensor([[True, False, True, False]])
    read = net.encode([senses.maps("image", maps, hidden)])
    codes = torch.tensor([[12, 13, 14, 15]])
    tells = ~hidden if dynamic else torch.ones_like(hidden)
    with torch.no_grad():
        logits = []
        for code in (12, 19):
            codes[0, 0] = code
            logits.append(net.decode(read, codes, senses.cell_positions(maps), tells, 2)[0])
    changed = (logits[0] != logits[1]).any(1).tolist()
    assert changed == ([False, True, False, False] if dynamic else [False, True, True, True])
    other = maps.clone()
    other[:, :, :16, :16] = 0.7
    with torch.no_grad():
        again = net.encode([senses.maps("image", other, hidden)])
    assert torch.equal(again[0][again[1]], read[0][read[1]])


def test_later_words_are_not_seen():
    model = build(view()).eval()
    senses, ids = model.net.senses, model.inputs.read("text", ROWS[:1]).long()
    with torch.no_grad():
        read = model.net.encode([senses.text(ids)])
        logits = []
        for last in (9, 10):
            written = torch.tensor([[5, last, 3]])
            logits.append(model.net.decode(read, written, senses.sequence_positions(written), written > 0, 2)[0])
    assert (logits[0] != logits[1]).any(1).tolist() == [False, False, True]


def test_switches_leave_parameters_alone_and_change_what_they_name():
    whole = build().eval()
    states = {}
    for switch, value in (("prefix", False), ("qk_norm", False), ("rotary", "1d"), ("dynamic", False)):
        other = build(**{switch: value}).eval()
        assert [p.shape for p in other.parameters()] == [p.shape for p in whole.parameters()]
        other.load_state_dict(whole.state_dict())
        torch.manual_seed(1)
        states[switch] = other.denoise(ROWS, "image", "R")[0].item()
    torch.manual_seed(1)
    assert len({whole.denoise(ROWS, "image", "R")[0].item(), *states.values()}) == 5
    assert other.config.prefix and build(prefix=False).task_prefix("image", "R") == [4, 4]
    assert set(build(heads=("image",)).tasks) == {("image", "R"), ("image", "S")}
    assert set(build(denoisers=("X", "S")).tasks) == {task for task in TASKS if task[1] != "R"}
    fewer = build(heads=("image",), denoisers=("R",))
    assert [p.shape for p in fewer.parameters()] == [p.shape for p in whole.parameters()]


def test_missing_modalities_are_neither_read_nor_written():
    model = build(heard(view(no_picture=[0, 1], no_text=[2]), silent=[3]), alone=0)
    assert set(model.train_items) | set(model.eval_items) == set(range(48)) and not set(model.train_items) & set(
        model.eval_items
    )
    parts = model.encoder_parts(ROWS, "text", "R", None)
    assert [part[1].any(1).tolist() for part in parts] == [[True] * 4, [False, False, True, True], [True] * 3 + [False]]
    for task in model.tasks:
        for rows in (ROWS, ROWS[:2], ROWS[2:3]):
            total, count = model.denoise(rows, *task)
            model.zero_grad()
            (total / max(count, 1)).backward()
            assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    assert model.denoise(ROWS[:2], "image", "R")[1] == 0
    loss = model.codes.loss(ExampleBatch(torch.tensor([[0], [1]])))
    assert "image" not in loss and torch.isfinite(loss["loss"])


def test_a_map_that_stands_alone_is_not_written_from_nothing():
    model = build(heard(view(no_picture=range(48), no_text=[0, 1])), alone=0)
    assert model.denoise(ROWS, "audio", "S")[1] == 2 * 2
    alone = build(heard(view(text=False, image=False)))
    assert alone.tasks == [("audio", "R")]


def test_the_same_tasks_for_the_same_epoch_and_a_score_that_repeats():
    model = build()
    drawn = []
    model.denoise = lambda rows, *task: drawn.append(task) or (rows.sum(), 1)
    for _ in range(2):
        model.on_epoch(0, np.random.default_rng(5))
        for _ in range(60):
            model.loss(ExampleBatch(ROWS[:, None]))
    assert drawn[:60] == drawn[60:] and set(drawn) == TASKS
    model = build().eval()
    before = torch.random.get_rng_state()
    assert 0 < model.validation_score() == model.validation_score() < 1
    assert torch.equal(before, torch.random.get_rng_state())


def test_every_head_learns_what_the_other_modalities_tell():
    """The colour decides word, picture and pitch, so each can be written from another."""
    train = heard(view(24))
    model = build(train, alone=0.3, denoisers=("S",))
    rows = torch.from_numpy(model.train_items)
    for phase, steps in zip(model.phases(), (40, 200)):
        optimiser = torch.optim.Adam(phase.parameters, 3e-3)
        for _ in range(steps):
            optimiser.zero_grad()
            phase.loss(ExampleBatch(rows[:, None]))["loss"].backward()
            optimiser.step()
    model.eval()
    model.config = model.config.model_copy(update={"alone": 0.0})
    gains = []
    with torch.no_grad():
        for head in ("image", "audio"):
            target = model.target(rows, head, "S")
            own = model.net.encode(model.encoder_parts(rows, head, "S", None))
            wrong = model.net.encode(model.encoder_parts(rows.roll(1), head, "S", None))
            chances = [
                model.net.decode(read, target.ids, target.positions, target.readable, 2)
                .log_softmax(2)
                .gather(2, target.ids[:, :, None])[:, 0]
                .mean()
                for read in (own, wrong)
            ]
            gains.append(float(chances[0] - chances[1]))
    assert min(gains) > 0.1 and sum(gains) > 1
    assert model.validation_score() > 0.2


def test_data_with_nothing_to_write_are_refused():
    with pytest.raises(ConfigError, match="items have image"):
        build(view(text=False), heads=("audio",))
    with pytest.raises(ConfigError, match="items have image"):
        build(view(text=False), denoisers=("X",))
    with pytest.raises(ConfigError, match="dim"):
        build(dim=24)


def test_exported_encoders_read_one_modality(tmp_path):
    data = shop()
    model = pretrainers.get("unified_io2")(**SMALL, epochs=2)
    encoders = pretrain(model, data, tmp_path / "out", readers=READERS, device="cpu")
    titles = ["a red lamp", "a blue lamp"]
    raws = {"text": titles, "image": data.items.raw("image")[:2]}
    assert set(encoders) == set(raws)
    for modality, raw in raws.items():
        again = load_encoder(tmp_path / "out" / modality)
        found = again.encode([*raw, None])
        assert found.dim == 16 and found.present.tolist() == [True, True, False]
        np.testing.assert_array_equal(found.values, encoders[modality].encode([*raw, None]).values)
        np.testing.assert_allclose(np.linalg.norm(found.values[:2], axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(again.encode(raw[:1]).values, found.values[:1], atol=1e-5)
    first, unknown = model.vocabulary.pieces, torch.tensor([[2.0, 1.0, 3.0]])
    tower = encoders["text"]._network["tower"]
    with torch.no_grad():
        codes = torch.tensor([[2.0, first, 3.0]])
        assert torch.equal(tower(codes)[0], tower(unknown)[0]), "an unseen piece is no code of a picture"
        ids = torch.from_numpy(encoders["text"].of.encode(titles).values).long()
        senses = model.net.senses
        states, mask, _ = model.net.encode(
            [senses.prefix(torch.tensor([model.task_prefix("text", "R")] * 2)), senses.text(ids)]
        )
        own, there = states[:, 2:], mask[:, 2:, None]
        mean = (own * there).sum(1) / there.sum(1)
    np.testing.assert_allclose(encoders["text"].encode(titles).values, F.normalize(mean, dim=1).numpy(), atol=1e-5)
