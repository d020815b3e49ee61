"""Backends by name: of text, of pictures, of clips."""

from __future__ import annotations

from collections.abc import Callable

from palate.contracts import ImageBackend, TextBackend, VideoBackend
from palate.core.registry import Registry

text_backends: Registry[Callable[[str], TextBackend]] = Registry(
    "text backend", ("palate.generation.backends",), "palate.text_backends"
)
"""name -> maker; a spec ``name:argument`` such as ``transformers:/models/qwen`` passes the argument, or ``""``."""
image_backends: Registry[Callable[[str], ImageBackend]] = Registry(
    "image backend", ("palate.generation.backends",), "palate.image_backends"
)
video_backends: Registry[Callable[[str], VideoBackend]] = Registry(
    "video backend", ("palate.generation.backends",), "palate.video_backends"
)


def text_backend(spec: str) -> TextBackend:
    """A backend of text by its spec.

    Args:
        spec: ``name`` or ``name:argument``.

    Raises:
        ConfigError: for an unknown name.
    """
    name, _, argument = spec.partition(":")
    return text_backends.get(name)(argument)


def image_backend(spec: str) -> ImageBackend:
    """A backend of pictures by its spec.

    Args:
        spec: ``name`` or ``name:argument``.

    Raises:
        ConfigError: for an unknown name.
    """
    name, _, argument = spec.partition(":")
    return image_backends.get(name)(argument)


def video_backend(spec: str) -> VideoBackend:
    """A backend of clips by its spec.

    Args:
        spec: ``name`` or ``name:argument``.

    Raises:
        ConfigError: for an unknown name.
    """
    name, _, argument = spec.partition(":")
    return video_backends.get(name)(argument)
