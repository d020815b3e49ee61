"""One-modality classifiers recover exactly the attributes that the visibility matrix allows, and no others."""

import numpy as np
import pytest
from descriptors import accuracy, picture, sound, text

from palate.simulation import World

N, TRAIN = 700, 500


@pytest.fixture(scope="module")
def world():
    return World.make(n_items=N, n_users=50, image_size=64, seed=3)


@pytest.fixture(scope="module")
def pictures(world):
    return [world.picture(row) for row in range(N)]


@pytest.fixture(scope="module")
def described(world, pictures):
    copies = [world.copy(row) for row in range(N)]
    return {
        "image": np.stack([picture(image) for image in pictures]),
        "audio": np.stack([sound(world.sound(row), world.config.audio_rate) for row in range(N)]),
        "text": np.stack([text(" ".join(filter(None, (c.title, c.description, c.tags)))) for c in copies]),
    }


def recovered(world, described, modality, attribute):
    labels = world.items.codes[:, world.items.schema.column(attribute)].astype(int)
    there = world.items.present[modality]
    train = int(there[:TRAIN].sum())
    return accuracy(described[modality][there], labels[there], train, linear=modality == "text"), int(
        there.sum()
    ) - train


ATTRIBUTES = ("colour", "pattern", "shape", "material", "purpose", "mood", "era")


@pytest.mark.parametrize("attribute", ATTRIBUTES)
@pytest.mark.parametrize("modality", ["image", "text", "audio"])
def test_recovers_what_is_visible_and_nothing_else(world, described, modality, attribute):
    chance = 1 / len(world.items.schema.values(attribute))
    found, asked = recovered(world, described, modality, attribute)
    if attribute in world.items.schema.visibility[modality]:
        assert found > 2 * chance
    else:
        assert abs(found - chance) < 4 * np.sqrt(chance * (1 - chance) / asked)


def test_every_modality_knows_something_alone_and_some_know_the_same(world):
    shown = {m: set(a) for m, a in world.items.schema.visibility.items()}
    for modality, mine in shown.items():
        assert mine - set().union(*(theirs for other, theirs in shown.items() if other != modality))
    assert shown["image"] & shown["text"] and shown["text"] & shown["audio"]


def test_raw_pixels_do_not_separate_shape_linearly(world, pictures):
    raw = np.stack([np.asarray(image.resize((16, 16)), np.float64).ravel() for image in pictures])
    labels = world.items.codes[:, world.items.schema.column("shape")].astype(int)
    chance = 1 / len(world.items.schema.values("shape"))
    assert accuracy(raw, labels, TRAIN, linear=True) < chance + 4 * np.sqrt(chance * (1 - chance) / (N - TRAIN))


def test_no_effect_shuffles_content():
    plain, shuffled = (World.make(n_items=400, n_users=50, no_effect=flag) for flag in (False, True))
    assert (plain.items.codes == shuffled.items.codes).all()
    same = (shuffled.truth.attributes["colour"] == shuffled.truth.drives["colour"]).mean()
    assert abs(same - 1 / 8) < 0.08
    assert plain.truth.attributes.equals(plain.truth.drives)


def test_table_columns_do_not_betray_hidden_attributes():
    """Chi-squared of every column against every hidden attribute stays within its null distribution."""
    world = World.make(n_items=6000, n_users=50, media=False, near_duplicates=0.0)
    table = world.items.table(world.config)
    columns = {name: table[name].rank("dense").to_numpy() - 1 for name in ("category", "subcategory", "brand")}
    columns["price"] = (table["price"].rank("ordinal").to_numpy() * 8 // 6001).astype(int)
    columns["first_seen"] = (table["first_seen"] > table["first_seen"].min()).cast(int).to_numpy()
    for values in columns.values():
        for attribute in range(len(ATTRIBUTES)):
            codes = world.items.codes[:, attribute]
            seen = np.zeros((values.max() + 1, codes.max() + 1))
            np.add.at(seen, (values, codes), 1)
            expected = seen.sum(1, keepdims=True) * seen.sum(0) / seen.sum()
            freedom = (seen.shape[0] - 1) * (seen.shape[1] - 1)
            assert ((seen - expected) ** 2 / expected).sum() < freedom + 4.5 * np.sqrt(2 * freedom)
