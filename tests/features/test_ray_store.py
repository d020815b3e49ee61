"""Encoding by Ray Data: the bits of one process, failures where they belong, nothing encoded twice."""

import json

import numpy as np
import pytest
from bad_images import picture, saved

from palate.core.errors import ConfigError
from palate.features.encoders.image_stats import ImageStats
from palate.features.encoders.make import make_encoder
from palate.features.ray_store import RayStore
from palate.features.store import FeatureStore

ray = pytest.importorskip("ray")
TEXTS = [*(f"lamp {row} of kind {row % 7}" for row in range(40)), None, "", "lamp 3 of kind 3"]


@pytest.fixture(scope="module", autouse=True)
def ended():
    yield
    ray.shutdown()


def equal(one, other):
    for name in ("values", "present", "lengths"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.identity == other.identity


def test_workers_give_the_bits_of_one_process_and_encode_only_missing_content(tmp_path):
    encoder = make_encoder("tfidf?dim=8", "text").fit(TEXTS)
    for name in ("alone", "ray"):
        FeatureStore(tmp_path / name).encode(encoder, TEXTS[:18], batch_size=6)
    alone = FeatureStore(tmp_path / "alone").encode(encoder, TEXTS, batch_size=6)
    store = RayStore(tmp_path / "ray")
    equal(store.encode(encoder, TEXTS, batch_size=6), alone)
    equal(FeatureStore(tmp_path / "ray").encode(encoder, TEXTS), alone)
    assert [len(list((tmp_path / name).rglob("*.safetensors"))) for name in ("alone", "ray")] == [7, 7]
    assert {path.name for path in (tmp_path / "ray").rglob(".*")} == {".lock"}, "no encoder is left behind"


def test_failures_are_reported_by_row(tmp_path, monkeypatch):
    (tmp_path / "media").mkdir()
    for row in (0, 2):
        (tmp_path / "media" / f"{row}.png").write_bytes(saved(picture(32 + row), "PNG"))
    (tmp_path / "media" / "1.png").write_bytes(b"no picture")
    monkeypatch.chdir(tmp_path)
    raws, found = ["0.png", "1.png", None, "2.png", "none.png"], []
    for store in (FeatureStore("alone"), RayStore("ray")):
        failures = []
        found.append((store.encode(ImageStats(), raws, root="media", failures=failures), failures))
    equal(found[0][0], found[1][0])
    assert [failure.row for failure in found[1][1]] == [1, 4]
    assert [(failure.row, failure.reason) for failure in found[0][1]] == [(f.row, f.reason) for f in found[1][1]]


def test_at_least_one_worker(tmp_path):
    with pytest.raises(ConfigError, match="workers"):
        RayStore(tmp_path, 0)


def test_the_command(tmp_path):
    from typer.testing import CliRunner

    from palate.cli.main import app

    (tmp_path / "items.csv").write_text("item_id,title\n" + "".join(f"i{row},lamp {row % 9}\n" for row in range(20)))
    log = "".join(f"u{row % 8},i{row % 20},{row}\n" for row in range(80))
    (tmp_path / "interactions.csv").write_text("user_id,item_id,timestamp\n" + log)
    command = ["encode", str(tmp_path), "--encoder", "text=hash?dim=32", "--json"]
    said = [CliRunner().invoke(app, [*command, *more], catch_exceptions=False).stdout for more in (["--ray", "2"], [])]
    assert json.loads(said[0]) == json.loads(said[1]) and json.loads(said[0])["features"][0]["present"] == 20
