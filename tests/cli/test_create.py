"""The commands generate and gallery."""

import io
import json
import re
import shutil

import pytest
from PIL import Image

from palate.core.errors import ArtefactError, ConfigError, DataError, UnsupportedError


def test_generate_prints_a_text_and_why(call, ask, kin_run):
    run, _ = kin_run
    text = call("generate", run, "--user", "u1", "--item", "i4", "--kind", "explanation")
    assert "chair number4" in text and len(text.strip().splitlines()) == 1
    assert call("generate", run, "--user", "u1", "--item", "i4", "--kind", "explanation") == text
    found = ask("generate", run, "--user", "u1", "--item", "i4", "--kind", "headline", "--language", "de")
    assert found["text"] and found["provenance"]["language"] == "de"
    assert {row["column"] for row in found["evidence"]} <= {"title", "brand", "price", "item_id"}
    shown = call("generate", run, "--item", "i4", "--kind", "answer", "--prompt", "What is the price?", "--why")
    assert "14.00" in shown and "price" in shown.splitlines()[-1] + shown


def test_generate_writes_pictures_and_never_over_other_files(call, kin_run, tmp_path):
    run, _ = kin_run
    file = tmp_path / "banner.jpg"
    said = call("generate", run, "--user", "u1", "--item", "i2", "--kind", "cover", "--out", file)
    with Image.open(io.BytesIO(file.read_bytes())) as image:
        assert image.size == (1200, 628)
    assert "wrote" in said and "vase number2" in said
    before = file.read_bytes()
    with pytest.raises(ArtefactError, match="exists already"):
        call("generate", run, "--item", "i3", "--kind", "sticker", "--out", file)
    assert file.read_bytes() == before
    call("generate", run, "--item", "i3", "--kind", "sticker", "--out", file, "--overwrite")
    assert file.read_bytes()[:4] == b"\x89PNG"


def test_a_generator_that_was_fitted_writes_from_its_folder(call, ask, kin_run, shop, tmp_path):
    run, _ = kin_run
    small = ("dim=8", "epochs=1", "click_epochs=0", "reward_epochs=0", "beam=1", "history=2")
    settings = [part for one in small for part in ("--set", one)]
    call("fit", shop, "--model", "png", "--out", tmp_path / "writer", *settings)
    asked = ("generate", run, "--user", "u1", "--item", "i4", "--kind", "headline", "--generator", tmp_path / "writer")
    made = ask(*asked)
    assert made["text"] and made["provenance"]["model"] == "png" and len(made["provenance"]["version"]) == 16
    # a folder may be called as the model is
    twin = shutil.copytree(tmp_path / "writer", tmp_path / "png")
    assert ask(*asked[:-1], twin)["text"] == made["text"]
    with pytest.raises(ConfigError, match="has its settings"):
        call(*asked, "--set", "beam=2")
    with pytest.raises(UnsupportedError, match="writer' does not generate 'sticker'"):
        call(*asked[:-3], "sticker", "--out", tmp_path / "a.png", *asked[-2:])


def test_mistakes_are_named(call, kin_run):
    run, _ = kin_run
    for arguments, error, words in (
        (("--item", "i4", "--kind", "banner"), ConfigError, "--out"),
        (("--item", "i4", "--kind", "explnation"), ConfigError, "explanation"),
        (("--item", "nothing"), DataError, "no such item"),
        (("--item", "i4", "--user", "nobody"), DataError, "no such user"),
        (("--item", "i4", "--kind", "title", "--generator", "creative"), UnsupportedError, "banner"),
        (("--item", "i4", "--kind", "title", "--backend", "x"), ConfigError, "unknown text backend"),
        (("--item", "i4", "--kind", "title", "--generator", "png"), ConfigError, "must be fitted first"),
    ):
        with pytest.raises(error, match=words):
            call("generate", run, *arguments)


def test_a_gallery_is_one_page_with_everything_in_it(ask, call, kin_run, tmp_path):
    run, _ = kin_run
    out = tmp_path / "gallery"
    found = ask("gallery", run, "--out", out, "--user", "u0", "--user", "u1", "--item", "i0")
    page = (out / "index.html").read_text()
    assert found["users"] == ["u0", "u1"] and page.count("data:image/jpeg;base64,") == 4
    assert page.count("<section>") == 2 and "<x-lamp" not in page and "&lt;x-lamp" in page
    assert "http" not in page.replace("http-equiv", "") and "script" not in page
    for name in ("relevance", "personal fit", "factual support", "fluency", "likes used", "contrast"):
        # under each of the four panels, and its meaning once
        assert page.count(f">{name}</dt>") >= 5, name
    fits = [float(value) for value in re.findall(r"personal fit</dt><dd>([\d.]+)<", page)]
    assert len(fits) == 4 and fits[1] + fits[3] > fits[0] + fits[2], "personal content fits its user better"
    assert re.findall(r"factual support</dt><dd>([\d.]+)<", page) == ["1.00"] * 4
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(ArtefactError):
        call("gallery", run, "--out", tmp_path / "mine", "--user", "u0", "--item", "i0")
    assert json.loads((out / ".palate.json").read_text())["kind"] == "gallery"
