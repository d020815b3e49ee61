"""An encoder of one modality in blocks, some of which a tuning plan trains."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from palate.core.errors import ConfigError
from palate.core.files import digest
from palate.core.tuning import TuningSpec
from palate.modules.adapters import Bottleneck, Prompt, add_low_rank
from palate.modules.towers import State, Tokens


@runtime_checkable
class LayeredTower(Protocol):
    """A tower that can be run block by block."""

    def input_parameters(self) -> list[nn.Parameter]:
        """Parameters that :meth:`embed` uses."""

    def blocks(self) -> list[nn.Module]:
        """Modules that :meth:`apply_block` runs, in order."""

    def embed(self, inputs: Tensor) -> State:
        """Turn inputs [B, ...] into the state that the first block takes."""

    def apply_block(self, index: int, state: State) -> State:
        """Run one block."""

    def finalize(self, state: State) -> Tokens:
        """Turn the last state into tokens [B, T, d] and their mask."""


class SingleBlock(nn.Module):
    """A tower that cannot be divided, as a :class:`LayeredTower` of one block.

    Args:
        tower: inputs -> tokens and their mask.
    """

    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        self.tower = tower

    def input_parameters(self) -> list[nn.Parameter]:
        """Part of the interface :class:`LayeredTower`, like the methods below."""
        return []

    def blocks(self) -> list[nn.Module]:
        return [self.tower]

    def embed(self, inputs: Tensor) -> State:
        return inputs, None

    def apply_block(self, index: int, state: State) -> State:
        tokens: Tokens = self.tower(state[0])
        return tokens

    def finalize(self, state: State) -> Tokens:
        values, mask = state
        return values, values.new_ones(values.shape[:2], dtype=torch.bool) if mask is None else mask


class Network(nn.Module):
    """Tower and head: inputs -> tokens -> one vector.

    Args:
        tower: a :class:`LayeredTower`, or any that gives tokens.
        head: tokens -> vectors [B, width].
        about: description of the architecture, which weights alone do not determine; part of :meth:`lower_key`.
    """

    def __init__(self, tower: nn.Module, head: nn.Module, about: str) -> None:
        super().__init__()
        self.tower = tower if isinstance(tower, LayeredTower) else SingleBlock(tower)
        self.head: nn.Module | None = head
        self.about = about
        self.adapters = nn.ModuleList()
        self.prompt: Prompt | None = None
        self.split: int | None = None
        self.plan = TuningSpec()

    @property
    def stages(self) -> LayeredTower:
        """The tower, typed by its blocks."""
        assert isinstance(self.tower, LayeredTower)
        return self.tower

    def prepare(self, plan: TuningSpec, shape: tuple[int, ...], tokens: bool = False) -> Network:
        """Freeze parameters and add new ones as ``plan`` says.

        Args:
            plan: what to train.
            shape: of one entity's inputs.
            tokens: drop the head, since only tokens are needed.

        Returns:
            This network.

        Raises:
            ConfigError: the tower does not support the plan.
        """
        blocks, self.plan = self.stages.blocks(), plan
        if tokens:
            self.head = None
        self.requires_grad_(plan.kind in ("full", "partial"))
        if plan.kind in ("partial", "frozen"):
            self.split = max(len(blocks) - plan.amount, 0)
            if isinstance(self.tower, SingleBlock) and not self.split:
                self.split = None
            for parameter in self.parameters_below(self.split or 0):
                parameter.requires_grad_(False)
        elif plan.kind == "lora":
            for block in blocks:
                add_low_rank(block, plan.amount)
                block.requires_grad_(False)
            for name, parameter in self.named_parameters():
                parameter.requires_grad_("parametrizations" in name and not name.endswith("original"))
            if not any(parameter.requires_grad for parameter in self.parameters()):
                raise ConfigError("this tower has no linear map to update", key="lora", hint="try adapter or full")
        elif plan.kind == "adapter":
            self.adapters = nn.ModuleList(Bottleneck(width, plan.amount) for width in self._widths(shape))
        elif plan.kind == "prompt":
            if isinstance(self.tower, SingleBlock) or not getattr(self.tower, "accepts_prefix", True):
                raise ConfigError("this tower does not accept learnt positions", key="prompt", hint="try lora:8")
            first_state, _ = self.stages.embed(torch.zeros(1, *shape))
            self.prompt = Prompt(tuple(first_state.shape[1:]), plan.amount)
        return self

    def parameters_below(self, index: int) -> list[nn.Parameter]:
        """Parameters of the input and of the blocks before block ``index``."""
        blocks = self.stages.blocks()[:index]
        return [*self.stages.input_parameters(), *(p for block in blocks for p in block.parameters())]

    def lower_key(self) -> str:
        """Hash of everything that determines the state at the split point."""
        weights = [p.detach().cpu().numpy().tobytes() for p in self.parameters_below(self.split or 0)]
        return digest(self.about, str(self.split), *weights)

    def lower(self, inputs: Tensor) -> State:
        """Compute the state at the split point from inputs [B, ...]."""
        state = self.stages.embed(inputs)
        for index in range(self.split or 0):
            state = self.stages.apply_block(index, state)
        return state

    def tokens(self, state: State) -> Tokens:
        """Tokens [B, T, d] and mask from the state at the split point, or from inputs where there is none."""
        if self.split is None:
            state = self.stages.embed(state[0])
            if self.prompt is not None:
                state = self.prompt(*state)
        for index in range(self.split or 0, len(self.stages.blocks())):
            state = self.stages.apply_block(index, state)
            if len(self.adapters):
                state = self.adapters[index](state[0]), state[1]
        values, mask = self.stages.finalize(state)
        if self.prompt is not None and state[1] is not None:
            return values[:, self.prompt.length :], mask[:, self.prompt.length :]
        return values, mask

    def forward(self, state: State) -> Tensor:
        """Vectors [B, width].

        Args:
            state: at the split point, or (inputs, None) without one.

        Raises:
            RuntimeError: the network was prepared for tokens only.
        """
        if self.head is None:
            raise RuntimeError("prepared for tokens only")
        vectors: Tensor = self.head(self.tokens(state))
        return vectors

    def token_width(self, shape: tuple[int, ...]) -> int:
        """Width of its tokens, from inputs of ``shape``."""
        was_training = self.training
        with torch.no_grad():
            state = (
                self.eval().lower(torch.zeros(2, *shape)) if self.split is not None else (torch.zeros(2, *shape), None)
            )
            values, _ = self.tokens(state)
        self.train(was_training)
        return int(values.shape[2])

    def _widths(self, shape: tuple[int, ...]) -> list[int]:
        """Width of the state after each block."""
        widths, was_training = [], self.training
        self.eval()
        with torch.no_grad():
            state = self.stages.embed(torch.zeros(2, *shape))
            for index in range(len(self.stages.blocks())):
                state = self.stages.apply_block(index, state)
                widths.append(int(state[0].shape[2 if state[0].ndim == 3 else 1]))
        self.train(was_training)
        return widths
