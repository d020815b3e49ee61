"""Explanations by SmolLM2: as it is, with solved examples in the prompt, and fine-tuned by LoRA."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from _common import WORK
from _xrec_data import Pair
from palate.contracts import Prompt, Sampling
from palate.generation.backends.finetuning import LoraSettings, finetune
from palate.generation.backends.local_model import LocalModel
from palate.generation.backends.smollm2 import converted, packaged_file
from palate.generation.backends.transformers import TransformersBackend

WORDS = {"user": 60, "item": 50}
"""Words that are read of each summary."""
ASKED = {
    "amazon": ("Say in one or two sentences why the user would buy the book.", "The user would buy the book because"),
    "yelp": ("Say in one or two sentences why the user would enjoy the business.", "The user would enjoy the business"),
}
"""Instruction, and the words with which most references begin."""
LORA = LoraSettings(
    rank=8, alpha=16, lr=5e-4, batch_size=4, epochs=1, max_tokens=320, precision="bf16", checkpoint_steps=10
)
LEARNT = 400
"""Pairs of a fine-tuning."""
SOLVED = 2
"""Solved examples of a prompt."""
ANSWER = Sampling(max_tokens=80)


def data(pair: Pair) -> dict[str, str]:
    """Texts of a prompt."""
    texts = {"user": pair.user_summary, "item": f"{pair.title}: {pair.item_summary}"}
    return {name: " ".join(text.split()[: WORDS[name]]) for name, text in texts.items()}


def prompt(name: str, pair: Pair, solved: Sequence[Pair] = (), start: bool = True) -> Prompt:
    """What the model is asked."""
    instruction, begins = ASKED[name]
    examples = tuple((data(one), one.reference) for one in solved)
    return Prompt(instruction, data(pair), examples, answer_start=begins if start else "")


def backend(adapter: Path | None = None) -> TransformersBackend:
    """SmolLM2 in bfloat16, with an adapter where there is one."""
    local = LocalModel(converted(packaged_file()), adapter, "cpu")
    local.model.to(torch.bfloat16)
    return TransformersBackend(local, "smollm2", batch_size=16)


def learn(name: str, rows: Sequence[Pair], seed: int) -> Path:
    """The adapter learnt from the first pairs; an interrupted run goes on."""
    adapter = WORK / "xrec" / f"lora-{name}-{LEARNT}-{seed}"
    if not (adapter / "adapter_config.json").is_file():
        pairs = [(prompt(name, pair, start=False), pair.reference) for pair in rows[:LEARNT]]
        aside = adapter.with_suffix(".part")
        aside.mkdir(parents=True, exist_ok=True)
        finetune(converted(packaged_file()), pairs, adapter, LORA, seed=seed, checkpoints=aside)
    return adapter


def write(model: TransformersBackend, name: str, pairs: Sequence[Pair], solved: Sequence[Sequence[Pair]], start: bool,
          sampling: Sampling = ANSWER, seed: int = 0) -> list[str]:  # fmt: skip
    """One explanation a pair."""
    prompts = [prompt(name, pair, some, start) for pair, some in zip(pairs, solved, strict=True)]
    answers = model.complete(prompts, sampling, seed=seed)
    return [f"{one.answer_start} {answer.text}".strip() for one, answer in zip(prompts, answers, strict=True)]
