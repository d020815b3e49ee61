"""An encoder of one modality in stages, of which a tuning plan trains some."""

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
class Staged(Protocol):
    """A tower that can stop and go on between blocks."""

    def first(self) -> list[nn.Parameter]:
        """What :meth:`start` uses."""

    def blocks(self) -> list[nn.Module]:
        """What :meth:`step` runs, in order."""

    def start(self, inputs: Tensor) -> State:
        """Inputs [B, ...] as the first block wants them."""

    def step(self, place: int, state: State) -> State:
        """Through one block."""

    def end(self, state: State) -> Tokens:
        """Tokens [B, T, d] and their mask."""


class Whole(nn.Module):
    """A tower that cannot stop: one block."""

    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        self.tower = tower

    def first(self) -> list[nn.Parameter]:
        return []

    def blocks(self) -> list[nn.Module]:
        return [self.tower]

    def start(self, inputs: Tensor) -> State:
        return inputs, None

    def step(self, place: int, state: State) -> State:
        found: Tokens = self.tower(state[0])
        return found

    def end(self, state: State) -> Tokens:
        return state[0], _mask(state)


class Network(nn.Module):
    """Tower and head: inputs -> tokens -> one vector.

    Args:
        tower: a :class:`Staged` tower, or any that gives tokens. head: tokens -> vectors [B, width].
        about: names the architecture, which weights alone do not.
    """

    def __init__(self, tower: nn.Module, head: nn.Module, about: str) -> None:
        super().__init__()
        self.tower = tower if isinstance(tower, Staged) else Whole(tower)
        self.head: nn.Module | None = head
        self.about = about
        self.adapters = nn.ModuleList()
        self.prompt: Prompt | None = None
        self.split: int | None = None
        self.plan = TuningSpec()

    @property
    def stages(self) -> Staged:
        """The tower by its stages."""
        assert isinstance(self.tower, Staged)
        return self.tower

    def prepare(self, plan: TuningSpec, shape: tuple[int, ...], tokens: bool = False) -> Network:
        """Freeze what ``plan`` freezes and add what it adds.

        Args:
            shape: of one entity's inputs. tokens: the head is not asked, so that only tokens are needed.

        Raises:
            ConfigError: for a plan that this tower has no place for.
        """
        blocks, self.plan = self.stages.blocks(), plan
        if tokens:
            self.head = None
        self.requires_grad_(plan.kind in ("full", "partial"))
        if plan.kind in ("partial", "frozen"):
            self.split = max(len(blocks) - plan.amount, 0)
            if isinstance(self.tower, Whole) and not self.split:
                self.split = None
            for parameter in self.below(self.split or 0):
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
            if isinstance(self.tower, Whole) or not getattr(self.tower, "lengthens", True):
                raise ConfigError("this tower has no place for learnt positions", key="prompt", hint="try lora:8")
            entering, _ = self.stages.start(torch.zeros(1, *shape))
            self.prompt = Prompt(tuple(entering.shape[1:]), plan.amount)
        return self

    def below(self, place: int) -> list[nn.Parameter]:
        """Parameters in use before block ``place``."""
        return [*self.stages.first(), *(p for block in self.stages.blocks()[:place] for p in block.parameters())]

    def lower_key(self) -> str:
        """Hash of all that decides the state at the split point."""
        weights = [p.detach().cpu().numpy().tobytes() for p in self.below(self.split or 0)]
        return digest(self.about, str(self.split), *weights)

    def lower(self, inputs: Tensor) -> State:
        """The state at the split point."""
        state = self.stages.start(inputs)
        for place in range(self.split or 0):
            state = self.stages.step(place, state)
        return state

    def tokens(self, state: State) -> Tokens:
        """Tokens [B, T, d] and mask from the state at the split point, or from inputs where there is none."""
        if self.split is None:
            state = self.stages.start(state[0])
            if self.prompt is not None:
                state = self.prompt(*state)
        for place in range(self.split or 0, len(self.stages.blocks())):
            state = self.stages.step(place, state)
            if len(self.adapters):
                state = self.adapters[place](state[0]), state[1]
        values, mask = self.stages.end(state)
        if self.prompt is not None and state[1] is not None:
            return values[:, self.prompt.length :], mask[:, self.prompt.length :]
        return values, mask

    def forward(self, state: State) -> Tensor:
        """Vectors [B, width]."""
        if self.head is None:
            raise RuntimeError("prepared for tokens only")
        found: Tensor = self.head(self.tokens(state))
        return found

    def token_width(self, shape: tuple[int, ...]) -> int:
        """Width of its tokens, from inputs of ``shape``."""
        was = self.training
        with torch.no_grad():
            state = (
                self.eval().lower(torch.zeros(2, *shape)) if self.split is not None else (torch.zeros(2, *shape), None)
            )
            found, _ = self.tokens(state)
        self.train(was)
        return int(found.shape[2])

    def _widths(self, shape: tuple[int, ...]) -> list[int]:
        """Width of the state after each block."""
        widths, was = [], self.training
        self.eval()
        with torch.no_grad():
            state = self.stages.start(torch.zeros(2, *shape))
            for place in range(len(self.stages.blocks())):
                state = self.stages.step(place, state)
                widths.append(int(state[0].shape[2 if state[0].ndim == 3 else 1]))
        self.train(was)
        return widths


def _mask(state: State) -> Tensor:
    values, mask = state
    return values.new_ones(values.shape[:2], dtype=torch.bool) if mask is None else mask
