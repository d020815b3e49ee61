"""Transformers of BERT types in stages, so that a part of one can be trained."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from ..core.errors import MissingDependencyError
from .towers import State, Tokens, pooled, through, towers

STAGED = ("bert", "roberta", "xlm-roberta", "camembert", "electra")
"""Types with ``embeddings`` and ``encoder.layer``, whose blocks take states and a mask."""


class BertStages(nn.Module):
    """Token ids + 1 [B, T], 0 beyond a text's end -> states of real tokens.

    Args:
        model: a transformer of a type in ``STAGED``. pad: its id of padding.
    """

    def __init__(self, model: Any, pad: int) -> None:
        super().__init__()
        self.embeddings, self.layers, self.pad = model.embeddings, model.encoder.layer, pad
        self.project = getattr(model, "embeddings_project", None)

    def forward(self, ids: Tensor) -> Tokens:
        return through(self, ids)

    def first(self) -> list[nn.Parameter]:
        more = [] if self.project is None else list(self.project.parameters())
        return [*self.embeddings.parameters(), *more]

    def blocks(self) -> list[nn.Module]:
        return list(self.layers)

    def start(self, ids: Tensor) -> State:
        mask = ids > 0
        # texts are mostly far shorter than the most a checkpoint takes
        longest = max(int(mask.sum(1).max()), 1)
        ids, mask = ids[:, :longest].long(), mask[:, :longest]
        states = self.embeddings(input_ids=torch.where(mask, ids - 1, self.pad))
        return states if self.project is None else self.project(states), mask

    def step(self, place: int, state: State) -> State:
        states, mask = state
        assert mask is not None
        open_ = mask.clone()
        open_[:, 0] = True
        closed = torch.zeros(mask.shape, dtype=states.dtype, device=states.device).masked_fill(~open_, -1e9)
        found = self.layers[place](states, closed[:, None, None, :].expand(-1, -1, states.shape[1], -1))
        return found[0] if isinstance(found, tuple) else found, mask

    def end(self, state: State) -> Tokens:
        states, mask = state
        assert mask is not None
        return states, mask


@towers.register("bert")
class Bert(BertStages):
    """A BERT type of a checkpoint's configuration, with random weights.

    Args:
        config: the checkpoint's ``config.json``. pad: id of padding. dim: width of its states.

    Raises:
        MissingDependencyError: without transformers.
    """

    def __init__(self, config: Mapping[str, Any], pad: int, dim: int) -> None:
        if find_spec("transformers") is None:
            raise MissingDependencyError("transformers", "encoders")
        from transformers import AutoConfig, AutoModel

        known = {key: value for key, value in config.items() if key not in ("model_type", "dtype", "torch_dtype")}
        super().__init__(AutoModel.from_config(AutoConfig.for_model(config["model_type"], **known)), pad)


class BertHead(nn.Module):
    """One vector of a text: the mean of its tokens or the first one, of unit length if ``normalize``."""

    def __init__(self, pooling: str, normalize: bool) -> None:
        super().__init__()
        self.pooling, self.normalize = pooling, normalize

    def forward(self, tokens: Tokens) -> Tensor:
        found = tokens[0][:, 0] if self.pooling == "cls" else pooled(tokens)
        return nn.functional.normalize(found, dim=1) if self.normalize else found
