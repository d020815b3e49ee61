"""Writing: same seed same bits, whole or absent, read back by the ordinary reader, streamed or not."""

import hashlib
import io
import wave
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from polars.testing import assert_frame_equal

import palate
from palate.core.errors import ArtefactError, ConfigError, DataError
from palate.simulation import Truth, World, gallery, pictures
from palate.simulation.shop import WORDS
from palate.simulation.sounds import wav_bytes

SMALL = dict(n_items=60, n_users=40, image_size=64, audio_seconds=0.25)


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    world = World.make(seed=1, **SMALL)
    return world, world.write(tmp_path_factory.mktemp("world") / "shop")


def test_same_seed_same_bits(written, tmp_path):
    again = hashes(World.make(seed=1, **SMALL).write(tmp_path / "again"))
    assert again == hashes(written[1])


def test_another_seed_differs(written, tmp_path):
    mine, other = hashes(written[1]), hashes(World.make(seed=2, **SMALL).write(tmp_path / "other"))
    fixed = {"palate.yaml"}
    assert {name for name in mine.keys() & other.keys() if mine[name] == other[name]} <= fixed


def test_asking_in_another_order_changes_nothing(written):
    world = World.make(seed=1, **SMALL)
    world.picture(7)
    assert world.copy(5) == written[0].copy(5)
    assert world.relations.equals(pl.read_parquet(written[1] / "relations.parquet"))
    assert np.asarray(world.picture(7)).tobytes() == np.asarray(written[0].picture(7)).tobytes()


@pytest.mark.parametrize("block", [16, 64])
def test_streamed_equals_in_memory(tmp_path, block):
    world = World.make(n_items=60, n_users=100, media=False, block=block)
    folder = world.write(tmp_path / "w")
    fresh = World.make(n_items=60, n_users=100, media=False, block=block)
    for name in ("interactions", "impressions"):
        assert_frame_equal(pl.read_parquet(folder / f"{name}.parquet"), getattr(fresh, name))
    assert fresh.impressions["impression_id"].n_unique() * world.config.slate == len(fresh.impressions)
    assert_frame_equal(pl.read_parquet(folder / "users.parquet"), fresh.users.table(fresh.config))


def test_blocks_do_not_depend_on_each_other():
    world = World.make(n_items=60, n_users=48, media=False, block=16)
    third = list(world.blocks())[2][1]
    alone = World.make(n_items=60, n_users=48, media=False, block=16)
    again = alone.log.block(2, alone.population.block(2))
    for name in third.interactions:
        np.testing.assert_array_equal(third.interactions[name], again.interactions[name])


def test_truth_reads_back(written):
    world, folder = written
    truth = Truth.load(folder)
    users, items = np.arange(40)[:, None], np.arange(60)[None]
    np.testing.assert_array_equal(truth.p_click(users, items, 2, 0.3), world.truth.p_click(users, items, 2, 0.3))
    np.testing.assert_array_equal(truth.oracle_scores([3, 1]), world.truth.oracle_scores([3, 1]))
    np.testing.assert_array_equal(truth.user_values([5]), world.truth.user_values([5]))
    assert truth.attributes.equals(pl.read_parquet(folder / "truth" / "attributes.parquet"))
    assert World.load(folder).config == world.config


def test_damaged_truth_is_named(written, tmp_path):
    import shutil

    copy = Path(shutil.copytree(written[1], tmp_path / "copy"))
    (copy / "truth" / "items.npz").write_bytes(b"no archive")
    with pytest.raises(ArtefactError, match=r"items\.npz"):
        Truth.load(copy)
    with pytest.raises(ArtefactError, match=r"config\.json"):
        Truth.load(tmp_path)


def test_the_ordinary_reader_reads_it(written):
    palate = pytest.importorskip("palate")
    world, folder = written
    data = palate.load(folder)
    assert (data.n_items, data.n_users) == (60, 40)
    assert data.items.frame["item_id"].equals(world.items.ids())
    assert set(data.items.modalities) >= {"text", "image", "audio", "attributes"}
    assert data.spec.kind == "temporal"
    assert (data.items.present("image") == world.items.present["image"]).all()
    assert len(data.positives) == len(world.interactions.select("user_id", "item_id").unique())


def test_no_hidden_attribute_in_the_catalogue(written):
    table = pl.read_parquet(written[1] / "items.parquet")
    hidden = set(written[0].items.schema.names)
    assert not hidden & set(table.columns)
    assert set(table.columns) == {
        "item_id", "category", "subcategory", "brand", "price", "first_seen", "title", "description", "tags",
        "image", "audio",
    }  # fmt: skip


def test_missing_media_are_null_and_absent(written):
    world, folder = written
    table = pl.read_parquet(folder / "items.parquet")
    for modality, column in (("image", "image"), ("audio", "audio"), ("text", "description")):
        assert (table[column].is_not_null().to_numpy() == world.items.present[modality]).all()
    for column in ("image", "audio"):
        paths = set(table[column].drop_nulls())
        folder_name = "images" if column == "image" else "sounds"
        assert {str(f.relative_to(folder)) for f in (folder / "media" / folder_name).rglob("*.*")} == paths
    assert table["title"].null_count() == 0


def test_missing_rates():
    world = World.make(n_items=20_000, n_users=10, media=False)
    cheap = world.items.surprise < 0
    for modality, share in world.config.missing.items():
        absent = ~world.items.present[modality]
        extra = world.config.missing_cheap[modality]
        assert abs(absent[~cheap].mean() - share) < 0.012
        assert abs(absent[cheap].mean() - share - extra) < 0.012


def test_facts_point_at_words(written):
    world, _ = written
    facts = 0
    for row in range(60):
        copy = world.copy(row)
        for fact in copy.facts:
            word = (getattr(copy, fact.field) or "")[fact.start : fact.stop]
            assert word in ((fact.value,) if fact.field == "tags" else WORDS[fact.attribute][fact.value])
            value = world.truth.attributes[fact.attribute][row]
            assert fact.true == (fact.value == value)
            facts += 1
        assert (copy.description is None) == (not world.items.present["text"][row])
    assert facts > 120


@pytest.mark.parametrize("size", [64, 100, 256])
def test_pictures_of_any_size(written, size):
    image = written[0].picture(3, size)
    assert image.size == (size, size) and image.mode == "RGB"
    assert np.asarray(written[0].picture(3, size, view=1)).tobytes() != np.asarray(image).tobytes()


def test_sounds_are_plain_wav(written):
    world, _ = written
    clip = world.sound(0, seconds=0.5)
    assert clip.dtype == np.float32 and len(clip) == 4000 and 0.2 < np.abs(clip).max() <= 1
    with wave.open(io.BytesIO(wav_bytes(clip, 8000))) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (1, 8000, 4000)


def test_gallery(written):
    sheet = gallery(written[0], 10, size=48, columns=5)
    assert isinstance(sheet, Image.Image) and sheet.size == (5 * 50 + 2, 2 * 50 + 2)


def test_existing_folders_are_safe(written, tmp_path):
    world, _ = written
    other = tmp_path / "diary"
    other.mkdir()
    (other / "note.txt").write_text("keep me")
    for overwrite in (False, True):
        with pytest.raises(DataError):
            world.write(other, overwrite)
    assert (other / "note.txt").read_text() == "keep me"
    tiny = World.make(n_items=48, n_users=5, media=False)
    tiny.write(tmp_path / "w")
    with pytest.raises(DataError, match="already exists"):
        tiny.write(tmp_path / "w")
    tiny.write(tmp_path / "w", overwrite=True)


def test_no_half_written_world(written, tmp_path, monkeypatch):
    world, _ = written
    real, count = pictures.render, 0

    def fail_midway(*args):
        nonlocal count
        count += 1
        if count == 20:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(pictures, "render", fail_midway)
    with pytest.raises(KeyboardInterrupt):
        world.write(tmp_path / "w")
    assert count == 20 and not list(tmp_path.iterdir())


def test_given_features(tmp_path):
    world = World.make(n_items=300, n_users=5, media=False, given_features=True, feature_dim=24)
    folder = world.write(tmp_path / "w")
    for modality in ("image", "text", "audio"):
        matrix = np.load(folder / "features" / f"{modality}.npy", mmap_mode="r", allow_pickle=False)
        assert matrix.shape == (300, 24) and matrix.dtype == np.float16
        present = np.load(folder / "features" / f"{modality}_present.npy", allow_pickle=False)
        assert (np.abs(matrix).sum(1) > 0).tolist() == present.tolist()
    assert "title" not in pl.read_parquet(folder / "items.parquet").columns


@pytest.mark.parametrize(
    "settings, named",
    [
        ({"preset": "shp"}, "shop"),
        ({"n_item": 5}, "n_items"),
        ({"n_items": 3}, "n_items"),
        ({"image_size": 8}, "image_size"),
        ({"policy": (0.5, 0.5, 0.5, 0.5)}, "policy"),
        ({"policy": (0.0, 0.0, 0.5, 0.5)}, "uniform"),
        ({"n_items": 48, "new_items": 0.9}, "new_items"),
    ],
)
def test_bad_settings_are_named(settings, named):
    with pytest.raises(ConfigError, match=named):
        _ = World.make(**settings).items


def test_relations(written):
    table = pl.read_parquet(written[1] / "relations.parquet")
    verbs = {"belongs_to", "sold_by", "made_of", "used_for", "shaped", "styled", "bought_together"}
    assert set(table["relation"].unique()) == verbs
    together = table.filter(relation="bought_together")
    ids, arrival = written[0].items.ids(), written[0].items.arrival
    late = set(ids.filter(pl.Series(arrival > 0)))
    assert len(together) and not late & (set(together["source"]) | set(together["target"]))
    assert together["weight"].min() > 0 and together["weight"].max() <= 1.0001


def test_news_are_texts_in_labelled_impressions(tmp_path):
    folder = World.make(preset="news@1", seed=1, n_items=120, n_users=60, interactions_per_user=4).write(
        tmp_path / "news"
    )
    data = palate.load(folder)
    assert set(data.items.modalities) == {"text", "attributes"} and data.interactions.has("impression")
    events = data.select_view().events
    assert 0.01 < float(events.label.mean()) < 0.5 and events.position is not None and events.impression is not None
    shown = np.unique(events.impression, return_counts=True)[1]
    assert shown.max() == 10
    words = " ".join(data.items.frame["description"].drop_nulls().to_list())
    assert "the harbour" in words and "{word}" not in words
