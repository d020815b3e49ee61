"""Write the result tables of README.md from the committed result files.

python benchmarks/readme.py
"""

from __future__ import annotations

from _common import RESULTS, ROOT
from palate.core.files import read_json, write_text

START, END = "<!-- results -->", "<!-- /results -->"
TITLES = {
    "amazon-baby": "Amazon Baby, given split, graphs of neighbours only (no dense features)",
    "amazon-sports": "Amazon Sports, given split, graphs of neighbours only (no dense features)",
    "tiktok": "TikTok, given split, image and audio vectors",
}


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
        "| model | mean | sd over draws | seconds to fit |",
        "|---|---|---|---|",
    ]
    rows = sorted(found["table"], key=lambda row: -row["capped_recall@20"])
    for row in rows:
        score = f"{row['capped_recall@20']:.4f} | {row['capped_recall@20 sd']:.4f}"
        lines.append(f"| {LABELS.get(row['model'], row['model'])} | {score} | {row['fit seconds']:.0f} |")
    for row in found.get("transductive", []):
        lines.append(f"| {row['model']}, content seen in fitting | {row['capped_recall@20']:.4f} | | |")
    pictures = found.get("pictures")
    if pictures:
        lines += [
            "",
            f"With pictures minus without (content_kernel): {pictures['difference']:+.4f} "
            f"[{pictures['low']:+.4f}, {pictures['high']:+.4f}].",
        ]
    return [*lines, ""]


def matching(name: str) -> list[str]:
    """One warm table."""
    file = RESULTS / f"{name}.json"
    if not file.is_file():
        return []
    found = read_json(file)
    tests = found["tests"].get("recall@20", {})
    lines = [f"**{TITLES[name]}**, {len(found['seeds'])} seeds:", ""]
    lines += [
        "| model | recall@20 | NDCG@20 | against " + found["baseline"] + " | seconds to fit |",
        "|---|---|---|---|---|",
    ]
    for row in sorted(found["table"], key=lambda row: -row["recall@20"]):
        test = tests.get(row["model"])
        gap = f"{test['difference']:+.4f} (p {test['p_adjusted']:.1g})" if test else ""
        lines.append(
            f"| {row['model']} | {row['recall@20']:.4f} ± {row['recall@20 sd']:.4f} | {row['ndcg@20']:.4f} | {gap} "
            f"| {row['fit seconds']:.0f} |"
        )
    return [*lines, ""]


def main() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    lines = [*movies(), *(line for name in TITLES for line in matching(name))]
    lines.append("Commands, versions, hashes and every seed: [benchmarks/results](benchmarks/results).")
    write_text(ROOT / "README.md", before + START + "\n" + "\n".join(lines) + "\n" + END + after)


if __name__ == "__main__":
    main()
