"""Fusion-in-decoder on a local encoder-decoder of transformers: passages encoded apart, one decoder over all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from palate.contracts import Prompt
from palate.generation.backends.local_model import LocalModel


class FusedPassages:
    """An encoder-decoder of the type of T5, whose decoder attends to the states of several passages.

    Args:
        local: of kind ``seq2seq``.
    """

    def __init__(self, local: LocalModel) -> None:
        self.local, self.model = local, local.model

    @torch.inference_mode()
    def encode(self, prompts: Sequence[Prompt]) -> tuple[Tensor, Tensor]:
        """States of passages, one after the other, without padding.

        Args:
            prompts: the passages.

        Returns:
            float [1, S, d] and int64 [1, S], ones.
        """
        states = []
        for prompt in prompts:
            ids = self.local.tokenizer(self.local.layout.text(prompt), return_tensors="pt")["input_ids"]
            ids = ids.to(self.model.device)
            states.append(
                self.model.get_encoder()(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
            )
        joined = torch.cat(states, 1)
        return joined, torch.ones(joined.shape[:2], dtype=torch.int64, device=joined.device)

    @torch.inference_mode()
    def write(self, prompts: Sequence[Prompt], max_tokens: int, beam: int = 1) -> str:
        """The most probable text.

        Args:
            prompts: the passages.
            max_tokens: of the text.
            beam: width of the search; 1 is greedy.
        """
        states, mask = self.encode(prompts)
        out = self.model.generate(
            encoder_outputs=_outputs(states), attention_mask=mask, max_new_tokens=max_tokens, num_beams=beam,
            do_sample=False,
        )  # fmt: skip
        return str(self.local.tokenizer.decode(out[0], skip_special_tokens=True)).strip()

    @torch.inference_mode()
    def log_likelihood(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
        """Natural logarithm of the probability of each answer after the passages.

        Args:
            prompts: the passages.
            answers: any.
        """
        states, mask = self.encode(prompts)
        out = []
        for answer in answers:
            labels = self.local.tokenizer(answer, add_special_tokens=False, return_tensors="pt")["input_ids"]
            labels = labels.to(states.device)
            logits = self.model(encoder_outputs=_outputs(states), attention_mask=mask, labels=labels).logits
            chosen = logits[0].double().log_softmax(1).gather(1, labels[0][:, None])
            out.append(float(chosen.sum()))
        return out


def _outputs(states: Tensor) -> Any:
    from transformers.modeling_outputs import BaseModelOutput

    return BaseModelOutput(last_hidden_state=states)
