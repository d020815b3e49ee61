"""Which weights of an encoder are trained with a recommender, and where modalities are fused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Fusion = Literal["late", "intermediate", "early"]
"""``late``: each modality has its own branch in the model. ``intermediate``: vectors of an item's modalities become one
before the model. ``early``: their tokens attend to each other in one network, and one vector comes out."""

FUSIONS: tuple[Fusion, ...] = ("late", "intermediate", "early")

_DEFAULTS = {"frozen": None, "full": None, "partial": None, "lora": 8, "adapter": 16, "prompt": 8}
_AMOUNTS = {
    "partial": "upper blocks that are trained",
    "lora": "rank",
    "adapter": "width of the bottleneck",
    "prompt": "learnt positions",
}
FORMS = "frozen, partial:<n>, full, lora:<rank>, adapter:<width>, prompt:<length>"


@dataclass(frozen=True)
class TuningSpec:
    """Which weights of an encoder are trained.

    Attributes:
        kind: ``frozen``, ``partial``, ``full``, ``lora``, ``adapter`` or ``prompt``.
        amount: upper blocks, rank, width or positions; 0 for kinds without a size.
    """

    kind: str = "frozen"
    amount: int = 0

    def __str__(self) -> str:
        return f"{self.kind}:{self.amount}" if self.amount else self.kind

    @property
    def trains(self) -> bool:
        """Whether any weight is trained, of the encoder or added to it."""
        return self.kind != "frozen"


def parse_tuning(text: str) -> TuningSpec:
    """Parse a tuning such as ``lora:4``; ``lora``, ``adapter`` and ``prompt`` have a default size.

    Args:
        text: as in settings.

    Raises:
        ValueError: for any other text, with the known forms.
    """
    kind, colon, amount = text.partition(":")
    if kind not in _DEFAULTS or (colon and kind not in _AMOUNTS):
        raise ValueError(f"no such tuning, known: {FORMS}")
    size = amount if colon else _DEFAULTS[kind]
    if kind not in _AMOUNTS:
        return TuningSpec(kind)
    if size is None or not str(size).isdigit() or int(size) < 1:
        raise ValueError(f"{kind}:<n> needs the {_AMOUNTS[kind]}, at least 1")
    return TuningSpec(kind, int(size))
