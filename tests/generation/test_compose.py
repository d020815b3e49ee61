"""Creatives: words never on the subject, readable on what lies behind them, in any script; whatever the picture is."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from palate.contracts import GenerationRequest, Preference
from palate.core.errors import ConfigError, UnsupportedError
from palate.features.media import open_image
from palate.generation.compose import fonts
from palate.generation.compose.colour import contrast, palette, readable, to_lab, to_rgb
from palate.generation.compose.creative import FORMATS, compose, crop_box, product_picture
from palate.generation.compose.layout import MAX_OVERLAP, find_layout
from palate.generation.compose.saliency import find_subject
from palate.generation.compose.sticker import make_sticker, subject_mask
from palate.generation.compose.text_fit import fit
from palate.generation.compose.theme import accent_of
from palate.generation.compose.words import Copy
from palate.models.generate.creative import Creative

RED, GREEN, BLUE = (200, 40, 30), (30, 150, 60), (30, 60, 200)
WORDS = Copy("More wool for you: Cantata coat", "WOOL, LIKE “SCARF”", "Red · 12.50")


def picture(size=(640, 480), at=(0.7, 0.5), ground=(240, 240, 238), colour=RED, noise=0, radius=0.22):
    """A disc on a ground; with ``noise`` the ground is a coarse texture."""
    rng = np.random.default_rng(0)
    pixels = np.array(ground, np.float64) + np.zeros((size[1], size[0], 3))
    if noise:
        coarse = rng.normal(0, noise, (max(1, size[1] // 40), max(1, size[0] // 40), 3))
        coarse = np.kron(coarse, np.ones((40, 40, 1)))
        pixels[: coarse.shape[0], : coarse.shape[1]] += coarse[: size[1], : size[0]]
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    x, y, r = at[0] * size[0], at[1] * size[1], radius * min(size)
    ImageDraw.Draw(image).ellipse((x - r, y - r, x + r, y + r), colour)
    return image


def encoded(image, kind="PNG"):
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def test_colours_by_hand():
    assert float(contrast((0, 0, 0), (255, 255, 255))) == pytest.approx(21)
    assert float(contrast((119, 119, 119), (255, 255, 255))) == pytest.approx(4.48, abs=0.01)
    assert to_lab(np.array([255.0, 0, 0])) == pytest.approx([53.24, 80.09, 67.20], abs=0.05)
    for colour in (RED, GREEN, BLUE, (12, 200, 250)):
        assert to_rgb(to_lab(np.array(colour, np.float64))) == pytest.approx(colour, abs=1)
        for ground in ((255, 255, 255), (20, 20, 24), (128, 128, 128), RED):
            assert float(contrast(readable(colour, ground), ground)) >= 4.5
    shares = dict(palette(picture(radius=0.4)))
    assert any(np.abs(np.array(one) - RED).max() < 12 for one in shares) and sum(shares.values()) == pytest.approx(1)
    assert palette(Image.new("RGB", (50, 50), BLUE))[0][1] == pytest.approx(1)


@pytest.mark.parametrize("at", [(0.25, 0.3), (0.75, 0.6), (0.5, 0.5)])
@pytest.mark.parametrize("noise", [0, 9])
def test_the_subject_is_found(at, noise):
    subject = find_subject(picture(at=at, noise=noise))
    x, y = at
    assert subject.mass.sum() == pytest.approx(1)
    near = subject.within((x - 0.25, y - 0.3, x + 0.25, y + 0.3))
    assert near > (0.95 if not noise else 0.45), "most of the mass lies on the disc"
    assert (subject.background is not None) == (noise == 0)
    assert subject.within((0, 0, 1, 1)) == pytest.approx(1) and subject.within((1.2, 0, 2, 1)) == 0


@pytest.mark.parametrize("size", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize(
    "source",
    [
        picture(), picture(at=(0.2, 0.4)), picture(size=(185, 278), at=(0.5, 0.4), noise=30, ground=(90, 60, 50)),
        picture(size=(1600, 1100), at=(0.78, 0.5), noise=12, ground=(150, 160, 150), radius=0.3),
        picture(size=(900, 1400), at=(0.5, 0.25), noise=10, ground=(210, 190, 120), colour=BLUE, radius=0.3),
    ],
    ids=["right", "left", "poster", "wide", "tall"],
)  # fmt: skip
def test_words_cover_nothing_of_the_subject_and_are_readable(source, size):
    made = compose(source, WORDS, size)
    assert made.image.size == size and made.contrast >= 4.5 and not made.missing
    assert [line.text for line in made.lines] == ["tag", "headline", "detail"]
    subject, layout = find_subject(source), made.layout
    covered = 0.0
    for line in made.lines:
        box = line.box
        assert 0 <= box.left < box.right <= size[0] and 0 <= box.top < box.bottom <= size[1]
        assert layout.words.left <= box.left and box.right <= layout.words.right + 1
        at = layout.picture
        covered += subject.within(((box.left - at.left) / at.width, (box.top - at.top) / at.height,
                                   (box.right - at.left) / at.width, (box.bottom - at.top) / at.height))  # fmt: skip
    assert covered <= MAX_OVERLAP
    boxes = sorted(line.box for line in made.lines)
    assert all(a.bottom <= b.top or b.bottom <= a.top for a in boxes for b in boxes if a != b), "lines do not overlap"


def test_contrast_is_measured_on_pixels(monkeypatch):
    """Every pixel behind the words, as it is before they are drawn."""
    monkeypatch.setattr("palate.generation.compose.creative.draw_words", lambda canvas, lines: None)
    source = picture(size=(1600, 1100), at=(0.8, 0.5), noise=60, ground=(190, 190, 190), radius=0.3)
    made = compose(source, WORDS, (1200, 628), only="bleed")
    assert made.layout.arrangement == "bleed"
    behind = [float(contrast(np.asarray(made.image.crop(one.box)), one.colour).min()) for one in made.lines]
    assert min(behind) >= 4.5 and min(behind) == pytest.approx(made.contrast, rel=1e-3)
    bare = np.asarray(source.resize((1200, 628)).crop(made.lines[1].box))
    assert float(contrast(bare, made.lines[1].colour).min()) < 3, "without the cover they would not be readable"


def test_a_subject_on_a_plain_ground_stands_on_it():
    made = compose(picture(ground=(250, 250, 250)), WORDS, (1200, 628))
    assert made.layout.arrangement == "extend"
    assert made.image.getpixel((3, 3)) == pytest.approx((250, 250, 250), abs=3)
    cropped = np.asarray(product_picture(picture(at=(0.2, 0.3)), (400, 400)), np.float64)
    red = np.argwhere(np.abs(cropped - RED).sum(2) < 60)
    assert red.mean(0) == pytest.approx([200, 200], abs=12), "the subject is in the middle"
    assert np.ptp(red, axis=0) == pytest.approx([0.76 * 400] * 2, rel=0.15)


def test_a_crop_keeps_the_subject():
    source = picture(size=(1000, 400), at=(0.15, 0.5), noise=10)
    subject = find_subject(source)
    box = crop_box(subject, source.size, (400, 400))
    shares = (-box.left / box.width, 0, (400 - box.left) / box.width, 1)
    assert subject.within(shares) > subject.within((0.3, 0, 0.7, 1)), "not simply the middle"
    assert box.left <= 0 and box.right >= 400


def test_text_fits_in_even_lines():
    whole = fit("a short text in a box that is wide enough for it", "regular", 400, 200, 40, 10, 4)
    assert whole.width <= 400 and whole.height <= 200 and " ".join(whole.lines).startswith("a short text")
    assert not whole.cut
    widths = [fonts.font(whole.path, whole.size).getlength(line) for line in whole.lines]
    assert min(widths) > 0.6 * max(widths), "no last line of one word"
    bigger = fit("a short text", "regular", 400, 200, 90, 10, 4)
    assert bigger.size > whole.size
    cut = fit("word " * 400, "bold", 200, 60, 40, 12, 2)
    assert cut.cut and cut.lines[-1].endswith("…") and len(cut.lines) <= 2 and cut.width <= 200
    long = fit("Donaudampfschifffahrtsgesellschaft" * 2, "bold", 200, 200, 40, 20, 5)
    assert long.width <= 200 and len(long.lines) > 1, "a word that is too long is parted"


def test_scripts_and_fonts_without_a_letter():
    arabic = fit("سجادة حمراء", "bold", 400, 100, 40, 10, 2)
    if arabic is not None:
        assert arabic.right_to_left
        assert all(fonts.has_letter(arabic.path, letter) for letter in "سجادة حمراء")
    path, drawn = fonts.font_for("Coat 🦄", "bold")
    assert drawn in ("Coat", "Coat 🦄") and fonts.has_letter(path, "C")
    assert not fonts.has_letter(path, "\U000f0000"), "private use: no font has it"
    assert fit("\U000f0000\U000f0001", "bold", 400, 100, 40, 10, 2) is None
    made = compose(picture(), Copy("\U000f0000\U000f0001\U000f0002", "TAG"), (600, 320))
    assert made.missing == ("headline",) and [line.text for line in made.lines] == ["tag"]


def test_stickers_are_the_subject_on_nothing():
    source = picture(at=(0.6, 0.5), noise=6)
    mask = np.asarray(Image.fromarray((255 * subject_mask(source)).astype(np.uint8)).resize(source.size)) > 127
    disc = np.abs(np.asarray(source, np.float64) - RED).sum(2) < 30
    assert (mask & disc).sum() / (mask | disc).sum() > 0.85
    sticker = make_sticker(source, 256)
    alpha = np.asarray(sticker.image)[..., 3]
    assert sticker.cut and alpha[0, 0] == 0 and alpha[128, 128] == 255 and 0.2 < (alpha > 200).mean() < 0.9
    edge = np.asarray(sticker.image)[128]
    first = int(np.argmax(edge[:, 3] > 250))
    assert edge[first + 1, :3].min() > 240, "an outline of white"
    assert not make_sticker(Image.new("RGB", (64, 64), "gray"), 128).cut


ITEM = {"id": "a", "title": "Cantata coat", "material": "wool", "colour": "red", "category": "coats", "price": 12.5}
SCARF = {"id": "b", "title": "Scarf", "material": "wool", "colour": "red"}


def made_for(kind, images=None, preferences=(), **options):
    size = options.pop("size", (480, 260) if kind != "sticker" else (160, 160))
    request = GenerationRequest(
        kind, ITEM, [SCARF], images=images or {}, preferences=preferences, size=size, options=options
    )
    return Creative().generate([request], seed=1)[0]


@pytest.mark.parametrize("kind", Creative.kinds)
def test_every_kind_is_a_picture_of_its_size_with_evidence(kind):
    content = made_for(kind, {"a": encoded(picture())})
    with Image.open(io.BytesIO(content.image)) as image:
        assert image.size == ((160, 160) if kind == "sticker" else (480, 260))
        assert image.format == ("PNG" if kind == "sticker" else "JPEG")
    assert content.evidence and content.provenance["model"] == "creative" and "fallback" not in content.provenance
    assert (content.text is not None) == (kind == "cover")
    assert content == made_for(kind, {"a": encoded(picture())}), "the same again"


def test_taste_decides_the_tag_line_the_picture_and_the_accent():
    by_material = made_for("banner", preferences=[Preference("material", "wool", 2.0, ("b",))])
    by_colour = made_for("banner", preferences=[Preference("colour", "red", 2.0, ("b",))])
    rows = [{(row.source, row.column) for row in one.evidence} for one in (by_material, by_colour)]
    assert (
        ("history", "material") in rows[0] and ("history", "colour") not in rows[0] and ("history", "colour") in rows[1]
    )
    assert by_material.image != by_colour.image
    red, blue = picture(colour=RED, ground=(120, 30, 30)), picture(colour=BLUE, ground=(30, 30, 120))
    for liked in (red, blue):
        images = {"b": encoded(liked)}
        content = made_for("product_picture", images, pictures=[encoded(red), encoded(blue)])
        shown = np.asarray(open_image(content.image), np.float64).mean((0, 1))
        assert (shown[0] > shown[2]) == (liked is red), "the picture that is closest to the history"
        vectors = {"picture_vectors": [[1, 0], [0, 1]], "history_vectors": [[0.1, 0.9] if liked is red else [1, 0]]}
        content = made_for("product_picture", pictures=[encoded(red), encoded(blue)], **vectors)
        shown = np.asarray(open_image(content.image), np.float64).mean((0, 1))
        assert (shown[0] > shown[2]) == (liked is blue), "stored vectors count before colours"
    colours = [(RED, 0.3), (BLUE, 0.3)]
    assert accent_of(colours, [(190, 30, 30)]) == RED and accent_of(colours, [(30, 50, 190)]) == BLUE


def test_pictures_that_cannot_be_used_leave_a_typographic_creative():
    good = encoded(picture(), "JPEG")
    broken = {"truncated": good[: len(good) // 4], "tiny": encoded(Image.new("RGB", (1, 1))), "not": b"no picture"}
    for name, data in broken.items():
        content = made_for("banner", {"a": data})
        assert "picture" in content.provenance["fallback"] or "pixels" in content.provenance["fallback"], name
        assert content.provenance["layout"] == "type" and float(content.provenance["contrast"]) >= 4.5
    plain = made_for("banner", {"a": encoded(Image.new("RGB", (64, 64), BLUE))})
    assert plain.provenance["layout"] == "type", "a picture of one colour shows nothing"
    for mode in ("CMYK", "L", "I;16", "RGBA", "P"):
        deep = np.asarray(picture().convert("L"), np.uint16) * 257
        image = Image.fromarray(deep) if mode == "I;16" else picture().convert(mode)
        data = encoded(image, "JPEG" if mode == "CMYK" else "PNG")
        content = made_for("banner", {"a": data})
        assert "fallback" not in content.provenance, mode


def test_sizes_and_formats():
    assert Image.open(io.BytesIO(made_for("banner", size=None, format="story").image)).size == FORMATS["story"]
    with pytest.raises(ConfigError, match="one of banner"):
        made_for("banner", size=None, format="poster")
    with pytest.raises(ConfigError, match="9999 x 10 pixels"):
        made_for("banner", size=(9999, 10))
    with pytest.raises(UnsupportedError):
        Creative().generate([GenerationRequest("title", ITEM)])
    for size in ((120, 2400), (2400, 120), (121, 121)):
        made = compose(picture(), WORDS, size)
        assert made.image.size == size and made.contrast >= 4.5
        assert find_layout(size, (640, 480), find_subject(picture())).covered <= MAX_OVERLAP


@pytest.mark.parametrize("title", ["<b>x</b>", "x" * 10_000, "a\u202eb", "{0}\n\n", "‏שלום", "🦄" * 50])
def test_hostile_titles_are_drawn_as_they_stand(title):
    request = GenerationRequest("cover", ITEM | {"title": title}, images={"a": encoded(picture())}, size=(300, 200))
    assert Creative().generate([request])[0].image
