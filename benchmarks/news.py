"""News recommendation: every system on the simulated news world, and rankers without text on the sample of MIND.

    python benchmarks/news.py [--worlds 3] [--models nrms mm_rec ...] [--mind] [--table]

World: ``news`` with 600 articles and 500 readers, split by time, half of the articles new in the log; settings are the
same for all (width 32, 15 articles of history, 4 epochs at most, chosen by validation; FIM, which costs most, has 8
articles and 3 epochs), none is tuned. A cell is a fit
and one opening of test; cells are kept under PALATE_WORK, so that a stopped run goes on. A difference is the mean over
worlds of a paired difference of impressions; its error is that of the worlds (t test over worlds), since impressions of
one fit are not independent of its seed. MIND sample: popularity and rankers that read ids alone. Written:
``results/news.*``.
"""

from __future__ import annotations

import argparse
import time
from functools import cache
from typing import Any

import numpy as np
from scipy.stats import ttest_1samp

import palate
from _common import WORK, keep, real
from palate.contracts.parse import parse_model
from palate.core.files import read_json, write_json
from palate.core.progress import set_mode, track
from palate.data.dataset import Dataset
from palate.evaluation.evaluate import evaluate
from palate.evaluation.runs import command_line
from palate.features.plan import ContentPlan, plan_content
from palate.metrics.bootstrap import holm
from palate.metrics.impressions import grouped_metrics
from palate.simulation.world import World
from palate.training.fit import fit
from palate.training.saving import versions

SAME = "longest=15;epochs=4;patience=2;lr=0.005;title_words=10;body_words=20"
MODELS = {
    "EBNR": "ebnr", "DKN": "dkn", "DAN": "dan", "NAML": "naml", "NRMS": "nrms", "GERL": "gerl",
    "FIM": "fim:longest=8;epochs=3",
    "PLM-NR": "plm_nr", "IMRec": "imrec", "MM-Rec": "mm_rec",
    "EBNR, no autoencoder": "ebnr:autoencoder=0;triplet=0", "DKN, no entities": "dkn:entities=false",
    "DAN, no sequence": "dan:sequence=false", "NAML, mean of views": "naml:view_attention=false",
    "NRMS, no self-attention": "nrms:self_attention=false", "GERL, no neighbours": "gerl:neighbours=0",
    "FIM, words alone": "fim:longest=8;epochs=3;levels=0", "PLM-NR, no language": "plm_nr:language_epochs=0",
    "IMRec, no card": "imrec:whole=false", "IMRec, no words seen": "imrec:local=false",
    "MM-Rec, not crossmodal": "mm_rec:crossmodal=false", "MM-Rec, text": "mm_rec:pictures=false",
    "ids": "nrms:views=[id]",
}  # fmt: skip
"""Name -> model."""
METRICS = ("group_auc", "mrr", "ndcg@5", "ndcg@10")
PICTURES = {"mm_rec": {"image": "efficientnet_lite0?output=map"}}
BASE = "NRMS"
MIND = {"DIN, ids": "din:fields=user,item;content=false", "DIN, ids, no counters": "din:fields=user,item;content=false;"
        "counters=none", "NRMS, ids": "nrms:views=[id]"}  # fmt: skip


@cache
def world(seed: int) -> Dataset:
    folder = WORK / "news" / f"world-{seed}"
    if not (folder / "world.json").is_file():
        World.make("news", seed=seed, n_items=600, n_users=500).write(folder)
    return palate.load(folder)


def plan(model: str, data: Dataset) -> ContentPlan:
    """Pictures as maps for systems that read them by the content plan; the others read titles and columns."""
    asked = PICTURES.get(model.partition(":")[0])
    store = WORK / "news" / "store"
    return plan_content(data, asked, store) if asked else plan_content(data, None, store).empty()


def cell(name: str, seed: int) -> dict[str, Any]:
    """One fit and its judgement, made once."""
    file = WORK / "news" / f"{name.replace(',', '').replace(' ', '-')}-{seed}.json"
    if not file.is_file():
        model, _, changes = MODELS[name].partition(":")
        settings = dict(part.split("=") for part in (*SAME.split(";"), *filter(None, changes.split(";"))))
        longer = ";".join(f"{key}={value}" for key, value in settings.items())
        started = time.process_time()
        data = world(seed)
        fitted = fit(parse_model(f"{model}:{longer}"), data, seed=seed, content=plan(model, data))
        seconds = time.process_time() - started
        judged = evaluate(fitted, data)
        log = fitted.deployment.log  # type: ignore[attr-defined]
        units = {metric: judged.per_unit[metric].tolist() for metric in METRICS}
        write_json(file, {"units": units, "valid": log.valid, "epochs": len(log.history), "cpu_seconds": seconds})
    return read_json(file)


def means(cells: list[dict[str, Any]], metric: str) -> list[float]:
    return [float(np.nanmean(np.asarray(one["units"][metric], float))) for one in cells]


def popularity(data: Dataset) -> dict[str, float]:
    """Clicks in training as the score."""
    view, questions = data.select_view(), data.test_events()
    counts = np.bincount(view.events.item[view.events.label > 0], minlength=data.n_items)
    found = grouped_metrics(questions.events.label > 0, counts[questions.events.item].astype(float), questions.groups)
    return {metric: float(np.nanmean(found[metric])) for metric in METRICS}


def study(models: list[str], worlds: int) -> dict[str, Any]:
    """Fit what is missing, then compare everything that is there."""
    for seed in range(1, worlds + 1):
        for name in track(models, f"world {seed}"):
            cell(name, seed)
    seeds = [seed for seed in range(1, worlds + 1) if (WORK / "news" / f"{BASE}-{seed}.json").is_file()]
    made = {
        name: [cell(name, seed) for seed in seeds]
        for name in MODELS
        if all((WORK / "news" / f"{name.replace(',', '').replace(' ', '-')}-{seed}.json").is_file() for seed in seeds)
    }
    rows = {name: {metric: means(cells, metric) for metric in METRICS} for name, cells in made.items()}
    for name, cells in made.items():
        rows[name] |= {key: [one[key] for one in cells] for key in ("valid", "epochs", "cpu_seconds")}
    pairs = [(name, BASE) for name in made if name != BASE and "," not in name]
    pairs += [(name.partition(",")[0], name) for name in made if "," in name]
    tests, values = {}, []
    for first, second in pairs:
        if first not in made or len(seeds) < 2:
            continue
        gaps = np.subtract(rows[first]["group_auc"], rows[second]["group_auc"])
        p = float(ttest_1samp(gaps, 0).pvalue)
        tests[f"{first} - {second}"] = {"differences": gaps.tolist(), "mean": float(gaps.mean()), "p_value": p}
        values.append(p)
    for one, adjusted in zip(tests.values(), holm(values) if values else ()):
        one["p_adjusted"] = float(adjusted)
    return {
        "worlds": {str(seed): world(seed).hash for seed in seeds}, "settings": SAME, "models": MODELS, "rows": rows,
        "popularity": {metric: [popularity(world(seed))[metric] for seed in seeds] for metric in METRICS},
        "tests": tests, "versions": versions(), "command": command_line(),
    }  # fmt: skip


def mind(seeds: int = 3) -> dict[str, Any]:
    """Rankers without text on the sample of MIND."""
    file = WORK / "news" / "mind.json"
    if not file.is_file():
        data = palate.load(real("mind-sample"))
        rows: dict[str, Any] = {"popularity": [popularity(data)]}
        for name, spec in MIND.items():
            rows[name] = []
            for seed in range(seeds):
                model = parse_model(spec).clone({"epochs": 3, "patience": 1})
                judged = evaluate(fit(model, data, seed=seed, content=plan_content(data).empty()), data)
                rows[name].append({metric: judged.metrics[metric] for metric in METRICS})
        write_json(file, {"rows": rows, "models": MIND, "hash": data.hash, "split": str(data.spec), "epochs": 3})
    return read_json(file)


def table(result: dict[str, Any]) -> str:
    """The results for people."""
    lines = [
        "# News recommendation", "",
        f"`{result['command']}`. The news world with seeds {', '.join(result['worlds'])}, 600 articles, 500 readers; "
        f"`{result['settings']}` for all, nothing tuned. Mean over worlds and standard deviation; better or worse by "
        "t tests over worlds, Holm's correction.", "",
        "| system | GAUC | MRR | NDCG@5 | NDCG@10 | CPU s |", "|---" * 6 + "|",
    ]  # fmt: skip
    everything = {"popularity": result["popularity"], **result["rows"]}
    for name, row in everything.items():
        cells = [f"{np.mean(row[m]):.4f} ± {np.std(row[m], ddof=1) if len(row[m]) > 1 else 0:.4f}" for m in METRICS]
        cost = f"{np.mean(row['cpu_seconds']):.0f}" if "cpu_seconds" in row else "-"
        lines.append(f"| {name} | {' | '.join(cells)} | {cost} |")
    lines += ["", "| GAUC of | by world | mean | p, Holm |", "|---" * 4 + "|"]
    for name, one in result["tests"].items():
        each = ", ".join(f"{gap:+.4f}" for gap in one["differences"])
        lines.append(f"| {name} | {each} | {one['mean']:+.4f} | {one['p_adjusted']:.2g} |")
    if "mind" in result:
        found = result["mind"]
        lines += [
            "", "## Sample of MIND", "",
            f"2,000 articles with text, 5,000 impressions, split {found['split']}; {found['epochs']} epochs at most.",
            "",
            "| ranker | GAUC | MRR | NDCG@5 | NDCG@10 |", "|---" * 5 + "|",
        ]  # fmt: skip
        for name, cells in found["rows"].items():
            each = [f"{np.mean([one[m] for one in cells]):.4f}" for m in METRICS]
            lines.append(f"| {name} | {' | '.join(each)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--worlds", type=int, default=3)
    parser.add_argument("--mind", action="store_true", help="also the sample of MIND")
    parser.add_argument("--table", action="store_true", help="only compare the cells that are there")
    args = parser.parse_args()
    set_mode("plain")
    (WORK / "news").mkdir(parents=True, exist_ok=True)
    result = study([] if args.table else args.models, args.worlds)
    if args.mind or (WORK / "news" / "mind.json").is_file():
        result["mind"] = mind()
    keep("news", result, table(result))


if __name__ == "__main__":
    main()
