"""Scripts of creatives: fonts of the machine and of packages, shaping, and letters that no font has."""

import sys
import unicodedata
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageFont

from palate.contracts import GenerationRequest
from palate.generation.compose import fonts
from palate.generation.compose.creative import compose
from palate.generation.compose.text_fit import fit
from palate.generation.compose.words import Copy
from palate.models.generate.creative import Creative

ARABIC, HEBREW, HINDI = "سجادة حمراء", "שטיח אדום", "क्षितिज लाल"
CHEROKEE = "ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ"
ITEM = {"id": "a", "title": "Coat", "material": "wool"}


@pytest.fixture
def forget():
    """Fonts are looked for anew, before and after."""

    def clear():
        for one in (fonts.font_files, fonts.ranked, fonts.font_for, fonts.shapes, fonts.font, fonts.has_letter):
            one.cache_clear()

    clear()
    yield clear
    clear()


def letter_font(file, letters):
    """A font of squares."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    names = [".notdef", "space", *(f"u{ord(letter):04x}" for letter in letters)]
    pen = TTGlyphPen(None)
    for step, point in enumerate([(50, 0), (50, 600), (550, 600), (550, 0)]):
        (pen.moveTo if step == 0 else pen.lineTo)(point)
    pen.closePath()
    square, empty = pen.glyph(), TTGlyphPen(None).glyph()
    made = FontBuilder(1000, isTTF=True)
    made.setupGlyphOrder(names)
    made.setupCharacterMap({32: "space", **{ord(letter): f"u{ord(letter):04x}" for letter in letters}})
    made.setupGlyf({name: empty if name in names[:2] else square for name in names})
    made.setupHorizontalMetrics({name: (600, 0) for name in names})
    made.setupHorizontalHeader(ascent=800, descent=-200)
    made.setupNameTable({"familyName": "Squares", "styleName": "Regular"})
    made.setupOS2()
    made.setupPost()
    made.save(file)


def test_fonts_of_installed_packages_are_found(tmp_path, monkeypatch, forget):
    assert fonts.font_for(CHEROKEE, "bold") is None or "squares" not in str(fonts.font_for(CHEROKEE, "bold")[0])
    package, about = tmp_path / "fontpkg_squares", tmp_path / "fontpkg_squares-1.dist-info"
    (package / "files").mkdir(parents=True)
    about.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('fonts are found without running a package')")
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: fontpkg-squares\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[fontpkg.family]\nsquares = fontpkg_squares\n")
    letter_font(package / "files" / "Squares.ttf", CHEROKEE.replace(" ", ""))
    monkeypatch.syspath_prepend(str(tmp_path))
    forget()
    path, drawn = fonts.font_for(CHEROKEE, "bold")
    assert drawn == CHEROKEE and fonts.has_letter(path, CHEROKEE[0]) and "fontpkg_squares" not in sys.modules


def test_a_script_without_a_font_is_named_and_left_out(monkeypatch, forget):
    only = tuple(path for path in fonts.font_files() if "dejavu" in path.stem.lower())
    assert only, "Matplotlib brings DejaVu"
    monkeypatch.setattr(fonts, "font_files", lambda: only)
    fonts.ranked.cache_clear()
    for text, script in ((HINDI, "noto-sans-devanagari"), (CHEROKEE, "Cherokee"), ("赤いコート", "fonts-noto-cjk")):
        assert fit(text, "bold", 400, 100, 40, 10, 2) is None and script in fonts.what_to_install(text)
        made = Creative().generate([GenerationRequest("banner", ITEM | {"title": text}, size=(400, 240))])[0]
        assert script in made.provenance["fallback"] and "headline" in made.provenance["fallback"] and made.image
    some = Creative().generate([GenerationRequest("banner", ITEM | {"title": "A coat of wool 赤"}, size=(400, 240))])[0]
    assert "left out: 赤" in some.provenance["fallback"]
    for text in (ARABIC, HEBREW, "Пальто", "Παλτό", "Żółć ścięgno"):
        whole = fit(text, "bold", 400, 100, 40, 10, 2)
        assert whole is not None and not whole.lost and " ".join(whole.lines) == text
    monkeypatch.undo()


def test_letters_from_right_to_left_are_joined_and_stand_at_the_right():
    if not fonts.shapes():
        pytest.skip("this Pillow has no raqm")
    for text in (ARABIC, HEBREW):
        made = compose(None, Copy(text, "TAG"), (600, 320))
        headline = next(line for line in made.lines if line.text == "headline")
        assert headline.fitted.right_to_left and headline.box.right > 300 and not made.missing
    path, _ = fonts.font_for(ARABIC, "bold")
    plain = ImageFont.truetype(str(path), 40, layout_engine=ImageFont.Layout.BASIC)
    assert fonts.font(path, 40).getlength(ARABIC) < 0.97 * plain.getlength(ARABIC), "joined letters are narrower"
    shaped, first = (np.asarray(fonts.font(path, 40).getmask(text)) for text in (HEBREW, HEBREW[::-1]))
    assert shaped.shape != first.shape or (shaped != first).any(), "the order of the letters is that of the script"
    marked, bare = (fonts.font(path, 40).getlength(text) for text in (f"\u2068{ARABIC}\u2069", ARABIC))
    assert marked == bare, "marks of direction are not drawn"


def test_conjuncts_of_devanagari_are_shaped():
    found = fonts.font_for(HINDI, "regular")
    if found is None or not fonts.shapes():
        pytest.skip("no font of this machine has Devanagari")
    opened = fonts.font(found[0], 40)
    assert opened.getlength("क्ष") < opened.getlength("क") + opened.getlength("ष"), "one glyph for three letters"


def test_without_shaping_scripts_that_need_it_are_not_drawn(monkeypatch, forget):
    monkeypatch.setattr(fonts.features, "check", lambda name: False)
    assert fonts.font_for(ARABIC, "bold") is None and "raqm" in fonts.what_to_install(ARABIC)
    _, drawn = fonts.font_for("\u2068Coat\u2069", "bold")
    assert drawn == "Coat" and not any(unicodedata.category(letter) == "Cf" for letter in drawn)


def test_no_box_is_ever_drawn():
    """Each letter that is drawn differs from what a font draws for one that it lacks."""
    for text in ("Coat 🦄 赤 ᏣᎳᎩ", "Ärger", "🦄🔥", "ℵ₀ ∑ →", "naïve café"):
        fitted = fit(text, "regular", 400, 100, 30, 10, 3)
        for letter in "" if fitted is None else "".join(fitted.lines).replace("…", ""):
            assert fonts.has_letter(fitted.path, letter), (text, letter)
    blank = Image.new("RGB", (300, 300), "white")
    assert compose(blank, replace(Copy("x"), headline="\U000f0000" * 3), (300, 300)).missing == ("headline",)
