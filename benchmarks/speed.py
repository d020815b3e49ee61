"""Speed and memory in one run: each part in a process of its own, beside its bound or a public system.

    python benchmarks/speed.py [--only "NAME;NAME" | --resume] [--peers FILE]

Writes results/speed.json and speed.md after every part: a run that was cut short goes on with --resume. Seconds are
medians; ``cpu`` is the process's own time, which a busy machine touches less than ``wall``. Parts on one thread are
compared by cpu, parts on two by wall.

``--peers`` adds timings of other systems, taken on the same machine, and keeps them: a list of {system, part, threads,
clock: cpu | wall, epoch, evaluate, fit, recommend (seconds, those there are), version, note}; ``part`` as in this file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from _common import RESULTS, keep

STATED = [
    # public MMRec as stated with the project's targets: two idle cores for Baby, one thread for TikTok
    {"part": "lightgcn baby, 2 threads", "threads": 2, "epoch": 5.2, "evaluate": 2.8},
    {"part": "lightgcn tiktok", "threads": 1, "epoch": 1.4, "evaluate": 0.5},
    {"part": "freedom tiktok", "threads": 1, "epoch": 1.4, "evaluate": 0.44},
    {"part": "bm3 tiktok", "threads": 1, "epoch": 1.7, "evaluate": 0.43},
    {"part": "lgmrec tiktok", "threads": 1, "epoch": 13.0, "evaluate": 0.47},
]
TARGETS = [
    # part, its ratio or the other system and what is compared, bound
    ("propagation baby", "share", "at least", 0.6),
    ("ranking", "ratio", "at most", 2.2),
    ("lightgcn baby, 2 threads", "MMRec epoch", "at most", 1 / 5),
    ("lightgcn baby, 2 threads", "MMRec evaluate", "at most", 1 / 4),
    ("bpr baby", "cornac epoch", "at most", 1 / 2),
    ("ease baby", "cornac fit", "at most", 1 / 2),
    ("item_knn baby k20", "implicit all", "at most", 1.0),
    ("item_knn baby k100", "implicit all", "at most", 1.0),
    ("blend baby", "seconds", "at most", 180.0),
]
STEPS = ("epoch", "evaluate", "fit", "recommend")
WHOLE = ("fit", "recommend")


def child(name: str) -> None:
    """Measure one part in this process and print it as the last line."""
    import torch

    from _speed_parts import PARTS
    from palate.core.progress import set_mode
    from palate.evaluation.memory import peak

    set_mode("plain")
    torch.set_num_threads(PARTS[name].threads)
    before = peak()
    found = PARTS[name].run(**PARTS[name].options)
    found |= {"threads": PARTS[name].threads, "peak MiB": peak() / 2**20, "imports MiB": before / 2**20}
    print(json.dumps(found))


def measure(name: str, threads: int) -> dict[str, Any]:
    """The part ``name`` in a fresh process; what went wrong under ``error``."""
    env = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    load = os.getloadavg()[0]
    done = subprocess.run([sys.executable, __file__, "--part", name], env=env, capture_output=True, text=True)
    lines = done.stdout.strip().splitlines()
    found: dict[str, Any] = (
        {"error": done.stderr.strip().splitlines()[-1:]} if done.returncode else json.loads(lines[-1])
    )
    return found | {"load before": load}


def compared(parts: dict[str, Any], peers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ours / theirs for every step both have."""
    rows = []
    for peer in peers:
        ours = parts.get(peer["part"], {})
        spent: dict[str, tuple[float, float]] = {}
        for step in STEPS:
            if step in peer and step in ours:
                clock = peer.get("clock", "wall" if ours["threads"] > 1 else "cpu")
                own = ours[step][clock]
                who = {key: peer[key] for key in ("system", "part", "source")}
                rows.append(
                    {**who, "step": step, "clock": clock, "ours": own, "theirs": peer[step], "ratio": own / peer[step]}
                )
                spent[step] = (own, peer[step])
        if all(step in spent for step in WHOLE):
            own, other = (sum(column) for column in zip(*(spent[step] for step in WHOLE)))
            rows.append({**rows[-1], "step": "all", "ours": own, "theirs": other, "ratio": own / other})
    return rows


def judged(parts: dict[str, Any], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every target with its value; a peer measured here counts before a stated figure."""
    out = []
    for part, what, sense, bound in TARGETS:
        if " " in what:
            system, step = what.split()
            fit = [r for r in rows if (r["part"], r["system"], r["step"]) == (part, system, step)]
            fit.sort(key=lambda row: row["source"] == "stated")
            value = fit[0]["ratio"] if fit else None
        else:
            value = parts.get(part, {}).get(what)
        met = None if value is None else (value >= bound if sense == "at least" else value <= bound)
        out.append({"part": part, "what": what, sense: bound, "value": value, "met": met})
    return out


def assemble(parts: dict[str, Any], peers: list[dict[str, Any]]) -> dict[str, Any]:
    stated = [{"system": "MMRec", "source": "stated", **row} for row in STATED]
    rows = compared(parts, stated + [{"source": "measured here", **row} for row in peers])
    return {
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "targets": judged(parts, rows),
        "against": rows,
        "parts": parts,
        "peers": peers,
    }


def markdown(result: dict[str, Any]) -> str:
    """Tables for people."""
    lines = ["# Speed and memory", "", "| target | wanted | measured | met |", "|---|---|---|---|"]
    for row in result["targets"]:
        sense = "at least" if "at least" in row else "at most"
        value = "-" if row["value"] is None else f"{row['value']:.3g}"
        lines.append(f"| {row['part']}: {row['what']} | {sense} {row[sense]:.3g} | {value} | {row['met']} |")
    lines += ["", "| part | step | cpu s | wall s | threads | peak MiB |", "|---|---|---|---|---|---|"]
    for name, part in result["parts"].items():
        for step in STEPS:
            if step in part:
                spent = f"{part[step]['cpu']:.4g} | {part[step]['wall']:.4g}"
                lines.append(f"| {name} | {step} | {spent} | {part['threads']} | {part['peak MiB']:.0f} |")
    lines += ["", "| part | step | ours s | theirs s | ratio | system |", "|---|---|---|---|---|---|"]
    for row in result["against"]:
        seconds = f"{row['ours']:.4g} | {row['theirs']:.4g} | {row['ratio']:.3g}"
        lines.append(
            f"| {row['part']} | {row['step']} ({row['clock']}) | {seconds} | {row['system']}, {row['source']} |"
        )
    return "\n".join([*lines, ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=None, help="parts to measure; the others stay as they are")
    parser.add_argument("--resume", action="store_true", help="measure what is missing")
    parser.add_argument("--peers", type=Path, default=None)
    parser.add_argument("--part", default=None, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        child(args.part)
        return 0
    from _speed_parts import PARTS

    file = RESULTS / "speed.json"
    old = json.loads(file.read_text()) if file.is_file() else {}
    peers = json.loads(args.peers.read_text()) if args.peers else old.get("peers", [])
    parts = old.get("parts", {}) if args.only is not None or args.resume else {}
    parts = {name: part for name, part in parts.items() if name in PARTS and "error" not in part}
    wanted = args.only.split(";") if args.only else [] if args.only == "" else list(PARTS)
    for name in wanted:
        if args.resume and name in parts:
            continue
        parts[name] = measure(name, PARTS[name].threads)
        print(name, json.dumps(parts[name]), flush=True)
        result = assemble({key: parts[key] for key in PARTS if key in parts}, peers)
        keep("speed", result, markdown(result))
    result = assemble({key: parts[key] for key in PARTS if key in parts}, peers)
    keep("speed", result, markdown(result))
    print(json.dumps(result["targets"], indent=1))
    return int(any("error" in part for part in parts.values()))


if __name__ == "__main__":
    sys.exit(main())
