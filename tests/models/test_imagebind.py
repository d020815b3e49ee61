"""ImageBind with items' behaviour as the anchor: pairs, the loss by hand, content that learns taste."""

import numpy as np
import polars as pl
import pytest
import torch
from taste import ITEMS, READERS, build, colour_of, same_colour, set_up, shop, view_of

import palate
from palate.core.batch import ExampleBatch
from palate.core.context import RunContext
from palate.core.errors import ConfigError
from palate.features.saved import load_encoder
from palate.training.pretrain import pretrain


def cosines(a, b):
    return torch.nn.functional.normalize(a, dim=1) @ torch.nn.functional.normalize(b, dim=1).T


def test_every_modality_is_paired_with_the_projected_factors_of_an_item():
    model, view = set_up("imagebind", shop(), anchor="id", tau=0.5)
    assert model.used_pairs == [("id", "text"), ("id", "image")] and model.reads() == ("text", "image", "audio")
    rows = torch.from_numpy(model.train_items[:5])
    with torch.no_grad():
        wanted = []
        for partner in ("text", "image"):
            scores = cosines(model.ids[rows] @ model.project.weight.T, model.vectors(partner, rows)) / 0.5
            wanted += [(torch.logsumexp(x, 1) - x.diagonal()).mean() for x in (scores, scores.T)]
        found = model.loss(ExampleBatch(rows[:, None]))
    assert float(found["loss"]) == pytest.approx(float(torch.stack(wanted).mean()), abs=1e-5)
    assert set(found) == {"loss", "id-text", "id-image"}
    assert model.ids.shape == (view.n_items, 8) and "ids" not in dict(model.named_parameters())


def test_items_without_positives_and_missing_modalities_are_in_no_pair():
    model, view = set_up("imagebind", shop(titled=False), anchor="id")
    taken = np.isin(np.arange(ITEMS), view.items)
    assert not taken.all() and not model.ids.numpy()[~taken].any()
    titled = np.arange(ITEMS) % 3 != 0
    assert np.array_equal(model.has_both["id", "text"], taken & titled & view.visible_items)
    assert np.array_equal(model.has_both["id", "image"], taken & view.visible_items)
    assert taken[model.train_items].all() and taken[model.eval_items].all()
    lonely = np.flatnonzero(~titled & taken)[:4]
    with torch.no_grad():
        assert set(model.loss(ExampleBatch(torch.from_numpy(lonely)[:, None]))) == {"loss", "id-image"}


def test_content_learns_what_people_take_together_and_nothing_from_ids_dealt_at_random(tmp_path):
    data = shop()
    colours = [colour_of(i) for i in range(ITEMS)]
    photos = data.items.raw("image")
    found = {}
    for shuffled in (False, True):
        model = build("imagebind", anchor="id", shuffled=shuffled, epochs=40, patience=40, width=4)
        out = tmp_path / str(shuffled)
        encoders = pretrain(model, data, out, readers={**READERS, "text": "pieces?size=60&length=3"})
        assert set(encoders) == {"text", "image"}
        again = load_encoder(out / "image")
        np.testing.assert_array_equal(again.encode(photos[:4]).values, encoders["image"].encode(photos[:4]).values)
        found[shuffled] = spread(encoders["image"], photos, colours)
    assert same_colour(load_encoder(tmp_path / "False" / "image"), photos, colours) > 0.9
    assert found[False] > found[True] + 0.3


def spread(encoder, raws, colours):
    """Mean cosine of items of one colour above that of others."""
    values = encoder.encode(raws).values
    scores, same = values @ values.T, np.array(colours)[:, None] == np.array(colours)
    return float(scores[same & ~np.eye(len(values), dtype=bool)].mean() - scores[~same].mean())


def test_behaviour_that_relates_no_items_is_refused():
    items = pl.DataFrame({"item": [f"i{i}" for i in range(6)], "title": [f"a {colour_of(i)} lamp" for i in range(6)]})
    log = pl.DataFrame({"user": [f"u{i}" for i in range(6)], "item": items["item"]})
    data = palate.Dataset.from_frames(items, log, columns={"item": "id", "title": "text"}, split="item_cold:seed=0")
    with pytest.raises(ConfigError, match="no user took two"):
        build("imagebind", anchor="id").setup(view_of(data), RunContext())
