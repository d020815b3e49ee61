"""Generators whose points other benchmarks measured: the figures of their result files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from _common import RESULTS
from palate.core.files import read_json


def elsewhere() -> list[dict[str, str]]:
    """One row a system: its claim, the figures, and the table that they stand in."""
    rows = []
    for system, file, claim, told in SOURCES:
        found = RESULTS / f"{file}.json"
        figures = told(read_json(found)) if found.is_file() else "not measured"
        rows.append({"system": system, "claim": claim, "figures": figures, "file": file})
    return rows


def _gain(found: Mapping[str, Any], name: str = "gain") -> str:
    return f"{found[name]:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]"


def _copies(found: Mapping[str, Any]) -> str:
    arms = found["arms"]
    rates = [f"{name} {np.mean(arms[name]['by world']):.3f}" for name in ("GCOF", "random search", "no crossover")]
    return f"true click-through rate: {', '.join(rates)}; over random search {_gain(arms['random search'])}"


def _questions(found: Mapping[str, Any]) -> str:
    arms = found["answers"]["right"]
    names = ("most useful", "random column, best values")
    each = [f"{name} {np.mean(arms[name]['by seed']):.2f}" for name in names]
    return f"questions until the film is found: {', '.join(each)}; saved {_gain(arms[names[1]], 'saved')}"


def _reasons(found: Mapping[str, Any]) -> str:
    arms = found["arms"]
    each = [f"{name} {arms[name]['both']:.3f}" for name in ("whole", "not reranked")]
    return f"suits song and listener: {', '.join(each)}; gain {_gain(arms['not reranked'])}"


def _truth(found: Mapping[str, Any]) -> str:
    held = found["held_out"]["all"]
    return f"caught {held['caught']['share']:.3f}, false alarms {held['false_alarms']['share']:.3f} of held-out forms"


def _table(found: Mapping[str, Any]) -> str:
    return "measured; the figures stand in the table"


SOURCES: tuple[tuple[str, str, str, Callable[[Mapping[str, Any]], str]], ...] = (
    ("gcof", "copywriting", "Genetic search finds copies that are clicked more than those of random search", _copies),
    ("clarifying_questions", "clarify", "The most useful facet needs fewer questions than one at random", _questions),
    ("song_reasons", "song_reasons", "Reranking by song and listener makes reasons suit both", _reasons),
    ("template", "truth", "The check of facts catches what is false and lets pass what is true", _truth),
    ("template, creative", "generation_latency", "Without a model, content is there in time", _table),
    ("co_creation", "co_creation", "With proposals people write as well in less time", _table),
    ("lamp", "lamp", "Entries of the user's profile lift personal tasks", _table),
    ("explanations", "xrec", "Explanations beside those of a published system", _table),
    ("pmg, textual_inversion", "drawing_shop", "Preference tokens make pictures personal", _table),
    ("latent_diffusion", "drawing_clothing", "Pictures of garments are recognised", _table),
)
"""System, result file, claim, and what the file says of it."""
