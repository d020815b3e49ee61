"""Evidence as a sentence: what was computed and read, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .wishes import Reasons

SENSES = {
    "text": "its words",
    "image": "its picture",
    "audio": "its sound",
    "video": "its video",
    "attributes": "its attributes",
}


def in_words(found: Reasons) -> Reasons:
    """The same with ``words``."""
    parts = []
    named = [title for _, title, share in found.liked[:2] if share >= 0.1]
    if named:
        parts.append(f"because you liked {_listed(named)}")
    if found.attributes:
        parts.append("shares " + _listed([f"{column} {value!r}" for column, value, _ in found.attributes[:2]]))
    shares = [(SENSES.get(name, name), share) for name, share in found.modalities if share > 0]
    if found.behaviour:
        shares.append(("what others did with it", found.behaviour))
    if shares:
        shares.sort(key=lambda part: -part[1])
        parts.append("carried by " + _listed([f"{name} ({share:.0%})" for name, share in shares[:3]]))
    text = "; ".join(parts)
    return replace(found, words=text[:1].upper() + text[1:] if text else "Nothing that is known of you speaks for it")


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
