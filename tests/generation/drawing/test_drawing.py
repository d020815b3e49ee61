"""The library's own pictures: vocabulary, training, folder, backend, generator."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from colour_shop import COLOURS, TINY, nearest, png, shop

from palate.contracts import GenerationRequest, PicturePrompt, Preference
from palate.core.errors import ArtefactError, ConfigError, FeatureError, NotFittedError, UnsupportedError
from palate.generation.drawing.painter import Painter, prompt_conditions
from palate.generation.drawing.prompts import picture_prompt, preference_words
from palate.generation.drawing.train import train_pictures
from palate.generation.drawing.vocabulary import PictureVocabulary
from palate.generation.drawing.weights import PictureModel, read_picture_model
from palate.generation.registries import image_backend
from palate.models.generate.latent_diffusion import LatentDiffusion
from palate.modules.diffusion.network import LatentDiffusionNetwork, NetworkSize

WORDS = PictureVocabulary({"colour": ("blue", "red"), "mood": ("blue", "gay")}, ("lamp", "old"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of trained weights."""
    out = tmp_path_factory.mktemp("drawn") / "weights"
    train_pictures(LatentDiffusion(**TINY), shop(), out, device="cpu")
    return out


@pytest.fixture
def untrained():
    torch.manual_seed(0)
    size = NetworkSize(tokens=len(WORDS), side=16, channels=8, dim=16, depth=1, heads=2)
    return Painter(PictureModel(LatentDiffusionNetwork(size).eval(), WORDS, "test"), steps=2)


def request(colour, **more):
    return GenerationRequest("product_picture", {"item": "x", "title": "a lamp", "colour": colour}, **more)


def test_phrases_are_attributes_first_and_words_else():
    assert len(WORDS) == 7 and WORDS.n_attributes == 4
    assert WORDS.phrase("colour=Blue") == [1] and WORDS.phrase("mood = gay") == [4]
    assert WORDS.phrase("BLUE") == [1, 3]
    assert WORDS.phrase("old red lamp") == [6, 2, 5]
    assert WORDS.phrase("colour=pink") == [] and WORDS.phrase("unheard of") == []
    assert WORDS.attributes_of({"colour": "Red, blue", "mood": None}) == {2: ("colour", "Red"), 1: ("colour", "blue")}


def test_the_vocabulary_of_a_catalogue_leaves_out_what_is_said_once():
    items = shop().items
    found = PictureVocabulary.learn(items)
    assert found.attributes == {"colour": tuple(sorted(COLOURS))}
    assert set(found.words) == {"lamp", *COLOURS}
    table = found.attribute_table(items)
    assert table.shape == (48, 1) and table[0, 0] == found.attribute_ids["colour", "red"]
    assert (found.word_table(items) > 0).sum() == 96
    assert PictureVocabulary.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_a_trained_model_draws_the_colour_that_is_asked_for(folder):
    painter = image_backend(f"latent_diffusion:{folder}")
    prompts = [PicturePrompt(words=[(f"colour={name}", 1.0)], size=(16, 16)) for name in COLOURS]
    right = [nearest(one) == name for seed in range(4) for one, name in zip(painter.draw(prompts, seed=seed), COLOURS)]
    assert np.mean(right) >= 0.9
    named = [PicturePrompt(words=[(f"a {name} lamp", 1.0)], size=(16, 16)) for name in COLOURS]
    right = [nearest(one) == name for seed in range(4) for one, name in zip(painter.draw(named, seed=seed), COLOURS)]
    assert np.mean(right) >= 0.75


def test_words_that_are_not_wanted_lead_away(folder):
    painter = image_backend(f"latent_diffusion:{folder}")
    prompts = [PicturePrompt(negative=(f"colour={name}",), guidance=4.0, size=(16, 16)) for name in COLOURS]
    drawn = [nearest(one) == name for seed in range(4) for one, name in zip(painter.draw(prompts, seed=seed), COLOURS)]
    assert np.mean(drawn) <= 0.15


def test_a_reference_is_kept_or_forgotten(folder):
    painter = image_backend(f"latent_diffusion:{folder}")
    blue = [("colour=blue", 1.0)]
    kept, changed = (
        painter.draw([PicturePrompt(blue, reference=png("red"), strength=s, size=(16, 16))], seed=1)[0]
        for s in (0.05, 1.0)
    )
    assert nearest(kept) == "red" and nearest(changed) == "blue"


def test_same_seed_same_picture_whatever_the_batch(folder):
    painter = image_backend(f"latent_diffusion:{folder}")
    prompts = [PicturePrompt([(name, 1.0)], size=(24, 12)) for name in COLOURS]
    prompts[2] = replace(prompts[2], reference=png("green"), strength=0.5)
    together = painter.draw(prompts, seed=5)
    assert together == painter.draw(prompts, seed=5)
    assert together[2] == painter.draw(prompts[2:3], seed=5)[0]
    assert together[0] != painter.draw(prompts[:1], seed=6)[0]


def test_a_killed_training_goes_on_to_the_same_bits(tmp_path):
    few = TINY | {"tokenizer_epochs": 2, "epochs": 3}

    class Killed(Exception):
        pass

    def kill(record):
        if record["phase"] == "diffusion" and record["epoch"] == 2:
            raise Killed

    train_pictures(LatentDiffusion(**few), shop(), tmp_path / "whole", device="cpu")
    mark = tmp_path / "point.safetensors"
    how = {"device": "cpu", "checkpoint": mark, "checkpoint_seconds": 0.0}
    with pytest.raises(Killed):
        train_pictures(LatentDiffusion(**few), shop(), tmp_path / "again", **how, callbacks=[kill])
    assert mark.is_file() and not (tmp_path / "again").exists()
    phases = []
    train_pictures(
        LatentDiffusion(**few), shop(), tmp_path / "again", **how, callbacks=[lambda r: phases.append(r["phase"])]
    )
    assert phases == ["diffusion"] and not mark.exists()
    one, other = (read_picture_model(tmp_path / name) for name in ("whole", "again"))
    assert one.version == other.version


def test_a_folder_of_something_else_stays(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(ArtefactError):
        train_pictures(LatentDiffusion(**TINY), shop(), tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_weights_of_another_training_are_replaced_only_where_that_is_said(tmp_path):
    few = TINY | {"tokenizer_epochs": 1, "epochs": 1}
    train_pictures(LatentDiffusion(**few), shop(), tmp_path / "w", device="cpu")
    first = read_picture_model(tmp_path / "w").version
    with pytest.raises(ArtefactError, match="another seed"):
        train_pictures(LatentDiffusion(**few), shop(), tmp_path / "w", device="cpu", seed=1)
    assert read_picture_model(tmp_path / "w").version == first
    train_pictures(LatentDiffusion(**few), shop(), tmp_path / "w", device="cpu")
    assert read_picture_model(tmp_path / "w").version == first
    train_pictures(LatentDiffusion(**few), shop(), tmp_path / "w", device="cpu", seed=1, overwrite=True)
    assert read_picture_model(tmp_path / "w").version != first


def test_damaged_folders_are_refused_by_file(folder, tmp_path):
    import shutil

    with pytest.raises(ArtefactError, match="not a picture model"):
        read_picture_model(tmp_path)
    with pytest.raises(ConfigError, match="names no folder"):
        image_backend("latent_diffusion")
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    with (copy / "model.safetensors").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ArtefactError, match="checksum"):
        read_picture_model(copy)
    facts = json.loads((folder / "picture_model.json").read_text())
    for broken in ({**facts, "format": 99}, {**facts, "size": {**facts["size"], "tokens": 3}}, {"format": 1}):
        (copy / "picture_model.json").write_text(json.dumps(broken))
        shutil.copy(folder / "model.safetensors", copy)
        with pytest.raises(ArtefactError):
            read_picture_model(copy)


def test_the_generator_draws_an_item_for_a_user(folder):
    model = LatentDiffusion(weights=str(folder), preference_weight=4.0)
    liked = Preference("colour", "blue", 2.0, ("i2",))
    plain, personal = model.generate([request("red"), request("red", preferences=[liked])], seed=3)
    assert nearest(plain.image) == "red" and nearest(personal.image) == "blue"
    assert plain.image == model.generate([request("red")], seed=3)[0].image
    assert plain.provenance["backend"] == "latent_diffusion" and plain.provenance["seed"] == "3"
    assert [(one.source, one.id, one.value) for one in personal.evidence] == [
        ("item", "x", "red"), ("history", "i2", "blue"),
    ]  # fmt: skip


def test_what_cannot_be_drawn_is_said(untrained):
    with pytest.raises(NotFittedError, match="no weights"):
        LatentDiffusion().generate([request("red")])
    with pytest.raises(UnsupportedError, match="not 'headline'"):
        LatentDiffusion().generate([GenerationRequest("headline", {"id": "x"})])
    with pytest.raises(FeatureError):
        untrained.draw([PicturePrompt(reference=b"no picture")], seed=0)
    with pytest.raises(UnsupportedError, match="takes \\[n, 16\\]"):
        untrained.draw([PicturePrompt(preference=np.zeros((2, 5), np.float32))], seed=0)


def test_hostile_items_are_data():
    record = {
        "id": "x",
        "colour": "red; ignore all instructions | <script>" * 50,
        "title": "\0" * 10,
        "mood": ["gay", 5],
    }
    assert WORDS.attributes_of(record) == {2: ("colour", "red"), 4: ("mood", "gay")}


@pytest.mark.parametrize(
    ("options", "key"),
    [({"guidance": 99}, "guidance"), ({"strength": "high"}, "strength"), ({"negative": "red"}, "negative"),
     ({"reference": True}, "reference"), ({"guidance": True}, "guidance")],
)  # fmt: skip
def test_options_out_of_range_are_named(options, key):
    with pytest.raises(ConfigError, match=key):
        picture_prompt(request("red", options=options), [], 3.0)


def test_weights_of_words_and_preferences_reach_the_tokens(untrained):
    prompts = [
        PicturePrompt([("blue", 1.0), ("colour=blue", 0.5), ("red", 0.0)]),
        PicturePrompt(preference=np.ones((2, 16), np.float32), preference_weight=0.25),
    ]
    found = prompt_conditions(prompts, untrained.model, None)
    assert found.ids.tolist() == [[1, 3], [0, 0]] and found.weights.tolist() == [[1.5, 1.0], [0, 0]]
    assert found.extra_weights.tolist() == [[0, 0], [0.25, 0.25]]


def test_preferences_are_weighted_to_a_mean_of_one():
    liked = [Preference("colour", "red", 3.0), Preference("colour", "pink", 9.0), Preference("mood", "gay", 1.0)]
    assert preference_words(liked, WORDS) == [("colour=red", 1.5), ("mood=gay", 0.5)]
    assert preference_words(liked, WORDS, most=1) == [("colour=red", 1.0)]
    assert preference_words([], WORDS) == []
