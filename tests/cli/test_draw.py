"""``palate train-pictures``."""

import pytest

from palate.contracts import PicturePrompt
from palate.core.errors import ArtefactError, ConfigError
from palate.generation.registries import image_backend

SMALL = {
    "side": 16, "channels": 8, "dim": 16, "depth": 1, "heads": 2, "batch_size": 8, "tokenizer_epochs": 1, "epochs": 1,
}  # fmt: skip


def settings(**values):
    return [one for key, value in values.items() for one in ("--set", f"{key}={value}")]


def test_pictures_are_trained_drawn_and_trained_further(ask, shop, tmp_path):
    out = tmp_path / "drawn"
    (made,) = [ask("train-pictures", shop, "--out", out, *settings(**SMALL))]
    assert made["side"] == 16 and made["model"] == "latent_diffusion" and made["parameters"] > 10_000
    (drawn,) = image_backend(f"latent_diffusion:{out}").draw([PicturePrompt([("Lumo", 1.0)], size=(20, 10))], seed=0)
    assert drawn.startswith(b"\x89PNG")
    assert not [path for path in tmp_path.iterdir() if path != out]
    taste = tmp_path / "taste"
    made = ask("train-pictures", shop, "--model", "pmg", "--out", taste, *settings(weights=out, epochs=1))
    assert made["model"] == "pmg" and (taste / "preference.safetensors").is_file()


def test_what_cannot_be_trained_leaves_nothing(ask, shop, tmp_path):
    with pytest.raises(ConfigError, match="not trained"):
        ask("train-pictures", shop, "--model", "textual_inversion", "--out", tmp_path / "x")
    with pytest.raises(ConfigError, match="sides"):
        ask("train-pictures", shop, "--set", "sides=16", "--out", tmp_path / "x")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(ArtefactError):
        ask("train-pictures", shop, "--out", tmp_path / "mine", *settings(**SMALL))
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
