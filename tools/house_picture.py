"""The picture of the house: one storey for each layer of the import order in ``pyproject.toml``."""

from __future__ import annotations

import tomllib
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WHAT = {
    "cli": "palate COMMAND",
    "serving": "HTTP API, page, events, index, stages, explanations",
    "simulation": "shops whose truth is known",
    "evaluation": "tasks, compare, report, runs",
    "models": "a file for each named system: match, rank, rerank, tag, sequence, pretrain, generate",
    "generation": "prompts, backends, scores, checks of facts, composer of pictures",
    "training": "one loop, phases, checkpoints, fit, tune, saved runs",
    "contracts": "Model, Matcher, Ranker, Reranker, Tagger, Pretrainer, Generator, Task, Phase",
    "features": "encoders, the store of vectors, content of items",
    "metrics": "ranking, rating, impressions, diversity, bootstrap",
    "losses": "training objectives",
    "modules": "torch blocks: graphs, propagation, attention, towers",
    "batches": "pairs, examples, sequences, impressions, tokens",
    "data": "catalogue, events, schema, splits, views, readers",
    "ranking": "scorers, candidates, exact top-k",
    "core": "batches, features, registry, config, errors, files, seeds",
}
WIDTH, HEIGHT, GAP, LEFT = 860, 40, 8, 20
WALL, LINE, INK, SOFT = "#f6f3ec", "#b9a98a", "#2b2620", "#6b6052"


def layers() -> list[list[str]]:
    """Rooms by storey, the highest first, as the import check has them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    ordered = next(one for one in settings["tool"]["importlinter"]["contracts"] if one["type"] == "layers")
    return [[room.strip().removeprefix("palate.") for room in layer.split("|")] for layer in ordered["layers"]]


def render() -> str:
    """The picture as SVG."""
    storeys = layers()
    top = 70
    height = top + len(storeys) * (HEIGHT + GAP) + 40
    middle = LEFT + WIDTH / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH + 2 * LEFT + 40} {height}" role="img" '
        'font-family="system-ui, sans-serif">',
        "<title>Rooms of Palate, one storey for each layer; a room imports only from storeys below it</title>",
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<path d="M{LEFT - 8} {top - 6} L{middle} 14 L{LEFT + WIDTH + 8} {top - 6} Z" fill="{LINE}" opacity=".35"/>',
    ]
    for level, rooms in enumerate(storeys):
        y = top + level * (HEIGHT + GAP)
        width = (WIDTH - GAP * (len(rooms) - 1)) / len(rooms)
        for place, room in enumerate(rooms):
            parts += _room(LEFT + place * (width + GAP), y, width, room)
    bottom, arrow = top + len(storeys) * (HEIGHT + GAP) - GAP, LEFT + WIDTH + 22
    parts += [
        f'<path d="M{arrow} {top} V{bottom - 8}" stroke="{SOFT}" stroke-width="2"/>',
        f'<path d="M{arrow - 6} {bottom - 10} L{arrow} {bottom} L{arrow + 6} {bottom - 10} Z" fill="{SOFT}"/>',
        f'<text x="{LEFT}" y="{bottom + 26}" font-size="13" fill="{SOFT}">'
        "A room imports only from storeys below it; lint-imports checks every arrow.</text>",
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _room(x: float, y: float, width: float, name: str) -> list[str]:
    return [
        f'<rect x="{x:g}" y="{y}" width="{width:g}" height="{HEIGHT}" rx="4" fill="{WALL}" stroke="{LINE}"/>',
        f'<text x="{x + 14:g}" y="{y + 26}" font-size="15" font-weight="600" fill="{INK}">{escape(name)}</text>',
        f'<text x="{x + 118:g}" y="{y + 26}" font-size="13" fill="{SOFT}">{escape(WHAT[name])}</text>',
    ]
