"""Speed of SmolLM2-135M-Instruct: threads, a shared prefix read once, speculation by lookup, constraints, memory.

The machine may be shared, so each round runs all ways one after another, and ratios are taken within a round; beside
the wall clock stands processor time, which others' work hardly changes.

    python benchmarks/decoding.py --rounds 3 --tokens 32
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

import _common
from palate.contracts import Constraint, Prompt, Sampling
from palate.evaluation.runs import command_line
from palate.generation.backends.transformers import TransformersBackend
from palate.generation.decoding.sessions import CausalModel
from palate.generation.registries import text_backend
from palate.training.saving import versions

FILMS = [
    "Alien (1979). Science fiction, horror. Directed by Ridley Scott. The crew of the freighter Nostromo is hunted.",
    "Blade Runner (1982). Science fiction. Directed by Ridley Scott. A blade runner hunts four replicants.",
    "The Thing (1982). Horror. Directed by John Carpenter. Researchers in Antarctica meet a being of any shape.",
    "Fargo (1996). Crime, comedy. Directed by Joel Coen. A car salesman has his own wife kidnapped for the ransom.",
]
INSTRUCTION = (
    "You write for a page that recommends films. Repeat the facts of the film in one sentence, with its title, year, "
    "genre and director, exactly as they stand there. Use no fact that does not stand there."
)


class NoReuse(CausalModel):
    """The same model without kept or shared caches."""

    def read_one(self, ids: Any) -> tuple[torch.Tensor, Any]:
        self._prefix, self._prefix_cache = [], None
        return super().read_one(ids)

    def read(self, rows: Any, keep: int) -> tuple[torch.Tensor, Any, torch.Tensor]:
        cache, longest = self.new_cache(), max(map(len, rows))
        ids = torch.tensor([[0] * (longest - len(row)) + list(row) for row in rows])
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
        return self.forward(ids, cache, mask, keep), cache, mask


def main() -> None:
    """Measure and write results/decoding.json and .md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=32)
    given = parser.parse_args()
    before = _resident()
    plain = text_backend("smollm2")
    assert isinstance(plain, TransformersBackend)
    loaded = _resident()
    lookup = TransformersBackend(plain.local, draft="lookup")
    prompts = [Prompt(INSTRUCTION, {"film": film}) for film in FILMS]
    greedy, reading = Sampling(given.tokens), Sampling(1)
    # the constraint allows every text, so that what it costs is seen on the same tokens
    guided = Sampling(given.tokens, constraint=Constraint(regex=r"(.|\n)*"))

    def reuse(on: bool) -> Callable[[], int]:
        def run() -> int:
            plain.local.causal = CausalModel(plain.local.model) if on else NoReuse(plain.local.model)
            plain.complete(prompts, reading, seed=0)
            return plain.local.causal.tokens_read

        return run

    def answers(backend: TransformersBackend, threads: int, sampling: Sampling = greedy) -> Callable[[], int]:
        def run() -> int:
            torch.set_num_threads(threads)
            plain.local.causal = CausalModel(plain.local.model)
            try:
                return sum(answer.tokens_out for answer in backend.complete(prompts[:1], sampling, seed=0))
            finally:
                torch.set_num_threads(1)

        return run

    torch.set_num_threads(1)
    ways = {
        "one thread": answers(plain, 1),
        "two threads": answers(plain, 2),
        "one thread, lookup": answers(lookup, 1),
        "two threads, lookup": answers(lookup, 2),
        "one thread, constraint": answers(plain, 1, guided),
        "four prompts read whole": reuse(False),
        "four prompts, shared prefix read once": reuse(True),
    }
    # what is made at first use is not timed
    for name in ("one thread", "one thread, constraint"):
        ways[name]()
    rounds = [{name: _timed(way) for name, way in ways.items()} for _ in range(given.rounds)]
    same = lookup.complete(prompts[:1], greedy, seed=0)[0].text == plain.complete(prompts[:1], greedy, seed=0)[0].text
    result = {
        "model": plain.name, "version": plain.version, "tokens": given.tokens, "rounds": rounds,
        "lookup gives the same greedy answer": same,
        "resident memory, MiB": {"before": before, "model loaded": loaded, "peak": _peak()},
        "ratios": _ratios(rounds), "versions": versions(), "command": command_line(),
    }  # fmt: skip
    _common.keep("decoding", result, _table(result, list(ways)))


def _timed(way: Callable[[], int]) -> dict[str, float]:
    wall, processor = time.perf_counter(), time.process_time()
    tokens = way()
    return {"tokens": tokens, "wall": time.perf_counter() - wall, "processor": time.process_time() - processor}


def _ratios(rounds: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """How many times faster than its ablation each way is: median over rounds."""
    pairs = {
        "two threads": "one thread",
        "one thread, lookup": "one thread",
        "two threads, lookup": "two threads",
        "one thread, constraint": "one thread",
        "four prompts, shared prefix read once": "four prompts read whole",
    }
    return {
        way: {
            clock: statistics.median(each[base][clock] / each[way][clock] for each in rounds)
            for clock in ("wall", "processor")
        }
        for way, base in pairs.items()
    }


def _table(result: dict[str, Any], names: list[str]) -> str:
    rounds, memory, ratios = result["rounds"], result["resident memory, MiB"], result["ratios"]
    lines = [
        "# Speed of SmolLM2-135M-Instruct",
        "",
        f"`python benchmarks/decoding.py --rounds {len(rounds)} --tokens {result['tokens']}` on a shared machine "
        "of two cores, float32, greedy. Medians over rounds that run all ways one after another; ratios are taken "
        "within a round, against the way without. Tokens are those drawn, or those read for prompts.",
        "",
        "| way | tokens | tokens/s, wall | tokens/s, processor time | faster, wall | faster, processor time |",
        "|---|---|---|---|---|---|",
    ]
    for name in names:
        speed = {
            clock: statistics.median(each[name]["tokens"] / each[name][clock] for each in rounds)
            for clock in ("wall", "processor")
        }
        times = [f"{ratios[name][clock]:.2f}" if name in ratios else "" for clock in ("wall", "processor")]
        cells = [name, f"{rounds[0][name]['tokens']:.0f}", f"{speed['wall']:.1f}", f"{speed['processor']:.1f}", *times]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        f"Lookup gives the same greedy answer: {'yes' if result['lookup gives the same greedy answer'] else 'no'}. "
        f"Resident memory: {memory['before']:.0f} MiB before, {memory['model loaded']:.0f} MiB with the model, "
        f"{memory['peak']:.0f} MiB at the peak.",
        "",
    ]
    return "\n".join(lines)


def _resident() -> float:
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
