"""Towers of pretraining that start from the weights of an encoder that exists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from palate.core.content import Features
from palate.core.errors import ConfigError, UnsupportedError
from palate.core.tuning import TuningSpec
from palate.features.encoders.base import TRAINABLE, ContentEncoder
from palate.features.encoders.hf_encoder import HfEncoder
from palate.features.encoders.tower import Tower
from palate.features.saved import INNER
from palate.modules.adapters import add_low_rank
from palate.modules.bag import BagOfWords
from palate.modules.checkpoint import Checkpoint
from palate.modules.frozen_state_cache import FrozenStateCache
from palate.modules.network import LayeredTower, SingleBlock


@dataclass(frozen=True)
class InitSpec:
    """The network of an encoder, from which training starts.

    Attributes:
        preprocessor_spec: specification of the encoder that makes the network's inputs.
        network: arguments of ``make_tower`` that build the network.
        weights: tensors of its tower.
        identity: identity of the encoder.
    """

    preprocessor_spec: str
    network: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    identity: str

    @classmethod
    def of(cls, encoder: Any, modality: str) -> InitSpec:
        """The start that an encoder offers.

        Args:
            encoder: any encoder.
            modality: of the tower that is to start from it.

        Raises:
            UnsupportedError: if it has no network that can be trained.
        """
        if isinstance(encoder, HfEncoder):
            network, stages, head = encoder.build_tower()
            tower: nn.Module = nn.ModuleDict({"stages": stages, "head": head})
            preprocessor_spec = _preprocessor_spec(encoder.preprocessor)
        elif isinstance(encoder, Tower) and encoder.folder is not None:
            preprocessor_spec = str(encoder.folder / INNER)
            tower, network = encoder.network().tower, dict(encoder.options["network"])
            tower = tower.tower if isinstance(tower, SingleBlock) else tower
        else:
            raise UnsupportedError(f"training cannot start from {encoder.name}", key=modality, hint=TRAINABLE)
        return cls(preprocessor_spec, {**network, "start": modality}, dict(tower.state_dict()), encoder.identity)


def initialize_towers(
    model: nn.Module, starts: Mapping[str, InitSpec], tuning: TuningSpec, inputs: Mapping[str, Features]
) -> None:
    """Load the towers' weights and freeze those that are not trained; heads are always trained.

    Args:
        model: its towers that start from an encoder name the modality in ``init_modality``.
        starts: modality -> start.
        tuning: ``full``, ``lora``, or ``partial``: the upper blocks alone; states below them are computed once for
            each text.
        inputs: modality -> inputs that training may see; bags of words weigh by them.

    Raises:
        ConfigError: if the model has no tower for a start, or for another tuning.
    """
    if tuning.kind not in ("full", "lora", "partial"):
        raise ConfigError("encoders are trained further in full, partial:<n> or lora:<rank>", key=f"tuning={tuning}")
    for bag in (module for module in model.modules() if isinstance(module, BagOfWords)):
        bag.fit_weights(inputs["text"].values[inputs["text"].present])
    towers = {str(module.init_modality): module for module in model.modules() if hasattr(module, "init_modality")}
    for modality, start in starts.items():
        if modality not in towers:
            raise ConfigError("the model has no tower for this modality", key=modality)
        tower = towers[modality]
        tower.load_state_dict(dict(start.weights))
        if tuning.kind == "partial":
            assert isinstance(tower, LayeredTower)
            blocks = tower.blocks()
            split = max(len(blocks) - tuning.amount, 0)
            for part in blocks[:split]:
                part.requires_grad_(False)
            for parameter in tower.input_parameters():
                parameter.requires_grad_(False)
            if isinstance(tower, Checkpoint) and modality == "text":
                tower.state_cache = FrozenStateCache(split)
        if tuning.kind == "lora":
            assert isinstance(tower, LayeredTower)
            tower.requires_grad_(False)
            for block in tower.blocks():
                add_low_rank(block, tuning.amount)
                for name, parameter in block.named_parameters():
                    parameter.requires_grad_("parametrizations" in name and not name.endswith("original"))


def pretrained_weights(model: nn.Module) -> list[nn.Parameter]:
    """Parameters of ``model`` that were trained before and are trained further."""
    towers = [module for module in model.modules() if hasattr(module, "init_modality")]
    named = [(name, parameter) for tower in towers for name, parameter in tower.named_parameters()]
    return [parameter for name, parameter in named if parameter.requires_grad and "parametrizations" not in name]


def _preprocessor_spec(encoder: ContentEncoder) -> str:
    """Specification of the preprocessing of a checkpoint's folder."""
    options = "&".join(f"{key}={value}" for key, value in encoder.options.items() if key != "source")
    return f"{encoder.name}:{encoder.options['source']}" + (f"?{options}" if options else "")
