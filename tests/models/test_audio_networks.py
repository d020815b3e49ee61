"""The four audio networks: objectives by hand, user vectors leave out the scored track, sound finds its listeners."""

import io
import wave

import numpy as np
import polars as pl
import pytest
import torch
from taste import ITEMS, READERS, build, colour_of, same_colour, set_up, shop, view_of

import palate
from palate.core.batch import ExampleBatch, RaggedArray
from palate.core.context import RunContext
from palate.core.errors import ConfigError
from palate.features.saved import load_encoder
from palate.modules.towers import AudioTower
from palate.modules.users import CosineRelevance, HistoryUserEncoder, RelevanceNetwork, UserTable
from palate.training.pretrain import pretrain

NETWORKS = ("basic_binary", "dcue", "multi_1vsn", "metric_1vsn")
RATE, TONES, TRACKS, PEOPLE = 8000, (300, 700, 1400), 90, 30


def network(name, data=None, **settings):
    return set_up(name, data or shop(), **{"modality": "image", **settings})


def sound(samples):
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((samples * 20_000).astype("<i2").tobytes())
    return out.getvalue()


def tunes(mute=()):
    """Every person likes one tone; a track's first half is one that says nothing, its second half is its own."""
    rng = np.random.default_rng(0)
    t = np.arange(int(0.2 * RATE)) / RATE
    drone = np.sin(2 * np.pi * 150 * t)
    tracks = [np.concatenate([drone, np.sin(2 * np.pi * TONES[i % 3] * t)]) for i in range(TRACKS)]
    clips = [None if i in mute else sound(s + rng.normal(0, 0.05, len(s))) for i, s in enumerate(tracks)]
    items = pl.DataFrame({"item": [f"t{i}" for i in range(TRACKS)], "clip": clips})
    log = [(u, f"t{i}") for u in range(PEOPLE) for i in range(TRACKS) if i % 3 == u % 3 and rng.random() < 0.7]
    log = pl.DataFrame(log, schema=["user", "item"], orient="row")
    return palate.Dataset.from_frames(items, log, columns={"item": "id", "clip": "audio"}, split="item_cold:seed=0")


def test_the_objectives_by_hand():
    data = shop()
    pos, neg = torch.tensor([0.5]), torch.tensor([[0.4, -0.9]])
    logistic = np.mean([np.log1p(np.exp(x)) for x in (-0.5, 0.4, -0.9)])
    softmax = -np.log(np.exp(0.5) / np.exp([0.5, 0.4, -0.9]).sum())
    for name, wanted in zip(NETWORKS, (logistic, 0.1, softmax, 0.1)):
        model, _ = network(name, data)
        assert float(model.ranking_loss(pos, neg)) == pytest.approx(wanted, abs=1e-6)


def test_parts_of_the_four_networks():
    data = shop()
    parts = [network(name, data)[0] for name in NETWORKS]
    assert [type(model.people) for model in parts] == [
        HistoryUserEncoder,
        UserTable,
        HistoryUserEncoder,
        HistoryUserEncoder,
    ]
    assert [type(model.relevance) for model in parts] == [
        RelevanceNetwork,
        CosineRelevance,
        RelevanceNetwork,
        CosineRelevance,
    ]
    assert [model.normalize for model in parts] == [False, True, False, True]


def test_layers_read_the_concatenation():
    torch.manual_seed(0)
    net = RelevanceNetwork(3)
    users, items = torch.randn(2, 3), torch.randn(2, 4, 3)
    with torch.no_grad():
        both = torch.cat([users[:, None].expand(-1, 4, -1), items, users[:, None] * items], dim=2)
        weight = torch.cat([net.user.weight, net.item.weight, net.product.weight], dim=1)
        wanted = net.out(torch.nn.functional.gelu(both @ weight.T + net.user.bias)).squeeze(2)
        torch.testing.assert_close(net(users, items), wanted)
        assert CosineRelevance()(users, items)[1, 2] == pytest.approx(
            float(torch.cosine_similarity(users[1], items[1, 2], dim=0)), abs=1e-6
        )


def test_a_user_vector_leaves_out_the_scored_track():
    torch.manual_seed(0)
    people = HistoryUserEncoder(RaggedArray.of([[0, 1, 2], [1], []]), 4, 4, 3).eval()
    users, asked = torch.tensor([0, 1, 2]), torch.tensor([1, 1, 1])
    with torch.no_grad():
        before = people(users, asked)
        nothing = torch.zeros(4)
        wanted = people.layers(torch.stack([people.items[[0, 2]].mean(0), nothing, nothing]))
        torch.testing.assert_close(before, wanted)
        people.items[1] += 5
        torch.testing.assert_close(people(users, asked), before)
        torch.testing.assert_close(people(users)[0], people.layers(people.items[:3].mean(0)))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_loss_compares_a_positive_with_tracks_not_taken(name):
    model, view = network(name)
    rows = torch.from_numpy(model.examples(view, RunContext())[:5])
    model.rng = np.random.default_rng(0)
    drawn = model.negatives.draw(rows[:, 0].numpy(), 4, np.random.default_rng(0))
    assert not view.matrix.toarray()[rows[:, :1].numpy(), drawn].any()
    assert not np.isin(drawn, model.held_out.eval_items).any()
    with torch.no_grad():
        users = model.people(rows[:, 0], rows[:, 1])
        tracks = torch.cat([rows[:, 1:], torch.from_numpy(drawn)], dim=1)
        scores = torch.cat([model.relevance(u[None], model.encode(of)[None]) for of, u in zip(tracks, users)])
        wanted = model.ranking_loss(scores[:, 0], scores[:, 1:])
        found = model.loss(ExampleBatch(rows))["loss"]
    assert float(found) == pytest.approx(float(wanted), abs=1e-5)


def test_held_out_tracks_are_in_no_example_and_in_no_history():
    model, view = network("metric_1vsn")
    kept = model.held_out.eval_items
    assert len(kept) and not np.isin(model.examples(view, RunContext())[:, 1], kept).any()
    assert not np.isin(model.people.history.items, kept).any()


def test_what_is_not_heard_changes_nothing():
    torch.manual_seed(0)
    tower = AudioTower(8, 16, frames=30).eval()
    sounds = torch.randn(2, 1, 8, 60)
    other = sounds.clone()
    other[:, :, :, 30:] = 7
    with torch.no_grad():
        torch.testing.assert_close(tower(other)[0], tower(sounds)[0])
        assert tower(sounds)[0].shape == AudioTower(8, 16)(sounds[..., :30])[0].shape


@pytest.mark.parametrize("name", NETWORKS)
def test_content_finds_its_users(name, tmp_path):
    data = shop()
    model = build(name, modality="image", epochs=20, batch_size=64, patience=20)
    encoder = pretrain(model, data, tmp_path / name, readers=READERS)["image"]
    assert model.validation_score() > 0.65
    raws = data.items.raw("image")
    assert same_colour(encoder, raws, [colour_of(i) for i in range(ITEMS)]) > 0.9
    again = load_encoder(tmp_path / name / "image")
    np.testing.assert_array_equal(again.encode(raws[:5]).values, encoder.encode(raws[:5]).values)


def test_longer_excerpts_help(tmp_path):
    """With .15 seconds heard, all tracks begin alike; with .4 they do not. Judged by new tracks."""
    data = tunes(mute=(0, 1, 2))
    new = np.flatnonzero(~data.select_view().visible_items)
    new, found = new[new > 2], {}
    for seconds in (0.15, 0.4):
        model = build("metric_1vsn", seconds=seconds, epochs=8, batch_size=64)
        folder = tmp_path / str(seconds)
        encoder = pretrain(model, data, folder, readers={"audio": "mel?bands=16&seconds=0.4"})["audio"]
        raws = data.items.raw("audio", new)
        found[seconds] = same_colour(encoder, raws, new % 3)
        assert not np.isin(model.held_out.train_items, (0, 1, 2)).any()
        again = load_encoder(folder / "audio")
        np.testing.assert_array_equal(again.encode(raws[:5]).values, encoder.encode(raws[:5]).values)
        assert not encoder.encode([None]).present.any()
    assert found[0.4] > 0.9 and found[0.15] < 0.7


def test_a_catalogue_without_sound_is_refused():
    with pytest.raises(ConfigError, match="found text, image"):
        build("metric_1vsn").setup(view_of(shop()), RunContext())


def test_people_who_took_every_track_teach_nothing():
    model, view = network("metric_1vsn")
    model.negatives.exhausted[:] = True
    with pytest.raises(ConfigError, match="did not take every track"):
        model.examples(view, RunContext())
