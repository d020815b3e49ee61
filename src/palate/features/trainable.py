"""Encoders that are trained with a recommender, and the vector in which an item's modalities are fused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from palate.core.content import Features
from palate.core.encoder import Encoder, Raw
from palate.core.errors import ArtefactError, ConfigError, FeatureError
from palate.core.files import digest, read_json, read_tensors, write_json, write_tensors
from palate.core.item_features import ItemFeatures
from palate.core.tuning import Fusion, TuningSpec, parse_tuning
from palate.features.encoders.base import TRAINABLE, ContentEncoder
from palate.features.encoders.partial import PartialEncoder
from palate.modules.modality_fusion import ModalityFusion
from palate.modules.network import Network
from palate.modules.towers import State, Tokens

FUSED = "fused"
CHUNK = 256
_FACTS, _WEIGHTS = "adapted.json", "adapted.safetensors"

Shapes = Mapping[str, tuple[int, ...]]


class TrainableEncoders(nn.Module):
    """Networks of the modalities that are trained, or whose tokens are needed, and the fusion of all modalities.

    Modalities whose encoder has no network (descriptors, tf-idf, given vectors) enter as vectors.

    Args:
        encoders: feature -> the encoder to start from, for features with one.
        dims: feature -> width of its vectors, for all features.
        shapes: feature -> shape of the inputs of one item, for those with a network.
        tuning: which weights of the encoders are trained.
        fusion: where modalities are fused.
        width: of the fused vector.

    Attributes:
        input_encoders: feature -> encoder of the network's inputs: raw inputs, or states at the split point, which
            the store keeps under the hash of the weights below. None where the vectors of the feature are the inputs.

    Raises:
        ConfigError: for a tuning that a network has no place for.
    """

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        dims: Mapping[str, int],
        shapes: Shapes,
        tuning: TuningSpec,
        fusion: Fusion,
        width: int,
    ) -> None:
        super().__init__()
        self.tuning, self.fusion, self.width = tuning, fusion, width
        self.dims, self.shapes = dict(dims), {name: tuple(shape) for name, shape in shapes.items()}
        self.input_encoders: dict[str, ContentEncoder | None] = {name: None for name in dims}
        self._place = {name: place for place, name in enumerate(self.shapes)}
        self._encoder_identities = [f"{name}:{encoder.identity}" for name, encoder in encoders.items()]
        self.networks = nn.ModuleList()
        early, self.token_dims = fusion == "early", dict(dims)
        for name, shape in self.shapes.items():
            encoder = encoders[name]
            assert isinstance(encoder, ContentEncoder)
            network = encoder.network().prepare(tuning, shape, early)
            self.networks.append(network)
            split = network.split is not None
            self.input_encoders[name] = (
                PartialEncoder(encoder.preprocessor, network, shape) if split else encoder.preprocessor
            )
            if early:
                self.token_dims[name] = network.token_width(shape)
        joint: Literal["transformer", "perceptron"] = "transformer" if early else "perceptron"
        self.modality_fusion = (
            None if fusion == "late" else ModalityFusion(list(self.token_dims.values()), width, joint)
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the vectors that it gives: the features, or the fused one."""
        return tuple(self.dims) if self.modality_fusion is None else (FUSED,)

    def makes(self, name: str) -> bool:
        """Whether the vectors ``name`` come from a network rather than being inputs."""
        return self.modality_fusion is not None or name in self._place

    def trained(self) -> dict[str, Tensor]:
        """Name -> trained weights; all others are those of the encoders that it started from."""
        return {name: p.detach() for name, p in self.named_parameters() if p.requires_grad}

    def pretrained(self) -> list[nn.Parameter]:
        """Trained weights that were trained before: those of encoders that are trained in full or in part."""
        if self.tuning.kind not in ("full", "partial"):
            return []
        return [p for p in self.networks.parameters() if p.requires_grad]

    def forward(self, inputs: Mapping[str, Features], rows: Tensor) -> dict[str, Tensor]:
        """Vectors of some items, with gradients.

        Args:
            inputs: feature -> inputs of all items.
            rows: int64 [b].

        Returns:
            Name -> float32 [b, d], zero where absent; only of features with a network, or of the fused one.
        """
        at = rows.cpu().numpy()
        if self.modality_fusion is None:
            return {name: self._vectors(name, inputs[name], at, rows.device) for name in self._place}
        parts = [self._tokens(name, inputs[name], at, rows.device) for name in self.dims]
        present = torch.stack([mask.any(1) for _, mask in parts]).any(0)
        return {FUSED: self.modality_fusion(parts) * present[:, None]}

    def encode(self, inputs: Mapping[str, Features]) -> dict[str, Features]:
        """Vectors of all items of ``inputs``, without gradients.

        Args:
            inputs: feature -> inputs of all items.

        Returns:
            Name -> vectors; inputs that no network changes are returned themselves.
        """
        n, key = len(next(iter(inputs.values()))), self.identity
        if self.modality_fusion is None:
            present = {name: inputs[name].present for name in self.dims if name in self._place}
        else:
            present = {FUSED: np.any([features.present for features in inputs.values()], axis=0)}
        device = next(self.parameters()).device
        was = self.training
        self.eval()
        chunks: dict[str, list[NDArray[np.float32]]] = {name: [] for name in present}
        with torch.no_grad():
            for rows in torch.arange(n, device=device).split(CHUNK) if n else ():
                vectors = self(inputs, rows)
                for name, parts in chunks.items():
                    parts.append(vectors[name].cpu().numpy())
        self.train(was)
        out = {name: found for name, found in inputs.items() if self.modality_fusion is None and name not in chunks}
        for name, parts in chunks.items():
            values = np.concatenate(parts) if parts else np.zeros((0, self.dims.get(name, self.width)), np.float32)
            out[name] = Features(values, present[name], identity=key)
        return {name: out[name] for name in self.names}

    @property
    def identity(self) -> str:
        """Identity of its vectors: equal identities give equal vectors."""
        weights = [tensor.cpu().numpy().tobytes() for tensor in self.trained().values()]
        return f"adapted-{digest(str(self.tuning), self.fusion, *self._encoder_identities, *weights)[:12]}"

    def save(self, folder: Path) -> None:
        """Write settings and trained weights; all others are those of the encoders that it started from.

        Args:
            folder: is created.
        """
        folder.mkdir(parents=True)
        facts: dict[str, Any] = {"plan": str(self.tuning), "fusion": self.fusion, "width": self.width}
        facts |= {"dims": self.dims, "shapes": self.shapes}
        write_json(folder / _FACTS, facts)
        tensors = {_saved_name(name): tensor.cpu() for name, tensor in self.trained().items()}
        write_tensors(folder / _WEIGHTS, tensors)

    @classmethod
    def load(cls, folder: Path, encoders: Mapping[str, Encoder]) -> TrainableEncoders:
        """Read what :meth:`save` wrote.

        Args:
            folder: was written by :meth:`save`.
            encoders: feature -> the encoder that it started from.

        Raises:
            ArtefactError: if the weights do not fit the saved settings.
        """
        facts = read_json(folder / _FACTS)
        shapes = {name: tuple(shape) for name, shape in facts["shapes"].items()}
        tuning = parse_tuning(facts["plan"])
        network = cls(encoders, facts["dims"], shapes, tuning, facts["fusion"], facts["width"])
        own = network.trained()
        saved, names = read_tensors(folder / _WEIGHTS), {_saved_name(name): name for name in own}
        if names.keys() != saved.keys() or any(own[names[name]].shape != saved[name].shape for name in names):
            raise ArtefactError(f"weights that do not fit tuning={tuning}", file=folder / _WEIGHTS)
        network.load_state_dict({names[name]: tensor for name, tensor in saved.items()}, strict=False)
        return network.eval()

    def _network(self, name: str) -> Network | None:
        if name not in self._place:
            return None
        network = self.networks[self._place[name]]
        assert isinstance(network, Network)
        return network

    def _vectors(self, name: str, inputs: Features, at: NDArray[np.int64], device: torch.device) -> Tensor:
        network, rows = self._network(name), np.flatnonzero(inputs.present[at])
        out = torch.zeros(len(at), self.dims[name], device=device)
        if not len(rows):
            return out
        state = _state(inputs, at[rows], device)
        vectors = state[0] if network is None else network(state)
        return out.index_copy(0, torch.from_numpy(rows).to(device), vectors)

    def _tokens(self, name: str, inputs: Features, at: NDArray[np.int64], device: torch.device) -> Tokens:
        network = self._network(name)
        if self.fusion != "early" or network is None:
            present = torch.from_numpy(inputs.present[at]).to(device)
            return self._vectors(name, inputs, at, device)[:, None], present[:, None]
        rows = np.flatnonzero(inputs.present[at])
        if not len(rows):
            absent = torch.zeros(len(at), 1, dtype=torch.bool, device=device)
            return torch.zeros(len(at), 1, self.token_dims[name], device=device), absent
        values, mask = network.tokens(_state(inputs, at[rows], device))
        place = torch.from_numpy(rows).to(device)
        tokens = values.new_zeros(len(at), *values.shape[1:]).index_copy(0, place, values)
        return tokens, mask.new_zeros(len(at), mask.shape[1]).index_copy(0, place, mask)


@dataclass(frozen=True, eq=False)
class TrainableContent:
    """Networks that are trained with a model, and their inputs for one catalogue.

    Attributes:
        network: to be trained.
        inputs: feature -> inputs of all items.
        vectors: of all items, as the network makes them before training.
    """

    network: TrainableEncoders
    inputs: Mapping[str, Features]
    vectors: ItemFeatures

    @property
    def nbytes(self) -> int:
        """Bytes of content that training reads."""
        return sum(found.values.nbytes for found in self.inputs.values())


def shapes_of(
    encoders: Mapping[str, Encoder], raws: Mapping[str, list[Raw]], tuning: TuningSpec, fusion: Fusion
) -> dict[str, tuple[int, ...]]:
    """Shapes of the inputs of the features that get a network.

    Args:
        encoders: feature -> its encoder.
        raws: feature -> raw content, of which the first readable one is tried.
        tuning: which weights are trained.
        fusion: where modalities are fused.

    Returns:
        Feature -> shape of one item's inputs.

    Raises:
        ConfigError: if encoders are to be trained and none can be.
    """
    trainable = {name: one for name, one in encoders.items() if isinstance(one, ContentEncoder) and one.trainable}
    if tuning.trains and not trainable:
        used = ", ".join(f"{name} is read by {one.name}" for name, one in encoders.items()) or "vectors were given"
        raise ConfigError(f"no encoder here can be trained ({used})", key=f"tuning={tuning}", hint=TRAINABLE)
    if not tuning.trains and fusion != "early":
        return {}
    out = {}
    for name, encoder in trainable.items():
        for raw in raws[name]:
            try:
                content = None if raw is None else encoder.preprocessor.read(raw)
            except FeatureError:
                continue
            if content is not None:
                out[name] = tuple(np.asarray(encoder.preprocessor.embed([content])).shape[1:])
                break
    return out


def _saved_name(name: str) -> str:
    """Name of a weight in a saved run."""
    return name.replace("modality_fusion.", "meeting.", 1) if name.startswith("modality_fusion.") else name


def _state(inputs: Features, rows: NDArray[np.int64], device: torch.device) -> State:
    """Inputs or states of ``rows``; tokens padded to the longest, with a mask."""
    if inputs.kind != "tokens" or inputs.lengths is None:
        return torch.from_numpy(np.asarray(inputs.values[rows], np.float32)).to(device), None
    lengths = inputs.lengths[rows]
    starts = (np.cumsum(inputs.lengths) - inputs.lengths)[rows]
    mask = np.arange(max(int(lengths.max(initial=0)), 1)) < lengths[:, None]
    index = np.where(mask, starts[:, None] + np.arange(mask.shape[1]), 0)
    values = np.where(
        mask[:, :, None], np.asarray(inputs.values[index.ravel()], np.float32).reshape(*mask.shape, -1), 0
    )
    return torch.from_numpy(values).to(device), torch.from_numpy(mask).to(device)
