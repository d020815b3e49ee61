"""The encoders as a table: what each reads, whether it can be used here, and what to install where it cannot."""

from __future__ import annotations

from importlib.util import find_spec

from palate.core.encoder import encoders
from palate.data.catalog import COLUMN_KINDS
from palate.features.default_encoders import PACKAGES, default_encoder
from palate.features.encoders.make import PARTS

HF = "hf:PATH"
NEEDS = {
    **PACKAGES,
    "video_stats": (("av",), "encoders"),
    "causal_lm": (("transformers",), "encoders"),
    HF: (("transformers",), "encoders"),
}
"""Encoder -> modules that it needs, and the extra that brings them."""


def available_encoders() -> list[dict[str, str]]:
    """Every encoder of content by modality: ``modality``, ``encoder``, ``here`` and ``what``.

    ``here`` is ``default``, ``yes``, or how to install it.
    """
    kinds = {(str(kind.modality), name): _about(kind) for name, kind in encoders.items() if name not in (*PARTS, "pca")}
    found = {key: about for key, about in kinds.items() if not key[1].startswith("hf_")}
    for modality in ("text", "image", "audio", "video"):
        found[modality, HF] = f"the {modality} tower of a transformers checkpoint: a folder or hub id"
    order = sorted(found, key=lambda key: (COLUMN_KINDS.index(key[0]), key[1] != default_encoder(key[0]), key[1] == HF))
    return [
        {"modality": modality, "encoder": name, "here": _here(modality, name), "what": found[modality, name]}
        for modality, name in order
    ]


def _about(kind: type) -> str:
    """The first clause of its docstring, without markup."""
    line = (kind.__doc__ or "").strip().split("\n")[0]
    return line.split(";")[0].replace("``", "").rstrip(".")


def _here(modality: str, name: str) -> str:
    modules, extra = NEEDS.get(name, ((), ""))
    if any(find_spec(module) is None for module in modules):
        return f"pip install 'palate[{extra}]'"
    return "default" if name == default_encoder(modality) else "yes"
