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
    """A gain with its interval, and Holm's p where several were compared."""
    corrected = f", p {found['p']:.2g}" if "p" in found else ""
    return f"{found[name]:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]{corrected}"


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
    more = [
        f"{saved['difference']:+.0f} [{saved['low']:+.0f}, {saved['high']:+.0f}] at {words}"
        for words, saved in (("19", by["person alone"]["seconds"]), ("40", by["person alone"]["seconds at 40"]))
    ]
    return f"quality: {', '.join(each)}; seconds that a person alone needs more: {', '.join(more)} words a minute"


def _garments(found: Mapping[str, Any]) -> str:
    read = {one["pictures"]: one["kind read"] for one in found["rows"]}
    # the guidance with several draws, not the best of the table
    drawn = f"drawn, guidance {found['arguments']['guidance']:g}"
    each = [f"{name} {read[name]:.2f}" for name in ("real test photos", drawn, "noise")]
    return f"kind of garment read by a classifier: {', '.join(each)}"


def _latency(found: Mapping[str, Any]) -> str:
    told = []
    for name, run in found.items():
        each = [f"{kind} {of['processor']['p99']:.0f} ({of['clock']['p99']:.0f})" for kind, of in run["kinds"].items()]
        told.append(f"{name}: {', '.join(each)}")
    return f"milliseconds at p99, of processor time (on the clock of a busy machine): {'; '.join(told)}"


def _explanations(found: Mapping[str, Any]) -> str:
    rows = found["all"]["rows"]
    ours = next((name for name in rows if name.startswith("ours")), "network")
    each = [
        f"{name} {rows[name]['bertscore']:.3f}, {rows[name]['rougeL']:.3f}, {rows[name]['usr']:.2f}"
        for name in ("published", ours)
    ]
    tests = found["all"]["against published"].get(ours, {})
    gains = [f"{name} {_gain(tests[key], 'difference')}" for key, name in METRICS.items() if key in tests]
    return f"BERTScore (MiniLM), ROUGE-L, unique texts: {'; '.join(each)}; gain in {', '.join(gains)}"


METRICS = {"bertscore": "BERTScore", "rougeL": "ROUGE-L"}
"""Of texts that are compared with those of the published system."""


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
    names = ("Textual Inversion", "PMG, keywords alone", "PMG")
    each = [f"{name} {at[f'd_p of {name}']:.3f}" for name in names]
    gains = [f"{name} {at[name]}" for name in (
        "PMG, keywords alone, above Textual Inversion", "PMG, above Textual Inversion",
        "PMG, above PMG, keywords alone")]  # fmt: skip
    return f"favourites read at d_t near {at['d_t asked for']:.2f}: {', '.join(each)}; {'; '.join(gains)}"


def _enhanced(found: Mapping[str, Any]) -> str:
    told = []
    for part, (name, metric) in ENHANCED.items():
        gain = found["parts"][part][name][f"gain in {metric}"]
        told.append(f"{part} ({name}), {metric.replace('mrr', 'MRR')} {_gain(gain, 'difference')}")
    return f"gains over tf-idf of plots: {'; '.join(told)}"


ENHANCED = {
    "features": ("tf-idf of plots + probabilities of genres by the language model", "hit@10"),
    "encoder": ("tf-idf of plots + language model, last layer", "hit@10"),
    # it orders the first 8 anew, so that hits among the first 10 cannot change
    "scorer": ("pointwise, weight 0.5", "mrr"),
    "controller": ("action by language model with examples", "hit@10"),
}
"""Part of the benchmark -> the arm with a language model that the table names, and its metric."""
SOURCES: tuple[tuple[str, str, str, Callable[[Mapping[str, Any]], str]], ...] = (
    ("gcof", "copywriting", "Genetic search finds copies that are clicked more than those of random search", _copies),
    ("clarifying_questions", "clarify", "The most useful facet needs fewer questions than one at random", _questions),
    ("song_reasons", "song_reasons", "Reranking by song and listener makes reasons suit both", _reasons),
    ("template", "truth", "The check of facts catches what is false and lets pass what is true", _truth),
    (
        "template, creative",
        "generation_latency",
        "At p99 an explanation takes 50 ms at most, a banner 150",
        _latency,
    ),
    ("co_creation", "co_creation", "Simulated people write better with proposals, and faster if slow alone", _sessions),
    ("lamp", "lamp", "Entries of the user's profile lift personal tasks", _profiles),
    ("explanations", "xrec-amazon", "Explanations beside those of a published system", _explanations),
    ("explanations", "xrec-yelp", "The same on Yelp", _explanations),
    ("a language model beside a recommender", "enhance", "SmolLM2 lifts a recommender of films", _enhanced),
    (
        "pmg, textual_inversion",
        "drawing_shop",
        "Keywords of taste make pictures personal, soft tokens more",
        _tastes,
    ),
    ("latent_diffusion", "drawing_clothing", "Pictures of garments are recognised", _garments),
)
"""System, result file, claim, and what the file says of it."""
