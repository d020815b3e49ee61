"""Pipelines of diffusers from a local folder, on tiny random checkpoints."""

import io
import json
import shutil
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from palate.contracts import PicturePrompt
from palate.core.errors import ArtefactError, ConfigError, FeatureError, UnsupportedError
from palate.generation.registries import image_backend

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

from palate.generation.backends.diffusers import DiffusersBackend, prompt_text  # noqa: E402

WIDTH = 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A pipeline of random weights: a letter is a token."""
    home = tmp_path_factory.mktemp("pipeline")
    letters = [chr(code) for code in range(33, 127)]
    pieces = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (home / "vocab.json").write_text(json.dumps({piece: at for at, piece in enumerate(pieces)}))
    (home / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer(str(home / "vocab.json"), str(home / "merges.txt"), model_max_length=77)
    torch.manual_seed(0)
    text = transformers.CLIPTextModel(
        transformers.CLIPTextConfig(
            vocab_size=len(pieces), hidden_size=WIDTH, intermediate_size=37, num_hidden_layers=1,
            num_attention_heads=4, max_position_embeddings=77, bos_token_id=len(pieces) - 2,
            eos_token_id=len(pieces) - 1, pad_token_id=len(pieces) - 1,
        )
    )  # fmt: skip
    unet = diffusers.UNet2DConditionModel(
        block_out_channels=(8, 16), layers_per_block=1, sample_size=8, in_channels=4, out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH, attention_head_dim=4, norm_num_groups=4,
    )  # fmt: skip
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 8), in_channels=3, out_channels=3, latent_channels=4, norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, sample_size=16,
    )  # fmt: skip
    pipeline = diffusers.StableDiffusionPipeline(
        vae,
        text,
        tokenizer,
        unet,
        diffusers.DDIMScheduler(clip_sample=False),
        None,
        None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(home / "pipe")
    return home / "pipe"


@pytest.fixture(scope="module")
def backend(folder):
    return image_backend(f"diffusers:{folder}?steps=3")


def pixels(picture):
    return np.asarray(Image.open(io.BytesIO(picture)), float)


def one(backend, seed=0, **asked):
    return pixels(backend.draw([PicturePrompt(**{"size": (16, 16), **asked})], seed=seed)[0])


def test_words_reach_the_picture_and_the_batch_does_not(backend):
    red, blue = (PicturePrompt([(f"colour={name}", 1.0)], size=(16, 12)) for name in ("red", "blue"))
    both = backend.draw([red, blue], seed=3)
    assert both == [backend.draw([red], seed=3)[0], backend.draw([blue], seed=3)[0]]
    assert both[0] != both[1] and both[0] != backend.draw([red], seed=4)[0]
    assert pixels(both[0]).shape == (12, 16, 3)
    assert backend.name == "diffusers" and len(backend.version) == 12


def test_torchvision_is_never_imported(backend):
    assert "torchvision" not in sys.modules


def test_what_is_not_wanted_and_guidance_reach_the_picture(backend):
    plain = one(backend, words=[("red", 1.0)])
    assert np.abs(plain - one(backend, words=[("red", 1.0)], negative=("blue",))).max() > 0
    assert np.abs(plain - one(backend, words=[("red", 1.0)], guidance=9.0)).max() > 0


def test_a_reference_is_kept_as_far_as_its_strength_says(backend):
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(out, "PNG")
    reference = out.getvalue()
    kept, far = (one(backend, reference=reference, strength=strength) for strength in (0.0, 1.0))
    assert np.array_equal(kept, pixels(reference)) and np.abs(far - kept).mean() > 5
    with pytest.raises(FeatureError):
        one(backend, reference=b"no picture", strength=0.5)


def test_preference_tokens_take_the_last_places_of_the_prompt(backend):
    tokens = np.random.default_rng(0).normal(size=(4, WIDTH)).astype(np.float32)
    words = [("red", 1.0)]
    plain, known = one(backend, words=words), one(backend, words=words, preference=tokens)
    assert np.abs(plain - known).max() > 0
    assert np.array_equal(plain, one(backend, words=words, preference=tokens, preference_weight=0.0))
    asked = backend._words(PicturePrompt(words, preference=tokens, preference_weight=0.5))
    assert asked["prompt_embeds"].shape == asked["negative_prompt_embeds"].shape == (1, 77, WIDTH)
    assert torch.allclose(asked["prompt_embeds"][0, -4:], 0.5 * torch.from_numpy(tokens))
    with pytest.raises(UnsupportedError, match="ip_adapter"):
        one(backend, preference=np.zeros((4, 5), np.float32))


def test_an_embedding_and_low_rank_weights_change_the_picture(folder, tmp_path, backend):
    pytest.importorskip("peft")
    save_file({"emb": torch.randn(1, WIDTH) * 3}, tmp_path / "style.safetensors")
    layer = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
    a, b = torch.randn(2, WIDTH), torch.randn(16, 2)
    lora = {f"unet.{layer}.lora_A.weight": a, f"unet.{layer}.lora_B.weight": b}
    save_file(lora, tmp_path / "low.safetensors")
    styled = image_backend(f"diffusers:{folder}?steps=3&embedding={tmp_path}/style.safetensors")
    unstyled, with_style = (one(styled, words=[(word, 1.0)]) for word in ("a", "<style>"))
    assert np.array_equal(unstyled, one(backend, words=[("a", 1.0)]))
    assert "<style>" in styled.pipeline.tokenizer.get_vocab() and np.abs(with_style - unstyled).max() > 0
    low = image_backend(f"diffusers:{folder}?steps=3&lora={tmp_path}/low.safetensors")
    assert np.abs(one(low, words=[("a", 1.0)]) - unstyled).max() > 0
    assert len({styled.version, low.version, backend.version}) == 3


def test_an_adapter_takes_image_embeddings(folder, tmp_path):
    torch.manual_seed(1)
    proj = {"proj.weight": torch.randn(4 * WIDTH, 6), "proj.bias": torch.zeros(4 * WIDTH)}
    proj |= {"norm.weight": torch.ones(WIDTH), "norm.bias": torch.zeros(WIDTH)}
    tensors = {f"image_proj.{name}": tensor for name, tensor in proj.items()}
    for key in (1, 3, 5, 7):
        for part in ("to_k_ip", "to_v_ip"):
            tensors[f"ip_adapter.{key}.{part}.weight"] = torch.randn(16, WIDTH)
    save_file(tensors, tmp_path / "adapter.safetensors")
    adapted = DiffusersBackend(folder, steps="3", ip_adapter=str(tmp_path / "adapter.safetensors"))
    words, taste = [("red", 1.0)], np.ones((1, 6), np.float32)
    plain, known, other = (one(adapted, words=words, preference=p) for p in (None, taste, -taste))
    assert np.abs(plain - known).max() > 0 and np.abs(known - other).max() > 0
    assert np.array_equal(plain, one(adapted, words=words))


def test_weights_of_words_are_repetitions():
    assert prompt_text([("colour=red", 1.0), ("old", 2.4), ("not", 0.0), ("faint", 0.2)]) == "old, old, red, faint"


def test_what_is_no_pipeline_is_refused_by_name(folder, tmp_path):
    with pytest.raises(ConfigError, match="names no folder"):
        image_backend("diffusers")
    with pytest.raises(ArtefactError, match=r"model_index\.json"):
        image_backend(f"diffusers:{tmp_path}")
    with pytest.raises(ConfigError, match="no such option"):
        image_backend(f"diffusers:{folder}?style=x")
    with pytest.raises(ConfigError, match="steps"):
        image_backend(f"diffusers:{folder}?steps=0")
    with pytest.raises(ConfigError, match="safetensors"):
        image_backend(f"diffusers:{folder}?lora={tmp_path}/none.bin")
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    index = json.loads((copy / "model_index.json").read_text())
    (copy / "model_index.json").write_text(json.dumps({**index, "_class_name": "os.system"}))
    with pytest.raises(UnsupportedError, match="itself"):
        image_backend(f"diffusers:{copy}")
    (copy / "model_index.json").write_text(json.dumps(index))
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save({}, weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises(ArtefactError, match="cannot be loaded"):
        image_backend(f"diffusers:{copy}")


def test_a_file_that_does_not_fit_is_named(folder, tmp_path):
    save_file({"image_proj.x": torch.zeros(1), "other.y": torch.zeros(1)}, tmp_path / "wrong.safetensors")
    with pytest.raises(ArtefactError, match=r"wrong\.safetensors"):
        image_backend(f"diffusers:{folder}?ip_adapter={tmp_path}/wrong.safetensors")
