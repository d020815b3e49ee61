"""Encoders that are trained with a recommender, and the vector in which an item's modalities meet."""

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
from palate.core.tuning import Fusion, Plan, parse_plan
from palate.modules.modality_fusion import ModalityFusion
from palate.modules.network import Network
from palate.modules.towers import State, Tokens

from .encoders._base import TRAINABLE, ContentEncoder
from .encoders.lower import Lower

FUSED = "fused"
CHUNK = 256
_FACTS, _WEIGHTS = "adapted.json", "adapted.safetensors"

Shapes = Mapping[str, tuple[int, ...]]


class Adapted(nn.Module):
    """A network for each modality that is trained, or whose tokens are wanted, and where all modalities meet.

    Modalities whose encoder has no network (descriptors, tf-idf, given vectors) enter as the vectors they are.

    Args:
        encoders: name -> the encoder to start from, for modalities with one. dims: name -> width of its vectors, for
            all modalities. shapes: name -> shape of the inputs of one item, for those with a network.
        plan: what of the encoders is trained. fusion: where modalities meet. width: of the vector in which they do.

    Attributes:
        readers: name -> encoder of what the network takes in (None: its vectors are read as they are): raw inputs, or
            states at the split point, which the store keeps under the hash of the weights below.
    """

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        dims: Mapping[str, int],
        shapes: Shapes,
        plan: Plan,
        fusion: Fusion,
        width: int,
    ) -> None:
        super().__init__()
        self.plan, self.fusion, self.width = plan, fusion, width
        self.dims, self.shapes = dict(dims), {name: tuple(shape) for name, shape in shapes.items()}
        self.readers: dict[str, ContentEncoder | None] = {name: None for name in dims}
        self._place = {name: place for place, name in enumerate(self.shapes)}
        self._of = [f"{name}:{encoder.identity}" for name, encoder in encoders.items()]
        self.networks = nn.ModuleList()
        early, self.token_dims = fusion == "early", dict(dims)
        for name, shape in self.shapes.items():
            encoder = encoders[name]
            assert isinstance(encoder, ContentEncoder)
            network = encoder.network().prepare(plan, shape, early)
            self.networks.append(network)
            split = network.split is not None
            self.readers[name] = Lower(encoder.reader, network, shape) if split else encoder.reader
            if early:
                self.token_dims[name] = network.token_width(shape)
        joint: Literal["transformer", "perceptron"] = "transformer" if early else "perceptron"
        self.meeting = None if fusion == "late" else ModalityFusion(list(self.token_dims.values()), width, joint)

    @property
    def names(self) -> tuple[str, ...]:
        """What it gives: the modalities, or the one vector in which they meet."""
        return tuple(self.dims) if self.meeting is None else (FUSED,)

    def makes(self, name: str) -> bool:
        """Whether vectors ``name`` come from a network, not from the inputs as they are."""
        return self.meeting is not None or name in self._place

    def trained(self) -> dict[str, Tensor]:
        """Weights that are not those of the encoders it started from."""
        return {name: p.detach() for name, p in self.named_parameters() if p.requires_grad}

    def pretrained(self) -> list[nn.Parameter]:
        """Trained weights that had been trained before."""
        if self.plan.kind not in ("full", "partial"):
            return []
        return [p for p in self.networks.parameters() if p.requires_grad]

    def forward(self, inputs: Mapping[str, Features], rows: Tensor) -> dict[str, Tensor]:
        """Name -> vectors float32 [b, d] of items ``rows`` int64 [b], zero where absent; of what has a network."""
        at = rows.cpu().numpy()
        if self.meeting is None:
            return {name: self._vectors(name, inputs[name], at, rows.device) for name in self._place}
        parts = [self._tokens(name, inputs[name], at, rows.device) for name in self.dims]
        there = torch.stack([mask.any(1) for _, mask in parts]).any(0)
        return {FUSED: self.meeting(parts) * there[:, None]}

    def encode(self, inputs: Mapping[str, Features]) -> dict[str, Features]:
        """Vectors of all items of ``inputs``, without gradients."""
        n, key = len(next(iter(inputs.values()))), self.identity
        if self.meeting is None:
            there = {name: inputs[name].present for name in self.dims if name in self._place}
        else:
            there = {FUSED: np.any([found.present for found in inputs.values()], axis=0)}
        device = next(self.parameters()).device
        was = self.training
        self.eval()
        made: dict[str, list[NDArray[np.float32]]] = {name: [] for name in there}
        with torch.no_grad():
            for rows in torch.arange(n, device=device).split(CHUNK) if n else ():
                found = self(inputs, rows)
                for name, parts in made.items():
                    parts.append(found[name].cpu().numpy())
        self.train(was)
        out = {name: found for name, found in inputs.items() if self.meeting is None and name not in made}
        for name, parts in made.items():
            values = np.concatenate(parts) if parts else np.zeros((0, self.dims.get(name, self.width)), np.float32)
            out[name] = Features(values, there[name], identity=key)
        return {name: out[name] for name in self.names}

    @property
    def identity(self) -> str:
        """Names what it makes of content."""
        weights = [tensor.cpu().numpy().tobytes() for tensor in self.trained().values()]
        return f"adapted-{digest(str(self.plan), self.fusion, *self._of, *weights)[:12]}"

    def save(self, folder: Path) -> None:
        """Write what differs from the encoders it started from."""
        folder.mkdir(parents=True)
        facts: dict[str, Any] = {"plan": str(self.plan), "fusion": self.fusion, "width": self.width}
        facts |= {"dims": self.dims, "shapes": self.shapes}
        write_json(folder / _FACTS, facts)
        write_tensors(folder / _WEIGHTS, {name: tensor.cpu() for name, tensor in self.trained().items()})

    @classmethod
    def load(cls, folder: Path, encoders: Mapping[str, Encoder]) -> Adapted:
        """Read what :meth:`save` wrote, over the encoders it started from.

        Raises:
            ArtefactError: when the weights are not those of this plan.
        """
        facts = read_json(folder / _FACTS)
        shapes = {name: tuple(shape) for name, shape in facts["shapes"].items()}
        plan = parse_plan(facts["plan"])
        made = cls(encoders, facts["dims"], shapes, plan, facts["fusion"], facts["width"])
        own, saved = made.trained(), read_tensors(folder / _WEIGHTS)
        if own.keys() != saved.keys() or any(own[name].shape != saved[name].shape for name in own):
            raise ArtefactError(f"weights that do not fit tuning={plan}", file=folder / _WEIGHTS)
        made.load_state_dict(saved, strict=False)
        return made.eval()

    def _network(self, name: str) -> Network | None:
        if name not in self._place:
            return None
        network = self.networks[self._place[name]]
        assert isinstance(network, Network)
        return network

    def _vectors(self, name: str, found: Features, at: NDArray[np.int64], device: torch.device) -> Tensor:
        network, there = self._network(name), np.flatnonzero(found.present[at])
        out = torch.zeros(len(at), self.dims[name], device=device)
        if not len(there):
            return out
        state = _state(found, at[there], device)
        made = state[0] if network is None else network(state)
        return out.index_copy(0, torch.from_numpy(there).to(device), made)

    def _tokens(self, name: str, found: Features, at: NDArray[np.int64], device: torch.device) -> Tokens:
        network = self._network(name)
        if self.fusion != "early" or network is None:
            present = torch.from_numpy(found.present[at]).to(device)
            return self._vectors(name, found, at, device)[:, None], present[:, None]
        there = np.flatnonzero(found.present[at])
        if not len(there):
            nothing = torch.zeros(len(at), 1, dtype=torch.bool, device=device)
            return torch.zeros(len(at), 1, self.token_dims[name], device=device), nothing
        values, mask = network.tokens(_state(found, at[there], device))
        place = torch.from_numpy(there).to(device)
        whole = values.new_zeros(len(at), *values.shape[1:]).index_copy(0, place, values)
        return whole, mask.new_zeros(len(at), mask.shape[1]).index_copy(0, place, mask)


@dataclass(frozen=True, eq=False)
class Source:
    """Networks and what they read of one catalogue.

    Attributes:
        network: to be trained. inputs: name -> what it takes in, all items. vectors: what it made of them untrained.
    """

    network: Adapted
    inputs: Mapping[str, Features]
    vectors: Mapping[str, Features]

    @property
    def nbytes(self) -> int:
        """Of what training reads of content."""
        return sum(found.values.nbytes for found in self.inputs.values())


def shapes_of(
    encoders: Mapping[str, Encoder], raws: Mapping[str, list[Raw]], plan: Plan, fusion: Fusion
) -> dict[str, tuple[int, ...]]:
    """Name -> shape of one item's inputs, for modalities that get a network.

    Raises:
        ConfigError: when the plan trains encoders and none can be trained.
    """
    able = {name: one for name, one in encoders.items() if isinstance(one, ContentEncoder) and one.trainable}
    if plan.trains and not able:
        found = ", ".join(f"{name} is read by {one.name}" for name, one in encoders.items()) or "vectors were given"
        raise ConfigError(f"no encoder here can be trained ({found})", key=f"tuning={plan}", hint=TRAINABLE)
    if not plan.trains and fusion != "early":
        return {}
    out = {}
    for name, encoder in able.items():
        for raw in raws[name]:
            try:
                content = None if raw is None else encoder.reader.read(raw)
            except FeatureError:
                continue
            if content is not None:
                out[name] = tuple(np.asarray(encoder.reader.embed([content])).shape[1:])
                break
    return out


def _state(found: Features, rows: NDArray[np.int64], device: torch.device) -> State:
    """Inputs or states of ``rows``; tokens padded to the longest, with a mask."""
    if found.kind != "tokens" or found.lengths is None:
        return torch.from_numpy(np.asarray(found.values[rows], np.float32)).to(device), None
    lengths = found.lengths[rows]
    starts = (np.cumsum(found.lengths) - found.lengths)[rows]
    mask = np.arange(max(int(lengths.max(initial=0)), 1)) < lengths[:, None]
    index = np.where(mask, starts[:, None] + np.arange(mask.shape[1]), 0)
    values = np.where(mask[:, :, None], np.asarray(found.values[index.ravel()], np.float32).reshape(*mask.shape, -1), 0)
    return torch.from_numpy(values).to(device), torch.from_numpy(mask).to(device)


def absent(rows: int, width: int) -> Features:
    """Items of which nothing is known."""
    return Features(np.zeros((rows, width), np.float32), np.zeros(rows, bool))
