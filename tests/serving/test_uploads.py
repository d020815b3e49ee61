"""Hostile uploads through the API: an error or an image, no file outside the store, memory within bounds."""

import base64
import importlib.util
from pathlib import Path

import psutil
import pytest

pytest.importorskip("fastapi")

from PIL import Image
from starlette.testclient import TestClient

from palate.core.errors import FeatureError
from palate.serving.api.app import Settings, create_app
from palate.serving.images import decode_base64

MORE = 200 * 2**20
"""Bytes by which the process may grow."""


def hostile():
    """The corpus that the decoder is tested with."""
    file = Path(__file__).parents[1] / "features" / "bad_images.py"
    spec = importlib.util.spec_from_file_location("bad_images_of_features", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [(name, data) for name, data, _ in module.corpus()]


def test_hostile_uploads(runs, tmp_path):
    corpus = hostile()
    assert len(corpus) >= 60
    state = tmp_path / "state"
    app = create_app(Settings(str(runs("knn")), str(state), rate=0, page=False))
    process = psutil.Process()
    with TestClient(app) as client:
        before, size = files(tmp_path), process.memory_info().rss
        for at, (name, data) in enumerate(corpus):
            image = base64.b64encode(data).decode() or "="
            put = client.post("/v1/items", json={"items": [{"id": f"../../{at}", "fields": {}, "image": image}]})
            found = client.post("/v1/search", json={"image": image, "k": 3})
            assert put.status_code in (201, 413, 422) and found.status_code in (200, 413, 422), (name, put.text)
            assert (put.status_code == 201) == (found.status_code == 200), name
            if put.status_code != 201:
                assert put.json()["detail"], name
            assert process.memory_info().rss - size < MORE, name
        made = files(tmp_path) - before
    assert {file.relative_to(state).parts[0] for file in made} <= {
        "pictures", "features", "shop.db", "shop.db-wal", "shop.db-shm", "secret",
    }  # fmt: skip
    kept = list((state / "pictures").iterdir())
    assert kept
    for file in kept:
        with Image.open(file) as picture:
            assert picture.format == "JPEG" and max(picture.size) <= 1024 and not picture.getexif()


@pytest.mark.parametrize("item", ["../../etc/passwd", "/etc/passwd", "a\\..\\b", "..", "%2e%2e"])
def test_ids_never_become_paths(runs, tmp_path, item):
    app = create_app(Settings(str(runs("knn")), str(tmp_path / "state"), rate=0, page=False))
    with TestClient(app) as client:
        assert client.post("/v1/items", json={"items": [{"id": item, "fields": {}}]}).status_code in (201, 422)
        assert client.get(f"/v1/images/{item}").status_code in (404, 422)
    assert files(tmp_path / "state" / "pictures") == set()


def files(folder):
    return {file for file in Path(folder).rglob("*") if file.is_file()}


@pytest.mark.parametrize("text", ["{lines}", "data:image/png;base64,{lines}", "\r\n {lines}\t", "{spaced}"])
def test_white_space_in_base64_is_ignored(text):
    data = bytes(range(256)) * 3
    lines = base64.encodebytes(data).decode()
    assert decode_base64(text.format(lines=lines, spaced=" ".join(base64.b64encode(data).decode()))) == data


@pytest.mark.parametrize("text", ["a", "%%%%", "data:image/png;base64,-", "YQ==YQ=="])
def test_other_characters_are_no_base64(text):
    with pytest.raises(FeatureError, match="not base64"):
        decode_base64(text)
