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


def _sessions(found: Mapping[str, Any]) -> str:
    by = found["conditions"]
    names = ("person alone", "machine alone", "guidance, selection, post-editing")
    each = [f"{one} {np.mean(by[one]['quality']['by seed']):.2f}" for one in names]
    saved = by["person alone"]["seconds"]
    interval = f"{saved['difference']:.0f} [{saved['low']:.0f}, {saved['high']:.0f}]"
    return f"quality: {', '.join(each)}; a person alone needs {interval} seconds more"


def _garments(found: Mapping[str, Any]) -> str:
    read = {one["pictures"]: one["kind read"] for one in found["rows"]}
    best = max((name for name in read if name.startswith("drawn")), key=lambda name: read[name])
    each = [f"{name} {read[name]:.2f}" for name in ("real test photos", best, "noise")]
    return f"kind of garment read by a classifier: {', '.join(each)}"


def _latency(found: Mapping[str, Any]) -> str:
    each = [
        f"{kind} {of['processor']['p99']:.0f}"
        for run in found.values()
        if isinstance(run, dict)
        for kind, of in run.get("kinds", {}).items()
    ]
    return f"milliseconds of processor time, p99: {', '.join(each)}"


def _explanations(found: Mapping[str, Any]) -> str:
    rows = found["all"]["rows"]
    ours = next((name for name in rows if name.startswith("ours")), "network")
    each = [
        f"{name} {rows[name]['bertscore']:.3f}, {rows[name]['rougeL']:.3f}, {rows[name]['usr']:.2f}"
        for name in ("published", ours)
    ]
    return f"BERTScore (MiniLM), ROUGE-L, unique sentences: {'; '.join(each)}"


def _profiles(found: Mapping[str, Any]) -> str:
    told = []
    for task, of in next(iter(found["readers"].values())).items():
        rows = of["rows"]
        most = max((name for name in rows if name.startswith("bm25")), key=lambda name: int(name.split("= ")[1]))
        means = f"no profile {rows['no profile']['mean']:.3f}, {most} {rows[most]['mean']:.3f}"
        told.append(f"{task}: {means}, better by {_gain(rows[most])}")
    return "; ".join(told)


def _tastes(found: Mapping[str, Any]) -> str:
    at = found["equal d_t"][-1]
    each = [f"{name} {at[f'd_p of {name}']:.3f}" for name in ("Textual Inversion", "PMG, keywords alone", "PMG")]
    above = at["PMG, above Textual Inversion"]
    return f"favourites read at d_t {at['d_t']:.2f}: {', '.join(each)}; PMG above Textual Inversion {above}"


def _enhanced(found: Mapping[str, Any]) -> str:
    told = []
    for part, name in ENHANCED.items():
        gain = found["parts"][part][name]["gain in hit@10"]
        told.append(f"{part} ({name}) {_gain(gain, 'difference')}")
    return f"gain in hit@10 over tf-idf of plots: {'; '.join(told)}"


ENHANCED = {
    "features": "tf-idf of plots + probabilities of genres by the language model",
    "encoder": "tf-idf of plots + language model, last layer",
    "scorer": "pointwise, weight 0.5",
    "controller": "action by language model with examples",
}
"""Part of the benchmark -> the arm with a language model that the table names."""
SOURCES: tuple[tuple[str, str, str, Callable[[Mapping[str, Any]], str]], ...] = (
    ("gcof", "copywriting", "Genetic search finds copies that are clicked more than those of random search", _copies),
    ("clarifying_questions", "clarify", "The most useful facet needs fewer questions than one at random", _questions),
    ("song_reasons", "song_reasons", "Reranking by song and listener makes reasons suit both", _reasons),
    ("template", "truth", "The check of facts catches what is false and lets pass what is true", _truth),
    ("template, creative", "generation_latency", "Without a model, content is there in time", _latency),
    ("co_creation", "co_creation", "With proposals people write as well in less time", _sessions),
    ("lamp", "lamp", "Entries of the user's profile lift personal tasks", _profiles),
    ("explanations", "xrec-amazon", "Explanations beside those of a published system", _explanations),
    ("explanations", "xrec-yelp", "The same on Yelp", _explanations),
    ("a language model beside a recommender", "enhance", "SmolLM2 helps a recommender of films", _enhanced),
    ("pmg, textual_inversion", "drawing_shop", "Preference tokens make pictures personal", _tastes),
    ("latent_diffusion", "drawing_clothing", "Pictures of garments are recognised", _garments),
)
"""System, result file, claim, and what the file says of it."""
