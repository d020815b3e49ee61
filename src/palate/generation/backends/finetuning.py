"""LoRA fine-tuning of a local model on (prompt, answer) pairs, with peft; the weights themselves stay as they are.

Only tokens of answers, and the one that ends them, are learnt. All randomness of a step derives from (seed, step), so a
run that goes on from a checkpoint equals an uninterrupted one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from palate.contracts import Prompt
from palate.contracts.phase import Precision
from palate.core.config import ModelConfig
from palate.core.errors import ConfigError, MissingDependencyError, UnsupportedError
from palate.core.files import atomic_folder, digest, write_json, write_tensors
from palate.core.seeding import isolated, rng_for, seed_torch
from palate.generation.backends.local_model import LocalModel
from palate.training.checkpoint import Progress, read_checkpoint, write_checkpoint

log = logging.getLogger("palate")
CHECKPOINT = "finetuning.safetensors"
IGNORED = -100
"""Label of tokens that are not learnt."""


class LoraSettings(ModelConfig):
    """Settings of a fine-tuning."""

    rank: int = Field(8, ge=1, description="rank of the change of each matrix")
    alpha: float = Field(16.0, gt=0, description="scale of the change is alpha / rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="of what goes into the change")
    targets: str = Field("all-linear", description="names of layers by commas; all-linear takes all but the last")
    lr: float = Field(2e-4, gt=0, description="learning rate of AdamW, which decays linearly to 0")
    weight_decay: float = Field(0.0, ge=0, description="decoupled weight decay")
    clip: float = Field(1.0, gt=0, description="largest L2 norm of all gradients together")
    batch_size: int = Field(8, ge=1, description="pairs of a step")
    epochs: int = Field(1, ge=1, description="times each pair is seen")
    max_tokens: int = Field(512, ge=8, description="of a prompt with its answer; the start of longer prompts is cut")
    precision: Precision = Field("float32", description="of the forward pass; bf16 keeps weights and sums in float32")
    checkpoint_steps: int = Field(50, ge=1, description="steps between two checkpoints")


@dataclass(frozen=True)
class Finetuned:
    """What a fine-tuning did.

    Attributes:
        folder: of the adapter, for ``transformers:/folder+/adapter``.
        losses: mean negative log-likelihood of a token of the answers, one a step; from the checkpoint on.
        n_parameters: numbers that were learnt.
    """

    folder: Path
    losses: list[float]
    n_parameters: int


@isolated
def finetune(
    model: str | Path,
    pairs: Sequence[tuple[Prompt, str]],
    adapter: str | Path,
    settings: LoraSettings | None = None,
    *,
    seed: int = 0,
    checkpoints: str | Path | None = None,
    stop_after: int | None = None,
) -> Finetuned | None:
    """Learn an adapter.

    Args:
        model: folder of a causal or encoder-decoder model.
        pairs: prompts and the answers to learn.
        adapter: folder to write; it appears whole.
        settings: of LoRA and of training.
        seed: same seed, same adapter.
        checkpoints: folder from which an interrupted run with the same pairs and settings goes on; None keeps none.
        stop_after: steps of this call; None trains to the end.

    Returns:
        What was done; None where ``stop_after`` came before the end.

    Raises:
        ConfigError: without pairs, or for a folder that is not there.
        MissingDependencyError: without transformers or peft.
        UnsupportedError: for a model that reads pictures.
    """
    if find_spec("peft") is None:
        raise MissingDependencyError("peft", "generate")
    if not pairs:
        raise ConfigError("there is nothing to learn from", key="pairs")
    settings, local = settings or LoraSettings(), LocalModel(model)
    if local.kind == "vision":
        raise UnsupportedError("a model that reads pictures cannot be fine-tuned here", file=local.folder)
    examples = [_example(local, prompt, answer, settings.max_tokens) for prompt, answer in pairs]
    seed_torch(seed, "lora")
    network = _with_adapter(local, settings)
    learnt = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
    optimiser = torch.optim.AdamW(learnt.values(), settings.lr, weight_decay=settings.weight_decay)
    told = [settings.model_dump_json(), local.version, str(seed), repr(examples)]
    file, fingerprint = Path(checkpoints or ".") / CHECKPOINT, digest(*told)
    progress = _resume(file, fingerprint, learnt, optimiser) if checkpoints is not None else Progress()
    steps_an_epoch = -(-len(examples) // settings.batch_size)
    total, losses = steps_an_epoch * settings.epochs, list[float]()
    network.train()
    while progress.step < total:
        if stop_after is not None and len(losses) == stop_after:
            return None
        progress.epoch, place = divmod(progress.step, steps_an_epoch)
        order = rng_for(seed, "pairs", progress.epoch).permutation(len(examples))
        chosen = order[place * settings.batch_size : (place + 1) * settings.batch_size]
        seed_torch(seed, "step", progress.step)
        for group in optimiser.param_groups:
            group["lr"] = settings.lr * (1 - progress.step / total)
        with torch.autocast(local.model.device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
            loss = network(**_batch(local, [examples[row] for row in chosen])).loss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learnt.values(), settings.clip)
        optimiser.step()
        # a caller's own autocast would go on with its copies of the weights before the step
        torch.clear_autocast_cache()
        losses.append(float(loss.detach()))
        progress.step += 1
        if checkpoints is not None and (progress.step % settings.checkpoint_steps == 0 or progress.step == total):
            write_checkpoint(file, fingerprint, progress, learnt, optimiser.state_dict(), None)
    folder = _write(network, Path(adapter), local)
    return Finetuned(folder, losses, sum(weight.numel() for weight in learnt.values()))


def _with_adapter(local: LocalModel, settings: LoraSettings) -> Any:
    from peft import LoraConfig, get_peft_model

    targets = settings.targets if settings.targets == "all-linear" else settings.targets.split(",")
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=targets,
        task_type="SEQ_2_SEQ_LM" if local.kind == "seq2seq" else "CAUSAL_LM",
    )
    return get_peft_model(local.model, config)


def _example(local: LocalModel, prompt: Prompt, answer: str, max_tokens: int) -> tuple[list[int], list[int]]:
    """Tokens of a prompt and of its answer with its end; long prompts lose their start, long answers their end."""
    tokenizer, layout = local.tokenizer, local.layout
    end = local.end_ids[:1]
    target = [*tokenizer(answer, add_special_tokens=False)["input_ids"], *end][: max_tokens // 2]
    if local.kind == "seq2seq":
        asked = tokenizer(layout.text(prompt), truncation=True, max_length=max_tokens)["input_ids"]
        return list(asked), [*tokenizer(prompt.answer_start, add_special_tokens=False)["input_ids"], *target]
    text = layout.text(prompt) + prompt.answer_start
    asked = list(tokenizer(text, add_special_tokens=not layout.has_template)["input_ids"])
    return asked[-(max_tokens - len(target)) :], target


def _batch(local: LocalModel, examples: Sequence[tuple[list[int], list[int]]]) -> Mapping[str, Tensor]:
    """Padded tokens, masks and labels, as models of transformers take them."""
    pad, device = int(local.tokenizer.pad_token_id or 0), local.model.device

    def padded(rows: Sequence[Sequence[int]], value: int) -> Tensor:
        longest = max(map(len, rows))
        return torch.tensor([[*row, *[value] * (longest - len(row))] for row in rows], device=device)

    if local.kind == "seq2seq":
        asked = [asked for asked, _ in examples]
        labels = padded([target for _, target in examples], IGNORED)
    else:
        asked = [[*asked, *target] for asked, target in examples]
        labels = padded([[IGNORED] * len(asked) + target for asked, target in examples], IGNORED)
    mask = padded([[1] * len(row) for row in asked], 0)
    return {"input_ids": padded(asked, pad), "attention_mask": mask, "labels": labels}


def _resume(file: Path, fingerprint: str, learnt: Mapping[str, Tensor], optimiser: torch.optim.Optimizer) -> Progress:
    """Where an interrupted run was, its weights and its optimiser put back; the start where there was none."""
    found = read_checkpoint(file, fingerprint)
    if found is None:
        return Progress()
    progress, weights, state, _ = found
    with torch.no_grad():
        for name, weight in learnt.items():
            weight.copy_(weights[name])
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    log.info("fine-tuning goes on at step %d", progress.step)
    return progress


def _write(network: Any, folder: Path, local: LocalModel) -> Path:
    """The adapter in the layout of peft."""
    from peft import get_peft_model_state_dict

    config = network.peft_config["default"].to_dict()
    plain = {name: sorted(value) if isinstance(value, set) else value for name, value in config.items()}
    plain |= {"base_model_name_or_path": local.folder.name, "inference_mode": True}
    with atomic_folder(folder) as aside:
        write_tensors(aside / "adapter_model.safetensors", get_peft_model_state_dict(network), {"format": "pt"})
        write_json(aside / "adapter_config.json", plain)
    return folder
