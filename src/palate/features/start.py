"""What training starts from: the network of an encoder that exists, what reads its inputs, and its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from palate.core.content import Features
from palate.core.errors import ConfigError, UnsupportedError
from palate.core.tuning import Plan
from palate.modules.adapters import add_low_rank
from palate.modules.bag import BagOfWords
from palate.modules.checkpoint import Checkpoint
from palate.modules.frozen_state_cache import FrozenStateCache
from palate.modules.network import LayeredTower, SingleBlock

from .encoders._base import TRAINABLE, ContentEncoder
from .encoders._hf import HfEncoder
from .encoders.tower import Tower
from .saved import INNER


@dataclass(frozen=True)
class Start:
    """An encoder to go on from.

    Attributes:
        reading: specification of what its network takes in. network: arguments of ``make_tower`` that build it.
        weights: its tower's. identity: the encoder's.
    """

    reading: str
    network: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    identity: str

    @classmethod
    def of(cls, encoder: Any, modality: str) -> Start:
        """From an encoder.

        Raises:
            UnsupportedError: when it has no network that can be trained.
        """
        if isinstance(encoder, HfEncoder):
            network, stages, head = encoder.parts()
            tower: nn.Module = nn.ModuleDict({"stages": stages, "head": head})
            reading = _reading(encoder.reader)
        elif isinstance(encoder, Tower) and encoder.folder is not None:
            reading = str(encoder.folder / INNER)
            tower, network = encoder.network().tower, dict(encoder.options["network"])
            tower = tower.tower if isinstance(tower, SingleBlock) else tower
        else:
            raise UnsupportedError(f"training cannot start from {encoder.name}", key=modality, hint=TRAINABLE)
        return cls(reading, {**network, "start": modality}, dict(tower.state_dict()), encoder.identity)


def prime(model: nn.Module, starts: Mapping[str, Start], plan: Plan, inputs: Mapping[str, Features]) -> None:
    """Give towers that ask for it their weights, and freeze what ``plan`` freezes; heads are always trained.

    Args:
        plan: ``full``, ``lora``, or ``partial``: the upper blocks alone, what lies below being made
            once for each text.
        inputs: modality -> what training may see; bags of words weigh by it.

    Raises:
        ConfigError: when the model has no tower to take a start, or for another plan.
    """
    if plan.kind not in ("full", "lora", "partial"):
        raise ConfigError("encoders are trained further in full, partial:<n> or lora:<rank>", key=f"tuning={plan}")
    for bag in (module for module in model.modules() if isinstance(module, BagOfWords)):
        bag.fit_weights(inputs["text"].values[inputs["text"].present])
    found = {str(module.init_modality): module for module in model.modules() if hasattr(module, "init_modality")}
    for modality, start in starts.items():
        if modality not in found:
            raise ConfigError("the model has no tower for it", key=modality)
        tower = found[modality]
        tower.load_state_dict(dict(start.weights))
        if plan.kind == "partial":
            assert isinstance(tower, LayeredTower)
            blocks = tower.blocks()
            split = max(len(blocks) - plan.amount, 0)
            for part in blocks[:split]:
                part.requires_grad_(False)
            for parameter in tower.input_parameters():
                parameter.requires_grad_(False)
            if isinstance(tower, Checkpoint) and modality == "text":
                tower.state_cache = FrozenStateCache(split)
        if plan.kind == "lora":
            assert isinstance(tower, LayeredTower)
            tower.requires_grad_(False)
            for block in tower.blocks():
                add_low_rank(block, plan.amount)
                for name, parameter in block.named_parameters():
                    parameter.requires_grad_("parametrizations" in name and not name.endswith("original"))


def started_weights(model: nn.Module) -> list[nn.Parameter]:
    """Weights that were trained before and are trained further."""
    towers = [module for module in model.modules() if hasattr(module, "init_modality")]
    named = [(name, parameter) for tower in towers for name, parameter in tower.named_parameters()]
    return [parameter for name, parameter in named if parameter.requires_grad and "parametrizations" not in name]


def _reading(reader: ContentEncoder) -> str:
    """Specification of a reader of a checkpoint's folder."""
    options = "&".join(f"{key}={value}" for key, value in reader.options.items() if key != "source")
    return f"{reader.name}:{reader.options['source']}" + (f"?{options}" if options else "")
