"""Transformers of public checkpoints, layer by layer, so that a part of one can be trained: text, pictures, sound."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from palate.core.errors import MissingDependencyError, UnsupportedError
from palate.modules.frozen_state_cache import FrozenStateCache
from palate.modules.stages import (
    MelInput,
    PatchInput,
    Pooling,
    PoolingHead,
    RelativeBiasStages,
    TokenInput,
    TransformerStages,
    WaveformInput,
    WindowedStages,
)
from palate.modules.towers import State, Tokens, run_tower, towers


@towers.register("checkpoint")
class Checkpoint(nn.Module):
    """A checkpoint's network with random weights, as a tower: tokens whose mean is the vector that its encoder gives.

    Where that vector is not a mean of tokens (a class token, a projection) it is the only token.

    Args:
        model: name of its class in transformers.
        config: settings of that class.
        dim: width of the vector.
        pad: id of padding, for texts.
        pooling: where the class leaves a choice.

    Attributes:
        state_cache: cache of the states that frozen blocks compute for a text, or None.

    Raises:
        UnsupportedError: the class cannot be run layer by layer.
        MissingDependencyError: transformers is not installed.
    """

    def __init__(
        self, model: str, config: Mapping[str, Any], dim: int, pad: int = 0, pooling: Pooling | None = None
    ) -> None:
        super().__init__()
        if find_spec("transformers") is None:
            raise MissingDependencyError("transformers", "encoders")
        if model not in STAGED:
            raise unsupported_checkpoint(model, "checkpoint")
        import transformers

        kind: Any = getattr(transformers, model)
        self.stages, self.head = split_model(kind(kind.config_class.from_dict(dict(config))), pad, pooling)
        self.state_cache: FrozenStateCache | None = None

    def forward(self, inputs: Tensor) -> Tokens:
        """Tokens [B, T, d] and their mask."""
        return run_tower(self, inputs) if self.state_cache is None else self.state_cache(self, inputs)

    def input_parameters(self) -> list[nn.Parameter]:
        """Part of the interface :class:`palate.modules.network.LayeredTower`, like the methods below."""
        return self.stages.input_parameters()

    def blocks(self) -> list[nn.Module]:
        return self.stages.blocks()

    @property
    def accepts_prefix(self) -> bool:
        """Whether learnt positions may stand in front."""
        return self.stages.accepts_prefix and self.head.is_mean

    def embed(self, inputs: Tensor) -> State:
        return self.stages.embed(inputs)

    def apply_block(self, index: int, state: State) -> State:
        return self.stages.apply_block(index, state)

    def finalize(self, state: State) -> Tokens:
        tokens = self.stages.finalize(state)
        if self.head.is_mean:
            return tokens
        vector = self.head(tokens)[:, None]
        return vector, vector.new_ones(vector.shape[:2], dtype=torch.bool)


def split_model(
    model: Any, pad: int = 0, pooling: Pooling | None = None, normalize: bool = False
) -> tuple[TransformerStages, PoolingHead]:
    """Divide a model of transformers into stages and head; they share its weights.

    Args:
        model: the model; its list of layers is taken out of it.
        pad: id of padding, for texts.
        pooling: instead of the class's own.
        normalize: scale vectors to unit length.

    Raises:
        UnsupportedError: the class cannot be run layer by layer.
    """
    name = type(model).__name__
    if name not in STAGED:
        raise unsupported_checkpoint(name, "checkpoint")
    stages, own, after = STAGED[name](model, pad)
    return stages, PoolingHead(pooling or own, after, normalize)


def unsupported_checkpoint(name: str, key: str) -> UnsupportedError:
    """Make the error for a type that can only be used frozen; its hint lists the types that can be trained."""
    return UnsupportedError(f"{name} checkpoints can only be used frozen", key=key, hint=f"can be trained: {TYPES}")


def receptive_field(kernels: Sequence[int], strides: Sequence[int]) -> int:
    """Smallest number of samples for which a stack of convolutions has an output."""
    least = 1
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        least = (least - 1) * stride + kernel
    return least


def _layers(model: Any) -> nn.ModuleList:
    """The list of layers, taken out of ``model``: its own or that of one of its parts."""
    for owner in (model, *model.children()):
        for name in ("layers", "layer"):
            layers = getattr(owner, name, None)
            if isinstance(layers, nn.ModuleList):
                setattr(owner, name, nn.ModuleList())
                return layers
    raise UnsupportedError(f"{type(model).__name__} has no list of layers", key="checkpoint")


Parts = tuple[TransformerStages, Pooling, nn.Module]


def _bert(model: Any, pad: int) -> Parts:
    enter = TokenInput(model.embeddings, pad, getattr(model, "embeddings_project", None))
    return TransformerStages(enter, _layers(model), nn.Identity()), "mean", nn.Identity()


def _mpnet(model: Any, pad: int) -> Parts:
    layers = _layers(model)
    return (
        RelativeBiasStages(TokenInput(model.embeddings, pad), layers, nn.Identity(), model.encoder),
        "mean",
        nn.Identity(),
    )


def _clip_text(model: Any, pad: int) -> Parts:
    inner = model.text_model
    stages = TransformerStages(TokenInput(inner.embeddings, pad), _layers(inner), inner.final_layer_norm, causal=True)
    return stages, "last", model.text_projection


def _siglip_text(model: Any, pad: int) -> Parts:
    stages = TransformerStages(TokenInput(model.embeddings, pad, full=True), _layers(model), model.final_layer_norm)
    return stages, "last", model.head


def _clap_text(model: Any, pad: int) -> Parts:
    stages, _, _ = _bert(model.text_model, pad)
    return stages, "all", nn.Sequential(model.text_model.pooler, model.text_projection)


def _vit(model: Any, pad: int) -> Parts:
    return (
        TransformerStages(PatchInput(model.embeddings, nn.Identity()), _layers(model), model.layernorm),
        "first",
        nn.Identity(),
    )


def _clip_image(model: Any, pad: int) -> Parts:
    inner = model.vision_model
    stages = TransformerStages(PatchInput(inner.embeddings, inner.pre_layrnorm), _layers(inner), nn.Identity())
    return stages, "first", nn.Sequential(inner.post_layernorm, model.visual_projection)


def _siglip_image(model: Any, pad: int) -> Parts:
    stages = TransformerStages(PatchInput(model.embeddings, nn.Identity()), _layers(model), model.post_layernorm)
    return stages, "all", model.head


def _wav2vec2(model: Any, pad: int) -> Parts:
    if getattr(model, "adapter", None) is not None:
        raise unsupported_checkpoint("wav2vec2 with a length adapter", "checkpoint")
    before, after = model.encoder.layer_norm, nn.Identity()
    if model.config.do_stable_layer_norm:
        before, after = after, before
    layers = _layers(model)
    least = receptive_field(model.config.conv_kernel, model.config.conv_stride)
    return TransformerStages(WaveformInput(model, before, least), layers, after), "mean", nn.Identity()


def _clap_audio(model: Any, pad: int) -> Parts:
    encoder = model.audio_model.audio_encoder
    layers, norm = _layers(encoder), encoder.norm
    encoder.norm = nn.Identity()
    return WindowedStages(MelInput(encoder), layers, norm), "mean", model.audio_projection


STAGED: Mapping[str, Callable[[Any, int], Parts]] = {
    "BertModel": _bert,
    "RobertaModel": _bert,
    "XLMRobertaModel": _bert,
    "CamembertModel": _bert,
    "ElectraModel": _bert,
    "DistilBertModel": _bert,
    "MPNetModel": _mpnet,
    "CLIPTextModelWithProjection": _clip_text,
    "SiglipTextModel": _siglip_text,
    "ClapTextModelWithProjection": _clap_text,
    "ViTModel": _vit,
    "Dinov2Model": _vit,
    "CLIPVisionModelWithProjection": _clip_image,
    "SiglipVisionModel": _siglip_image,
    "Wav2Vec2Model": _wav2vec2,
    "HubertModel": _wav2vec2,
    "ClapAudioModelWithProjection": _clap_audio,
}
"""Classes of transformers that can be run layer by layer, and the function that finds their parts."""

TYPES = (
    "text: bert, roberta, xlm-roberta, camembert, electra, distilbert, mpnet, clip, siglip, clap; "
    "image: vit, dinov2, clip, siglip; audio: wav2vec2, hubert, clap"
)
