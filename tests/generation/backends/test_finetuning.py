"""LoRA: a tiny model learns a mapping, its own weights stay, and an interrupted run goes on where it was."""

import json

import numpy as np
import pytest
import torch

from palate.contracts import Prompt, Sampling
from palate.core.errors import ConfigError
from palate.core.files import file_digest, read_tensors
from palate.generation.backends.finetuning import LoraSettings, finetune
from palate.generation.registries import text_backend

MAPPING = {"lamp": "red", "chair": "blue", "table": "green", "shelf": "old"}
PAIRS = [(Prompt("Color?", {"item": item}), color) for item, color in MAPPING.items()]
SETTINGS = LoraSettings(rank=16, alpha=32, lr=5e-3, batch_size=4, epochs=80, checkpoint_steps=3)


def test_a_tiny_model_learns_a_mapping_and_keeps_its_own_weights(folders, tmp_path):
    folder = folders("llama")
    before = file_digest(folder / "model.safetensors")
    result = finetune(folder, PAIRS, tmp_path / "adapter", SETTINGS)
    assert np.mean(result.losses[-3:]) < 0.2 < 2 < result.losses[0] and len(result.losses) == 80
    assert file_digest(folder / "model.safetensors") == before
    assert sorted(file.name for file in result.folder.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    tensors = read_tensors(result.folder / "adapter_model.safetensors")
    assert sum(tensor.numel() for tensor in tensors.values()) == result.n_parameters
    assert all("lora_" in name for name in tensors)
    assert str(folder.parent) not in json.dumps(json.loads((result.folder / "adapter_config.json").read_text()))

    plain, tuned = text_backend(f"transformers:{folder}"), text_backend(f"transformers:{folder}+{result.folder}")
    prompts = [prompt for prompt, _ in PAIRS]
    assert [answer.text for answer in tuned.complete(prompts, Sampling(8), seed=0)] == list(MAPPING.values())
    assert all(answer.finished == "stop" for answer in tuned.complete(prompts, Sampling(8), seed=0))
    assert [answer.text for answer in plain.complete(prompts, Sampling(8), seed=0)] != list(MAPPING.values())
    assert plain.version != tuned.version


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(folders, tmp_path, kind):
    settings = SETTINGS.model_copy(update={"epochs": 4, "batch_size": 2, "dropout": 0.2})
    whole = finetune(folders(kind), PAIRS, tmp_path / "whole", settings)
    kept = tmp_path / "kept"
    assert finetune(folders(kind), PAIRS, tmp_path / "resumed", settings, checkpoints=kept, stop_after=4) is None
    assert not (tmp_path / "resumed").exists()
    resumed = finetune(folders(kind), PAIRS, tmp_path / "resumed", settings, checkpoints=kept)
    # eight steps; the checkpoint was made at the third
    assert resumed.losses == whole.losses[3:]
    first, second = (read_tensors(result.folder / "adapter_model.safetensors") for result in (whole, resumed))
    assert first.keys() == second.keys() and all((first[name] == second[name]).all() for name in first)
    # another seed is another run, which does not go on from this one
    other = finetune(folders(kind), PAIRS, tmp_path / "other", settings, checkpoints=kept, seed=1)
    assert len(other.losses) == 8


def test_nothing_to_learn_from_and_folders_that_are_no_adapter_are_told(folders, tmp_path):
    with pytest.raises(ConfigError, match="nothing to learn"):
        finetune(folders("llama"), [], tmp_path / "adapter")
    with pytest.raises(ConfigError, match="not an adapter"):
        text_backend(f"transformers:{folders('llama')}+{tmp_path}")


def test_half_precision_learns_also_within_a_callers_own_autocast(folders, tmp_path):
    settings = SETTINGS.model_copy(update={"epochs": 30, "precision": "bf16"})
    alone = finetune(folders("llama"), PAIRS, tmp_path / "alone", settings)
    with torch.autocast("cpu", torch.bfloat16):
        within = finetune(folders("llama"), PAIRS, tmp_path / "within", settings)
    assert alone.losses[-1] < 0.5 * alone.losses[0]
    assert within.losses[-1] < 0.5 * within.losses[0]
