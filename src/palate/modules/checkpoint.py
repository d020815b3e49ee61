"""Transformers of public checkpoints in stages, so that a part of one can be trained: text, pictures and sound."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from palate.core.errors import MissingDependencyError, UnsupportedError
from palate.modules.remember import Remember
from palate.modules.stages import Biased, Head, Ids, Mels, Patches, Pooling, Stages, Waves, Windows
from palate.modules.towers import State, Tokens, through, towers


@towers.register("checkpoint")
class Checkpoint(nn.Module):
    """A checkpoint's network with random weights, as a tower: tokens whose mean is the vector that its encoder gives.

    Where that vector is no mean of tokens (a class token, a projection) it is the only token.

    Args:
        model: its class in transformers. config: settings of that class. dim: width of the vector.
        pad: id of padding, for texts. pooling: where the class leaves a choice.

    Attributes:
        remember: keeps what frozen blocks make of a text.

    Raises:
        UnsupportedError: for a class without stages. MissingDependencyError: without transformers.
    """

    def __init__(
        self, model: str, config: Mapping[str, Any], dim: int, pad: int = 0, pooling: Pooling | None = None
    ) -> None:
        super().__init__()
        if find_spec("transformers") is None:
            raise MissingDependencyError("transformers", "encoders")
        if model not in STAGED:
            raise refusal(model, "checkpoint")
        import transformers

        kind: Any = getattr(transformers, model)
        self.stages, self.head = split(kind(kind.config_class.from_dict(dict(config))), pad, pooling)
        self.remember: Remember | None = None

    def forward(self, inputs: Tensor) -> Tokens:
        return through(self, inputs) if self.remember is None else self.remember(self, inputs)

    def first(self) -> list[nn.Parameter]:
        return self.stages.first()

    def blocks(self) -> list[nn.Module]:
        return self.stages.blocks()

    @property
    def lengthens(self) -> bool:
        """As of its stages."""
        return self.stages.lengthens and self.head.plain

    def start(self, inputs: Tensor) -> State:
        return self.stages.start(inputs)

    def step(self, place: int, state: State) -> State:
        return self.stages.step(place, state)

    def end(self, state: State) -> Tokens:
        tokens = self.stages.end(state)
        if self.head.plain:
            return tokens
        found = self.head(tokens)[:, None]
        return found, found.new_ones(found.shape[:2], dtype=torch.bool)


def split(model: Any, pad: int = 0, pooling: Pooling | None = None, normalize: bool = False) -> tuple[Stages, Head]:
    """Stages and head of a model of transformers; its parts, not copies.

    Raises:
        UnsupportedError: for a class without stages.
    """
    name = type(model).__name__
    if name not in STAGED:
        raise refusal(name, "checkpoint")
    stages, own, after = STAGED[name](model, pad)
    return stages, Head(pooling or own, after, normalize)


def refusal(found: str, key: str) -> UnsupportedError:
    """Says which types can be trained."""
    return UnsupportedError(f"{found} checkpoints are read as they are", key=key, hint=f"can be trained: {TYPES}")


def receptive_field(kernels: Sequence[int], strides: Sequence[int]) -> int:
    """Samples below which convolutions have nothing to give."""
    least = 1
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        least = (least - 1) * stride + kernel
    return least


def _layers(model: Any) -> nn.ModuleList:
    """The list of layers, taken out of ``model``: its own or that of one of its parts."""
    for owner in (model, *model.children()):
        for name in ("layers", "layer"):
            found = getattr(owner, name, None)
            if isinstance(found, nn.ModuleList):
                setattr(owner, name, nn.ModuleList())
                return found
    raise UnsupportedError(f"{type(model).__name__} has no list of layers", key="checkpoint")


Split = tuple[Stages, Pooling, nn.Module]


def _bert(model: Any, pad: int) -> Split:
    enter = Ids(model.embeddings, pad, getattr(model, "embeddings_project", None))
    return Stages(enter, _layers(model), nn.Identity()), "mean", nn.Identity()


def _mpnet(model: Any, pad: int) -> Split:
    layers = _layers(model)
    return Biased(Ids(model.embeddings, pad), layers, nn.Identity(), model.encoder), "mean", nn.Identity()


def _clip_text(model: Any, pad: int) -> Split:
    inner = model.text_model
    stages = Stages(Ids(inner.embeddings, pad), _layers(inner), inner.final_layer_norm, causal=True)
    return stages, "last", model.text_projection


def _siglip_text(model: Any, pad: int) -> Split:
    stages = Stages(Ids(model.embeddings, pad, full=True), _layers(model), model.final_layer_norm)
    return stages, "last", model.head


def _clap_text(model: Any, pad: int) -> Split:
    stages, _, _ = _bert(model.text_model, pad)
    return stages, "all", nn.Sequential(model.text_model.pooler, model.text_projection)


def _vit(model: Any, pad: int) -> Split:
    return Stages(Patches(model.embeddings, nn.Identity()), _layers(model), model.layernorm), "first", nn.Identity()


def _clip_image(model: Any, pad: int) -> Split:
    inner = model.vision_model
    stages = Stages(Patches(inner.embeddings, inner.pre_layrnorm), _layers(inner), nn.Identity())
    return stages, "first", nn.Sequential(inner.post_layernorm, model.visual_projection)


def _siglip_image(model: Any, pad: int) -> Split:
    stages = Stages(Patches(model.embeddings, nn.Identity()), _layers(model), model.post_layernorm)
    return stages, "all", model.head


def _wav2vec2(model: Any, pad: int) -> Split:
    if getattr(model, "adapter", None) is not None:
        raise refusal("wav2vec2 with a length adapter", "checkpoint")
    before, after = model.encoder.layer_norm, nn.Identity()
    if model.config.do_stable_layer_norm:
        before, after = after, before
    layers = _layers(model)
    least = receptive_field(model.config.conv_kernel, model.config.conv_stride)
    return Stages(Waves(model, before, least), layers, after), "mean", nn.Identity()


def _clap_audio(model: Any, pad: int) -> Split:
    encoder = model.audio_model.audio_encoder
    layers, norm = _layers(encoder), encoder.norm
    encoder.norm = nn.Identity()
    return Windows(Mels(encoder), layers, norm), "mean", model.audio_projection


STAGED: Mapping[str, Callable[[Any, int], Split]] = {
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
"""Classes of transformers that can stop between layers, and how their parts are named."""

TYPES = (
    "text: bert, roberta, xlm-roberta, camembert, electra, distilbert, mpnet, clip, siglip, clap; "
    "image: vit, dinov2, clip, siglip; audio: wav2vec2, hubert, clap"
)
