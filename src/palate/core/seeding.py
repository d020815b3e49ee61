"""Named random streams: the same seed and name give the same draws, whatever else ran before."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

P = ParamSpec("P")
R = TypeVar("R")


def rng_for(seed: int, *names: object) -> np.random.Generator:
    """A NumPy generator that depends on ``seed`` and ``names`` alone."""
    label = "/".join(map(str, names)).encode()
    key = int.from_bytes(hashlib.blake2b(label, digest_size=8).digest(), "little")
    return np.random.default_rng([seed, key])


def torch_stream(seed: int, *names: object, device: str | torch.device = "cpu") -> torch.Generator:
    """A torch generator that depends on ``seed`` and ``names`` alone."""
    import torch

    generator = torch.Generator(device=device)
    generator.manual_seed(int(rng_for(seed, *names).integers(2**62)))
    return generator


def seed_torch(seed: int, *names: object) -> None:
    """Seed torch's global generator (parameter initialisation and dropout) from a named stream."""
    import torch

    torch.manual_seed(int(rng_for(seed, "torch", *names).integers(2**62)))


def isolated(function: Callable[P, R]) -> Callable[P, R]:
    """Give torch's global generators back as they were: a caller's own draws must not depend on what we drew."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        import torch

        with torch.random.fork_rng():
            return function(*args, **kwargs)

    return call
