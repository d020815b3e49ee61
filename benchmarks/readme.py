"""Write the result tables of README.md from the committed result files.

python benchmarks/readme.py
"""

from __future__ import annotations

from typing import Any

from _common import RESULTS, ROOT
from palate.core.files import read_json, write_text
from palate.evaluation.compare_report import p_text

START, END = "<!-- results -->", "<!-- /results -->"
TITLES = {
    "amazon-baby": "Amazon Baby, given split, graphs of neighbours only (no dense features)",
    "amazon-sports": "Amazon Sports, given split, graphs of neighbours only (no dense features)",
    "tiktok": "TikTok, given split, image and audio vectors",
}


ENCODERS = {
    "built-in": "tf-idf and colour descriptors",
    "untrained": "random projections of them",
    "pretrained": "`attribute_ridge`: ridge regression on them, attributes as labels",
    "minilm": "MiniLM and colour descriptors",
    "continued": "MiniLM trained further",
    "taught": "MiniLM and colour descriptors, taught attributes",
}
WAYS = {"lit": "heads taught by the same captions"}
LABELS = {
    "blend": "**blend** (default)",
    "content_kernel:media={image: 0.0}": "content_kernel without pictures",
    "content_kernel:features=[image]": "content_kernel, pictures alone",
    "popularity": "popularity (knows no new item: random)",
    "ease": "ease, ID-only (knows no new item: random)",
}


def movies() -> list[str]:
    """The item-cold table."""
    file = RESULTS / "movies.json"
    if not file.is_file():
        return []
    found = read_json(file)
    draws = len(found["seeds"])
    lines = [
        f"**New movies** ({draws} draws of 20 % unseen items, posters, plots and attributes, nothing fitted has seen "
        "them), capped recall@20:",
        "",
        "| model | mean | sd over draws |",
        "|---|---|---|",
    ]
    rows = sorted(found["table"], key=lambda row: -row["capped_recall@20"])
    for row in rows:
        score = f"{row['capped_recall@20']:.4f} | {row['capped_recall@20 sd']:.4f}"
        lines.append(f"| {LABELS.get(row['model'], row['model'])} | {score} |")
    for row in found.get("transductive", []):
        lines.append(f"| {row['model']}, content seen in fitting | {row['capped_recall@20']:.4f} | |")
    for row in (row for row in found.get("trained", []) if row["model"] != "popularity"):
        count = len(row["capped_recall@20 by seed"])
        score = f"{row['capped_recall@20']:.4f} | {row['capped_recall@20 sd']:.4f}"
        lines.append(f"| {row['model']}, {count} draws | {score} |")
    pictures = found.get("pictures")
    if pictures:
        lines += [
            "",
            f"With pictures minus without (content_kernel): {pictures['difference']:+.4f} "
            f"[{pictures['low']:+.4f}, {pictures['high']:+.4f}].",
        ]
    best = found.get("most liked new films")
    if best:
        lines += [
            "",
            "One list for everybody, of the new films that most people turn out to like (known only afterwards): "
            f"{sum(best) / len(best):.4f}. Much of these scores is to know which new films become popular.",
        ]
    return [*lines, ""]


def catalogue() -> list[str]:
    """Encoders that learnt from the movies themselves."""
    files = {split: RESULTS / f"catalogue-{split}.json" for split in ("inductive", "transductive")}
    found = {split: read_json(file) for split, file in files.items() if file.is_file()}
    if not found:
        return []
    first = next(iter(found.values()))
    lines = [
        f"**Encoders taught on the movies themselves**, plots and posters are read, {first['draws']} draws, "
        "capped recall@20 ([what is what](docs/pretraining.md)):",
        "",
        "| encoders | " + " | ".join(found) + " |",
        "|---" * (1 + len(found)) + "|",
    ]
    for name in first["by draw"]:
        means = [result["by draw"].get(name) for result in found.values()]
        cells = [f"{sum(mean) / len(mean):.4f}" if mean else "" for mean in means]
        lines.append(f"| {ENCODERS.get(name, name)} | {' | '.join(cells)} |")
    return [*lines, ""]


def garments() -> list[str]:
    """What the encoders of pictures see in photos of garments."""
    file = RESULTS / "pictures-garments.json"
    if not file.is_file():
        return []
    found = read_json(file)
    probe, words = found["probes"]["chosen"]["default"], found["words"]["chosen"]
    name, red = max(found["like this, but"].items(), key=lambda one: one[1]["validation"]["both"])
    rows = [
        ("kind of a photo, linear judge of the default vectors", probe["test"]),
        *((f"kind by its word, {WAYS.get(way, way)} (`{row['encoder']}`)", row["test"]) for way, row in words.items()),
        (f'"like this, but red": share of the first ten of that kind and colour (`{name}`)', red["test"]["both"]),
    ]
    return [
        f"**Pictures** ({found['photos']:,} photos of ten kinds of garments; chosen on validation; "
        "[more](benchmarks/results/pictures-garments.md)), test:",
        "", "| question | share |", "|---|---|", *(f"| {what} | {share:.3f} |" for what, share in rows), "",
    ]  # fmt: skip


def matching(name: str) -> list[str]:
    """One warm table."""
    file = RESULTS / f"{name}.json"
    if not file.is_file():
        return []
    found = read_json(file)
    tests = found["tests"].get("recall@20", {})
    lines = [f"**{TITLES[name]}**, {len(found['seeds'])} seeds:", ""]
    lines += [
        "| model | recall@20 | NDCG@20 | against " + found["baseline"] + " |",
        "|---|---|---|---|",
    ]
    for row in sorted(found["table"], key=lambda row: -row["recall@20"]):
        test = tests.get(row["model"])
        gap = f"{test['difference']:+.4f} (p {p_text(test['p_adjusted'])})" if test else ""
        lines.append(
            f"| {row['model']} | {row['recall@20']:.4f} ± {row['recall@20 sd']:.4f} | {row['ndcg@20']:.4f} | {gap} |"
        )
    return [*lines, ""]


def world() -> list[str]:
    """The simulated shop."""
    file = RESULTS / "world.json"
    if not file.is_file():
        return []
    found = read_json(file)
    parts = {part: found["parts"][f"{part} expected"]["models"] for part in ("warm", "cold")}
    lines = [
        f"**Simulated shop** ({len(found['seeds'])} worlds; `text`, `image`, `audio`, `all`: what blend sees), "
        "share of the hits that the known truth would get ([more](docs/world.md)):",
        "",
        "| | " + " | ".join(parts["warm"]) + " |",
        "|---" * (1 + len(parts["warm"])) + "|",
    ]
    for part, title in (("warm", "known items"), ("cold", "new items")):
        cells = [f"{parts[part][name]['mean']:.3f}" if name in parts[part] else "" for name in parts["warm"]]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return [*lines, ""]


def scale() -> list[str]:
    """A million users."""
    file = RESULTS / "scale.json"
    if not file.is_file():
        return []
    rows = {name: row for name, row in read_json(file)["rows"].items() if name != "lightgcn_baby"}
    some = next(iter(rows.values()))
    size = f"{some['users']:,} users, {some['items']:,} items, {some['train_pairs']:,} training pairs"
    lines = [
        f"**Scale**, simulated, {size}, one thread:",
        "",
        "| model | valid recall@20 | CPU seconds to fit | peak GiB |",
    ]
    lines.append("|---|---|---|---|")
    for name, row in sorted(rows.items(), key=lambda pair: -pair[1]["valid_recall@20"]):
        score = f"{row['valid_recall@20']:.5f} ± {row['standard_error']:.5f}"
        lines.append(f"| {name} | {score} | {row['fit_cpu_seconds']:.0f} | {row['peak_rss_gib']:.1f} |")
    return [*lines, ""]


def speed() -> list[str]:
    """Against other systems, timed on the same machine."""
    file = RESULTS / "speed.json"
    rows = [row for row in read_json(file)["against"] if row["source"] != "stated"] if file.is_file() else []
    if not rows:
        return []
    lines = [
        "**Speed**, seconds on the same machine:",
        "",
        "| what | ours | other system | ratio |",
        "|---|---|---|---|",
    ]
    for row in rows:
        other = f"{row['theirs']:.3g} ({row['system']}, {row['source']})"
        lines.append(f"| {row['part']}: {row['step']} | {row['ours']:.3g} | {other} | {row['ratio']:.2f} |")
    return [*lines, ""]


def serving() -> list[str]:
    """What serving was measured to do; parts that were not are left out."""
    found = {}
    for name in ("serving", "serving_million", "serving_add", "serving_crash"):
        file = RESULTS / f"{name}.json"
        found[name] = read_json(file) if file.is_file() else {}
    rows = []
    if steady := found["serving"].get("steady"):
        ms, there = steady["client"]["ms"], steady["server_ms"]
        what = (
            f"63,000 items, exact top 50, {steady['rate']:g} requests/s for {steady['minutes']:g} minutes, two workers"
        )
        told = f"p50 {there['p50']:.1f} ms, p99 {there['p99']:.1f} ms at the server"
        told += f", {ms['p50']:.1f} and {ms['p99']:.1f} at the client"
        rows.append((what, f"{told}; answers {counts(steady['client']['statuses'])}"))
    if over := found["serving"].get("overload"):
        until = over["seconds_until_normal"]
        told = (
            f"answers {counts(over['peak']['statuses'])}; p99 as before {until:.1f} s later"
            if until is not None
            else "not back"
        )
        rows.append(("five times that for 10 s", told))
    if swap := found["serving"].get("swap"):
        what = f"runs swapped, items added and removed, at {swap['rate']:g} requests/s for {swap['seconds']:g} s"
        rows.append((what, f"answers {counts(swap['client']['statuses'])}, wrong: {sum(swap['wrong'].values())}"))
    for name, what in (("all", "all may be found"), ("filtered", "2 % pass a filter")):
        if part := found["serving_million"].get(name):
            ms = part["client"]["ms"]
            told = f"recall@10 {part['recall@10']:.4f}, p50 {ms['p50']:.1f} ms, p99 {ms['p99']:.1f} ms"
            rows.append((f"1,000,000 items x 128, 50 requests/s, {what}", told))
    if kills := found["serving_crash"]:
        what = f"{kills['acknowledged']:,} events, server killed {kills['kills']} times"
        rows.append((what, f"lost {kills['lost']}, doubled {kills['doubled']}"))
    if added := found["serving_add"].get("added"):
        rows.append(
            (
                "a new movie, poster and plot, until it is recommended",
                f"median {added['median']:.2f} s, most {added['max']:.2f} s",
            )
        )
    if not rows:
        return []
    lines = [
        "**Serving** on two cores, client included ([more](docs/serving.md)):",
        "",
        "| what | measured |",
        "|---|---|",
    ]
    return [*lines, *(f"| {what} | {told} |" for what, told in rows), ""]


def _read(name: str) -> dict[str, Any]:
    file = RESULTS / f"{name}.json"
    return read_json(file) if file.is_file() else {}


def generation() -> list[str]:
    """Personalised content: truth, explanations beside a published system, pictures, time."""
    rows = []
    if truth := _read("truth").get("held_out"):
        caught, alarms = (truth["all"][name]["share"] for name in ("caught", "false_alarms"))
        rows.append(("changed facts that the check catches; false alarms", f"{caught:.1%}; {alarms:.1%}"))
    for name, what in (("xrec-amazon", "books"), ("xrec-yelp", "businesses")):
        if found := _read(name).get("all", {}).get("rows"):
            told = "; ".join(
                f"{who} {row['bertscore']:.3f}, {row['rougeL']:.3f}, {row['usr']:.2f}"
                for key, who in (("ours", "ours"), ("published", "a published system"))
                if (row := next((one for name, one in found.items() if name.startswith(key)), None))
            )
            tests = _read(name)["all"]["against published"]
            test = next((one for system, one in tests.items() if system.startswith("ours")), {})
            p = [p_text(test[metric]["p"]) for metric in ("bertscore", "rougeL") if metric in test]
            told += f" (difference: p {' and '.join(p)})" if p else ""
            rows.append((f"explanations of {what}: BERTScore (MiniLM), ROUGE-L, share of unique texts", told))
    if drawn := _read("drawing_clothing"):
        read = {row["pictures"]: row["kind read"] for row in drawn["rows"]}
        own = read[f"drawn, guidance {drawn['arguments']['guidance']:g}"]
        told = f"{own:.2f}; real photos {read['real test photos']:.2f}; noise {read['noise']:.2f}"
        rows.append(("garments drawn at 32 pixels whose kind is read", told))
    if films := _read("generation_latency").get("films", {}).get("kinds"):
        told = "; ".join(f"{kind} {row['processor']['p99']:.0f} ms" for kind, row in films.items())
        rows.append(("content without a model for the films, processor time, 99 of 100 requests", told))
    if points := _read("generation_points").get("rows"):
        shown = [row for row in points if row["shown"]]
        clear, against = sum(row["p, Holm"] < 0.05 for row in shown), sum(row["contradicted"] for row in points)
        told = f"{len(shown)} of {len(points)} ({clear} after Holm's correction for all); contradicted {against}"
        rows.append(("claims of trained generators against their ablations that show", told))
    if not rows:
        return []
    lines = [
        "**Generated content** ([what each generator makes](docs/generated.md), [their points]"
        "(benchmarks/results/generation_points.md)):",
        "",
        "| what | measured |",
        "|---|---|",
    ]
    return [*lines, *(f"| {what} | {told} |" for what, told in rows), ""]


def probes() -> list[str]:
    """First versions of models of other tasks."""
    file = RESULTS / "probes.md"
    if not file.is_file():
        return []
    table = [line for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    title = (
        "**Ranking, sequential and news models** (first versions), test split, against a baseline without a network:"
    )
    return [title, "", *table, ""]


def counts(statuses: dict[str, int]) -> str:
    """``200: 5, 503: 1``."""
    return ", ".join(f"{status}: {count:,}" for status, count in statuses.items())


def main() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    lines = [
        *movies(),
        *catalogue(),
        *garments(),
        *(line for name in TITLES for line in matching(name)),
        *world(),
        *generation(),
        *probes(),
        *speed(),
        *scale(),
        *serving(),
    ]
    lines.append("Commands, versions, hashes and every seed: [benchmarks/results](benchmarks/results).")
    write_text(ROOT / "README.md", before + START + "\n" + "\n".join(lines) + "\n" + END + after)


if __name__ == "__main__":
    main()
