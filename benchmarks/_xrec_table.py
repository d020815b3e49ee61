"""The table of the benchmark of explanations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COLUMNS = {
    "bertscore": "BERTScore (MiniLM)", "rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L", "bleu": "BLEU",
    "chrf": "chrF", "meteor": "METEOR", "usr": "USR", "distinct1": "distinct-1", "distinct2": "distinct-2",
    "features": "features named", "words": "words",
}  # fmt: skip
UNSUPPORTED = {
    "own_words": "words that item's or user's texts have",
    "unsupported_before": "unsupported sentences", "unsupported_after": "after check and repair",
    "sentences_kept": "sentences kept",
}  # fmt: skip
WHOLE = ("bleu", "chrf", "words")


def table(name: str, result: Mapping[str, Any]) -> str:
    """The result for people.

    Args:
        name: of the data.
        result: as written.
    """
    data = result["data"]
    lines = [
        f"# Explanations, {name}", "",
        f"`python benchmarks/{result['command']}`: {len(result['seeds'])} splits by user; {data['explained pairs']} "
        "explained pairs, "
        f"{data['explained pairs with a published output']} of them with an output of the published system. "
        f"{data['explained pairs excluded from histories']} explained pairs were taken out of "
        f"{data['pairs in the interaction files']} interactions before histories were made. Network and "
        "adapter are trained once, on users who are in no split's test or validation part: the network on "
        f"{result['common training']} pairs for {result['epochs']} epochs, the adapter on {result['fine-tuning']} "
        "pairs for one. Language models run in bfloat16. "
        "BERTScore is over MiniLM's tokens; features are words of 1 to 10 % of the training "
        "explanations; unsupported sentences have a claim that the item's columns, the user's summary and history do "
        "not bear out, as far as the check sees claims: names, titles, numbers, known attribute values.", "",
    ]  # fmt: skip
    for part in ("all", "asked"):
        rows = result[part]["rows"]
        if part == "asked" and result["asked"]["pairs"] == result["all"]["pairs"]:
            continue
        lines += [f"## The same {result[part]['pairs']} test pairs", ""]
        for columns in (COLUMNS, UNSUPPORTED):
            lines += [f"| system | {' | '.join(columns.values())} |", "|---" * (len(columns) + 1) + "|"]
            for system, row in rows.items():
                shown = (f"{row[key]:.1f}" if key in WHOLE else f"{row[key]:.3f}" for key in columns)
                lines.append(f"| {system} | {' | '.join(shown)} |")
            lines.append("")
        tests = result[part]["against published"]
        if tests:
            metrics = list(next(iter(tests.values())))
            lines += [
                "Gain over the published system by user, with 95 % intervals over users and splits, Holm's p:", "",
                f"| system | {' | '.join(COLUMNS[metric] for metric in metrics)} |", "|---" * (len(metrics) + 1) + "|",
            ]  # fmt: skip
            for system, found in tests.items():
                cells = (
                    f"{t['difference']:+.3f} [{t['low']:+.3f}, {t['high']:+.3f}], {t['p']:.2g}" for t in found.values()
                )
                lines.append(f"| {system} | {' | '.join(cells)} |")
            lines.append("")
    lines += [
        "Ours: the rule is chosen on validation users, by the smaller of the relative gains over the published system:",
        "",
        "| rule | BERTScore | ROUGE-L |",
        "|---|---|---|",
    ]
    lines += [
        f"| {pool} | {row['bertscore']:.3f} | {row['rougeL']:.3f} |" for pool, row in result["validation"].items()
    ]
    return "\n".join([*lines, ""])
