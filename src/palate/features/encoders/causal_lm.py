"""Text by the hidden states of a causal language model: ``causal_lm:<path or hub id>``."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.core.encoder import encoders
from palate.core.errors import ConfigError
from palate.features.architectures import Architecture
from palate.features.encoders.hf_text import HfText
from palate.features.hub import load_pretrained

CAUSAL = {
    "llama": Architecture("LlamaModel"),
    "gpt2": Architecture("GPT2Model", width_keys=("n_embd",)),
    "gpt_neox": Architecture("GPTNeoXModel"),
    "mistral": Architecture("MistralModel"),
    "qwen2": Architecture("Qwen2Model"),
    "qwen3": Architecture("Qwen3Model"),
}
"""Type of checkpoint -> its network without the head that predicts words."""


@encoders.register("causal_lm")
class CausalLM(HfText):
    """Mean of the hidden states of a causal language model; each state has read the words before it alone.

    Args:
        source: folder or hub id.
        layer: blocks after which states are taken: 1 to all; 0 takes the last layer with its final norm.
        max_length: tokens at most; 512 by default.
        normalize: scale vectors to unit length.
        batch: texts in one forward pass.
        device: ``auto`` takes CUDA when there is one.
        revision: of a hub id.

    Raises:
        ConfigError: for a layer that the model does not have, or a length below 1.
        FeatureError: if there is no such checkpoint, or its type is no causal language model known here.
    """

    name, version = "causal_lm", 1
    architectures = CAUSAL

    def __init__(
        self,
        source: str,
        layer: int = 0,
        max_length: int | None = None,
        normalize: bool = True,
        batch: int = 16,
        device: str = "auto",
        revision: str | None = None,
    ) -> None:
        super().__init__(source, "pooled", "mean", max_length, normalize, batch, device, revision)
        keys = ("num_hidden_layers", "n_layer")
        depth = next(int(self.tower_config[key]) for key in keys if self.tower_config.get(key))
        if not 0 <= layer <= depth:
            raise ConfigError(f"0 to {depth}, not {layer}", key="layer")
        self.layer = layer
        self.options |= {"layer": layer}
        del self.options["output"], self.options["pooling"]

    def _forward(self, texts: list[str]) -> list[NDArray[np.float32]]:
        inputs = self._tokenizer(
            texts, padding=True, truncation=True, max_length=self.max_length, return_tensors="pt"
        ).to(self.device)
        inputs.pop("token_type_ids", None)
        with torch.inference_mode():
            outputs = self._model(**inputs, use_cache=False, output_hidden_states=self.layer > 0)
        states: Tensor = outputs.hidden_states[self.layer] if self.layer else outputs.last_hidden_state
        real = inputs["attention_mask"].unsqueeze(-1).to(states.dtype)
        return list(self.normalized((states * real).sum(1) / real.sum(1).clamp(min=1.0)))

    @cached_property
    def _tokenizer(self) -> Any:
        tokenizer = load_pretrained("AutoTokenizer", self.folder)
        # causal attention never looks at what follows, so that any token may pad on the right
        tokenizer.padding_side = "right"
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        return tokenizer
