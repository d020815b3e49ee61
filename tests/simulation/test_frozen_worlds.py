"""Presets are frozen: their settings, and the bits that they lead to, are recorded."""

import pytest
from world_digest import FILE, PRESETS, frozen_settings, small_world, world_digest

from palate.core.errors import ConfigError
from palate.core.files import read_json
from palate.simulation import World, WorldConfig
from palate.simulation.presets import configure

SETTINGS = {
    "shop": (2, "a77c19efe724f49dd2bcb90117d4705a"),
    "news@1": (1, "17872d2bc1c60e9718c7a8c3aaa076a2"),
    "news": (2, "0370614dd93776663eb384ce568b857e"),
    "ads": (1, "137d35d09578c1354e2e1bd0cb50a292"),
}


@pytest.mark.parametrize("preset", PRESETS)
def test_settings_are_frozen(preset):
    """A change of a preset is a new version; then, and only then, this hash moves."""
    assert frozen_settings(configure(preset, {})) == SETTINGS[preset]


@pytest.mark.parametrize("preset", PRESETS)
def test_worlds_are_as_recorded(preset):
    recorded, now = read_json(FILE)[preset], world_digest(small_world(preset))
    assert now["exact"] == recorded["exact"]
    assert now["means"] == pytest.approx(recorded["means"], rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("preset", PRESETS)
def test_same_seed_same_bits_and_another_seed_others(preset):
    first, again, other = (world_digest(small_world(preset, seed=seed)) for seed in (4, 4, 5))
    assert first == again
    assert first["exact"]["impressions.clicked"] != other["exact"]["impressions.clicked"]
    assert first["exact"]["items.codes"] != other["exact"]["items.codes"]


def test_versions_are_named_and_cannot_be_relabelled():
    assert World.make("news").config == World.make("news@2").config
    assert World.make("news@1").config.version == 1
    with pytest.raises(ConfigError, match="news@1"):
        World.make("news", version=1)
    with pytest.raises(ConfigError, match="unknown preset"):
        World.make("news@7")
    with pytest.raises(ConfigError, match="shop@1"):
        _ = WorldConfig(preset="shop", version=1).schema_
