"""Architectures of public checkpoints that can encode a modality: class, how a vector is made, what can be trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from palate.modules.checkpoint import STAGED
from palate.modules.stages import Pooling

_PROJECTED = ("projection_dim",)


@dataclass(frozen=True)
class Architecture:
    """The tower of one modality in one type of checkpoint.

    Attributes:
        model_class: its class in transformers.
        pooling: how hidden states become one vector; None where the class itself gives one.
        vector_output: name of the class's output that is the vector; None where hidden states are pooled.
        width_keys: settings of the configuration that say how wide the vector is, the first that is there.
        multimodal: was trained to put two modalities into one space.
        position_offset: positions are counted from the id of padding on, so that fewer tokens fit.
        model_kwargs: further arguments with which the class is loaded.
    """

    model_class: str
    pooling: Pooling | None = "mean"
    vector_output: str | None = None
    width_keys: tuple[str, ...] = ("hidden_size", "dim")
    multimodal: bool = False
    position_offset: bool = False
    model_kwargs: tuple[tuple[str, Any], ...] = ()

    @property
    def trainable(self) -> bool:
        """Whether the tower can stop between its blocks, so that some of them can be trained."""
        return self.model_class in STAGED


TEXT: Mapping[str, Architecture] = {
    "clip": Architecture("CLIPTextModelWithProjection", None, "text_embeds", _PROJECTED, True),
    "siglip": Architecture("SiglipTextModel", None, "pooler_output", ("projection_size", "hidden_size"), True),
    "clap": Architecture("ClapTextModelWithProjection", None, "text_embeds", _PROJECTED, True, True),
    "bert": Architecture("BertModel"),
    "roberta": Architecture("RobertaModel", position_offset=True),
    "xlm-roberta": Architecture("XLMRobertaModel", position_offset=True),
    "camembert": Architecture("CamembertModel", position_offset=True),
    "distilbert": Architecture("DistilBertModel"),
    "mpnet": Architecture("MPNetModel", position_offset=True),
    "electra": Architecture("ElectraModel"),
    "albert": Architecture("AlbertModel"),
    "deberta": Architecture("DebertaModel"),
    "deberta-v2": Architecture("DebertaV2Model"),
    "modernbert": Architecture("ModernBertModel"),
    "nomic_bert": Architecture("NomicBertModel"),
}
IMAGE: Mapping[str, Architecture] = {
    "clip": Architecture("CLIPVisionModelWithProjection", None, "image_embeds", _PROJECTED, True),
    "siglip": Architecture("SiglipVisionModel", None, "pooler_output", multimodal=True),
    "vit": Architecture("ViTModel", "first", model_kwargs=(("add_pooling_layer", False),)),
    "dinov2": Architecture("Dinov2Model", None, "pooler_output"),
}
AUDIO: Mapping[str, Architecture] = {
    "clap": Architecture("ClapAudioModelWithProjection", None, "audio_embeds", _PROJECTED, True),
    "wav2vec2": Architecture("Wav2Vec2Model"),
    "hubert": Architecture("HubertModel"),
    "wavlm": Architecture("WavLMModel"),
}
