"""Every registered generator makes its kinds from any request, and says where what it says stands and what made it."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from PIL import Image

import palate
from palate.contracts import Evidence, Generated, GenerationRequest, Preference, generators
from palate.contracts.generator import MEDIA
from palate.core.config import TrainedConfig
from palate.core.content import Features
from palate.core.errors import NotFittedError, UnsupportedError
from palate.generation.drawing.train import train_pictures
from palate.generation.flows.generator import FlowConfig
from palate.models.generate.latent_diffusion import LatentDiffusion

N_ITEMS, N_USERS = 12, 8
COLOURS = {"red": (200, 40, 40), "blue": (40, 60, 200)}
PICTURES = ("latent_diffusion", "pmg", "textual_inversion")
NEEDS_TRAINING = [name for name, kind in generators.items() if issubclass(kind.Config, TrainedConfig)]


def picture(colour: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (32, 32), COLOURS[colour]).save(out, "PNG")
    return out.getvalue()


def items() -> pl.DataFrame:
    colours = [list(COLOURS)[at % 2] for at in range(N_ITEMS)]
    return pl.DataFrame(
        {
            "item": [f"i{at:02d}" for at in range(N_ITEMS)],
            "title": [f"Lamp {at} by Ulmera" for at in range(N_ITEMS)],
            "description": [f"This {colour} lamp number {at} stands on a desk." for at, colour in enumerate(colours)],
            "colour": colours,
            "photo": [picture(colour) for colour in colours],
        }
    )


def data() -> palate.Dataset:
    pairs = [(user, item) for user in range(N_USERS) for item in range(user % 2, N_ITEMS, 2)]
    log = pl.DataFrame(
        {
            "user": [f"u{user}" for user, _ in pairs],
            "item": [f"i{item:02d}" for _, item in pairs],
            "time": list(range(len(pairs))),
            "explanation": [f"You like {list(COLOURS)[user % 2]} lamps." for user, _ in pairs],
        }
    )
    columns = {"item": "id", "title": "text", "description": "text", "colour": "category", "photo": "image"}
    vectors = np.eye(N_ITEMS, 4, dtype=np.float32)
    return palate.Dataset.from_frames(
        items(), log, columns=columns, split="random:test=0.1,valid=0.1", name="lamps",
        roles={"user": "user", "item": "item", "time": "time", "context": ["explanation"]},
        features={"image": Features(vectors, np.ones(N_ITEMS, bool), identity="given:lamps")},
    )  # fmt: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights that draw, of a network that saw little: what it draws is no matter here."""
    out = tmp_path_factory.mktemp("drawing") / "weights"
    small = LatentDiffusion(
        side=16, channels=8, dim=16, depth=1, heads=2, batch_size=8, tokenizer_epochs=1, epochs=1, warmup_steps=1
    )
    train_pictures(small, data(), out, device="cpu")
    return out


@pytest.fixture(scope="module", params=generators.names())
def made(request, tmp_path_factory):
    """A generator that can be asked."""
    name = request.param
    kind = generators.get(name)
    if name in PICTURES:
        folder = request.getfixturevalue("weights")
        if name == "pmg":
            out = tmp_path_factory.mktemp("pmg") / "weights"
            train_pictures(kind(weights=str(folder), hidden=16, epochs=1, batch_size=8), data(), out, device="cpu")
            folder = out
        settings = {"weights": str(folder), "steps": 2}
        return kind(**settings, inversion_steps=2) if name == "textual_inversion" else kind(**settings)
    if name in NEEDS_TRAINING:
        settings = {"dim": 16, "words": 20, "batch_size": 16, "target_length": 8, "epochs": 1}
        known = {key: value for key, value in settings.items() if key in kind.Config.model_fields}
        extra = {one: 1 for one in kind.Config.model_fields if one.endswith("_epochs")}
        return kind(**known, **extra).fit(data(), refit=False)
    return kind(backend="") if issubclass(kind.Config, FlowConfig) else kind()


def asked(kind: str, **more) -> GenerationRequest:
    """A request with everything that a run knows."""
    rows = list(items().iter_rows(named=True))
    item, history = rows[0], rows[2:6:2]
    given = GenerationRequest(
        kind, {key: value for key, value in item.items() if key != "photo"},
        [{key: value for key, value in row.items() if key != "photo"} for row in history],
        "What colour is it?", "u0", (Preference("colour", "red", 1.0, ("i02", "i04")),),
        (Evidence("history", "i02", "colour", "red"),), {row["item"]: row["photo"] for row in (item, *history)},
        max_words=20 if MEDIA[kind] == "text" else None,
        size=(160, 120) if MEDIA[kind] in ("image", "mixed", "video") else None,
        options={"results": rows[:6]} if kind == "clarifying_question" else {},
    )  # fmt: skip
    return replace(given, **more)


def has_content(one: Generated, kind: str) -> bool:
    wanted = {"text": (one.text,), "image": (one.image,), "mixed": (one.image, one.text), "video": (one.video,)}
    return all(wanted[MEDIA[kind]])


def test_every_kind_is_made_with_its_provenance(made):
    assert made.kinds and set(made.kinds) <= set(MEDIA)
    for kind in made.kinds:
        [one] = made.generate([asked(kind)], seed=3)
        # an untrained network may have nothing to say; it may not say it without a name
        assert has_content(one, kind) or made.name in NEEDS_TRAINING
        assert one.provenance["model"] == made.name and one.provenance["seed"] == "3"
        assert {"version", "backend"} <= one.provenance.keys()


def test_evidence_stands_in_the_request(made):
    for kind in made.kinds:
        request = asked(kind)
        rows = {str(row["item"]): row for row in (request.item, *request.history)}
        for one in made.generate([request], seed=0)[0].evidence:
            assert one.source in ("item", "history", "user", "catalog", "document")
            if one.source in ("item", "history") and one.column in rows.get(one.id, {}):
                assert str(one.value).lower() in str(rows[one.id][one.column]).lower()
            assert one.source != "item" or one.id == "i00"


def test_the_same_seed_makes_the_same_and_a_batch_keeps_its_order(made):
    if made.name == "clip":
        pytest.skip("a container of video holds the time of its making")
    kind = made.kinds[0]
    other = list(items().iter_rows(named=True))[7]
    second = asked(kind, item={key: value for key, value in other.items() if key != "photo"})
    both = made.generate([asked(kind), second], seed=1)
    again = made.generate([asked(kind), second], seed=1)
    assert [(one.text, one.image) for one in both] == [(one.text, one.image) for one in again]
    assert len(both) == 2 and made.generate([], seed=1) == []


def test_cold_users_bare_items_and_odd_values_are_no_errors(made):
    bare = {"history": (), "preferences": (), "evidence": (), "images": {}, "prompt": None, "user": None}
    odd = {
        "item": "x",
        "title": "</item> <|im_start|> \u202eabc\x00 " + "long " * 400,
        "colour": None,
        "price": float("nan"),
    }
    for kind in made.kinds:
        for item in ({"item": "i00"}, odd):
            [one] = made.generate([asked(kind, item=item, options={}, **bare)], seed=0)
            assert isinstance(one, Generated) and "\x00" not in (one.text or "")


def test_other_kinds_are_refused(made):
    other = next(kind for kind in MEDIA if kind not in made.kinds)
    with pytest.raises(UnsupportedError, match=other):
        made.generate([asked(other)])


def test_requests_are_left_as_they_are(made):
    kind = made.kinds[0]
    request = asked(kind)
    before = repr(request)
    made.generate([request], seed=0)
    assert repr(request) == before


@pytest.mark.parametrize("name", [*NEEDS_TRAINING, "textual_inversion"])
def test_what_was_not_fitted_says_so(name):
    made = generators.get(name)()
    with pytest.raises(NotFittedError):
        made.generate([asked(made.kinds[0])])


def test_a_fitted_generator_says_the_same_after_it_was_saved(made, tmp_path):
    if made.name not in NEEDS_TRAINING or made.name in PICTURES:
        pytest.skip("has nothing of its own to save")
    back = palate.restore(made.save(tmp_path / "run"))
    request = asked(made.kinds[0])
    assert back.generate([request], seed=0)[0].text == made.generate([request], seed=0)[0].text
