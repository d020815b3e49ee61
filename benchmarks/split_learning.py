"""Storage and communication of split learning over pictures (AMS of DICM), measured on its real processes.

    python benchmarks/split_learning.py [--steps 20] [--servers 1 2 4]

One world of the preset ``ads``; DICM with attentive pooling by two queries over vectors of EfficientNet-Lite0 (1280
numbers a picture), batches of 256 clicks with four items beside each. ``store-in-worker``: every row of a batch carries
its pictures. ``store-in-server``: the worker fetches each picture of a batch once. ``AMS``: it fetches embeddings and
returns their gradients; servers exchange gradients of the embedding network. Bytes of the first two are counted from
the same batches, those of AMS are what went through the pipes. Losses are compared with training in one process.
Written: ``results/split_learning.*``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from _common import WORK, keep
from ctr_points_pictures import COMMON, PLANS, world
from palate.contracts.parse import parse_model
from palate.core.batch import ImpressionBatch
from palate.core.context import RunContext
from palate.core.progress import set_mode
from palate.core.seeding import seed_torch
from palate.evaluation.runs import command_line
from palate.features.plan import plan_content
from palate.models.rank.dicm import DICM
from palate.training.saving import versions
from palate.training.split_learning import PictureServers

SEED, LR, DECAY = 41, 0.003, 0.1


def prepared(steps: int) -> tuple[DICM, list[ImpressionBatch]]:
    """An untrained model and its first batches."""
    data = world(SEED)
    plan = dict.fromkeys(data.items.modalities, "none") | PLANS["vectors"]
    plan.pop("image")
    content = plan_content(data, plan, WORK / "store" / "ctr_points_pictures")
    view = content.view(data.select_view(), data)
    model = parse_model(f"dicm:dropout=0;{COMMON}")
    if not isinstance(model, DICM):
        raise TypeError(f"dicm was expected, not {model.name}")
    seed_torch(0, "init", model.name)
    model.setup(view, RunContext())
    source = model.batches(view, RunContext())
    order = np.random.default_rng(0).permutation(len(source))
    batches = [order[start : start + 256] for start in range(0, len(order) - 255, 256)]
    return model, [source.collate(batches[i % len(batches)], np.random.default_rng(i)) for i in range(steps)]


def joint(steps: int) -> tuple[list[float], float]:
    """Losses and seconds a step of one process."""
    model, batches = prepared(steps)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=LR, weight_decay=DECAY)
    losses, started = [], time.process_time()
    for batch in batches:
        optimizer.zero_grad()
        loss = model.loss(batch)["loss"]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, (time.process_time() - started) / steps


def split(steps: int, servers: int) -> dict[str, Any]:
    """Losses, bytes a step and bytes stored with some servers."""
    model, batches = prepared(steps)
    reader = model.reader
    if reader is None or reader.values is None:
        raise TypeError("the world has no pictures")
    own = {id(p) for p in reader.parameters()}
    rest = [p for p in model.parameters() if p.requires_grad and id(p) not in own]
    optimizer = torch.optim.AdamW(rest, lr=LR, weight_decay=DECAY)
    losses, started = [], time.process_time()
    with (
        tempfile.TemporaryDirectory() as folder,
        PictureServers(reader, Path(folder), servers, LR, DECAY) as cluster,
    ):
        # the rest of the model reads embeddings from the servers
        model.pictures_of = cluster.embed  # type: ignore[method-assign]
        for batch in batches:
            optimizer.zero_grad()
            loss = model.loss(batch)["loss"]
            loss.backward()
            optimizer.step()
            cluster.step()
            losses.append(loss.item())
        stored = cluster.shard_bytes()
    return {
        "losses": losses, "worker_cpu_seconds": (time.process_time() - started) / steps, "server_bytes": stored,
        **{name: count / steps for name, count in asdict(cluster.traffic).items()},
    }  # fmt: skip


def counted(steps: int) -> dict[str, float]:
    """Bytes a batch where pictures are in its rows, or are fetched once each."""
    model, batches = prepared(steps)
    reader = model.reader
    if reader is None or reader.values is None:
        raise TypeError("the world has no pictures")
    size = reader.values[0].numel() * reader.values.element_size()
    shown, unique = 0, 0
    for batch in batches:
        history = batch.padded_history(model.config.longest)[batch.groups]
        rows = torch.cat([batch.items, history.flatten()])
        rows = rows[reader.there(rows)]
        shown, unique = shown + len(rows), unique + len(rows.unique())
    return {"in rows": shown * size / steps, "fetched": unique * size / steps, "catalogue": reader.values.numel() * 4}


def table(result: dict[str, Any]) -> str:
    """The results for people."""
    bytes_, runs = result["counted"], result["servers"]
    lines = [
        "# Split learning over pictures", "",
        f"`{result['command']}`; {result['steps']} steps of 256 clicks, world {SEED} of the preset `ads`, "
        f"E has {result['weights']:,} weights. KB a step unless said otherwise.", "",
        "| strategy | worker stores | largest server stores | embeddings or pictures sent | gradients of E | "
        "largest difference of a loss from one process |",
        "|---" * 6 + "|",
        f"| store-in-worker | {bytes_['in rows'] / 1e3:,.0f} | 0 | 0 | - | - |",
        f"| store-in-server | 0 | {bytes_['catalogue'] / 1e3:,.0f} (all) | {bytes_['fetched'] / 1e3:,.0f} | - | - |",
    ]  # fmt: skip
    for count, run in runs.items():
        sent = (run["rows"] + run["embeddings"] + run["gradients"]) / 1e3
        lines.append(
            f"| AMS, {count} server{'s' * (count != '1')} | 0 | {run['server_bytes'] / 1e3:,.0f} (all) | {sent:,.1f} | "
            f"{run['weights'] / 1e3:,.0f} | {run['difference']:.1e} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--servers", type=int, nargs="+", default=[1, 2, 4])
    args = parser.parse_args()
    set_mode("plain")
    losses, seconds = joint(args.steps)
    runs: dict[str, Any] = {}
    for count in args.servers:
        run = split(args.steps, count)
        run["difference"] = float(np.abs(np.subtract(run.pop("losses"), losses)).max())
        runs[str(count)] = run
    model, _ = prepared(1)
    weights = 0 if model.reader is None else sum(p.numel() for p in model.reader.parameters())
    result = {
        "steps": args.steps, "world": world(SEED).hash, "weights": weights, "counted": counted(args.steps),
        "joint_cpu_seconds": seconds, "servers": runs, "versions": versions(), "command": command_line(),
    }  # fmt: skip
    keep("split_learning", result, table(result))


if __name__ == "__main__":
    main()
