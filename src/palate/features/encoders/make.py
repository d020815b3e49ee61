"""Encoders by specification: ``name``, ``name:argument``, ``name?key=value&key=value``."""

from __future__ import annotations

import inspect
from typing import Any, get_args, get_type_hints

from palate.core.encoder import Encoder, encoders
from palate.core.errors import ConfigError, did_you_mean

PARTS = ("tower", "pieces", "pixels", "mel")
"""Registered encoders that nobody names: parts of others, and inputs of networks that are pretrained."""


def make_encoder(spec: str, modality: str) -> Encoder:
    """Build an encoder from its specification.

    Examples: ``minilm``, ``tfidf?dim=256``, ``hf:openai/clip-vit-base-patch32?output=tokens``, ``pca:minilm?dim=64``.
    ``hf`` picks the tower of ``modality``; the argument of ``pca`` is another specification.

    Args:
        spec: specification.
        modality: that the encoder must read.

    Raises:
        ConfigError: for an unknown name, option or value, and for an encoder of another modality.
    """
    head, _, query = spec.partition("?")
    name, _, argument = head.partition(":")
    options = dict(part.partition("=")[::2] for part in query.split("&") if part)
    kind = _kind(f"hf_{modality}" if name == "hf" else name, modality)
    kwargs: dict[str, Any] = {key: _typed(kind, key, value, spec) for key, value in options.items()}
    if name == "pca":
        kwargs["of"] = make_encoder(argument, modality)
    elif argument:
        if "source" not in _arguments(kind):
            raise ConfigError(f"{name} takes no argument", key=spec, hint=f"options are written {name}?key=value")
        kwargs["source"] = argument
    elif "source" in _arguments(kind):
        raise ConfigError(f"{name} needs a path or hub id", key=spec, hint=f"{name}:<path or hub id>")
    encoder = kind(**kwargs)
    if encoder.modality != modality:
        raise ConfigError(f"reads {encoder.modality}, not {modality}", key=spec)
    return encoder


def _kind(name: str, modality: str) -> type[Encoder]:
    try:
        return encoders.get(name)
    except ConfigError as error:
        known = [one for one, kind in encoders.items() if getattr(kind, "modality", modality) == modality]
        readers = [one for one in known if not one.startswith("hf_") and one not in PARTS]
        listed = ", ".join(readers)
        rest = "hf:PATH for a transformers checkpoint, or a folder that palate pretrain wrote"
        near = did_you_mean(name, readers)
        hint = near if near.startswith("did you mean") else f"{listed}, {rest}"
        raise ConfigError(f"unknown encoder of {modality}", key=name, hint=hint) from error


def _arguments(kind: type[Encoder]) -> dict[str, Any]:
    names = list(inspect.signature(kind).parameters)
    hints = get_type_hints(kind.__init__)
    return {name: hints.get(name, str) for name in names}


def _typed(kind: type[Encoder], key: str, value: str, spec: str) -> Any:
    known = _arguments(kind)
    if key not in known or key in ("source", "of"):
        raise ConfigError(f"no such option in {spec!r}", key=key, hint=did_you_mean(key, known) if known else None)
    hint = known[key]
    choices = [choice for choice in get_args(hint) if isinstance(choice, type) and choice is not type(None)]
    target = choices[0] if choices else hint
    if target is bool:
        if value.lower() not in ("true", "false", "1", "0", "yes", "no"):
            raise ConfigError(f"true or false expected, not {value!r}", key=key)
        return value.lower() in ("true", "1", "yes")
    if target in (int, float):
        try:
            return target(value)
        except ValueError as error:
            raise ConfigError(f"{target.__name__} expected, not {value!r}", key=key) from error
    return value
