"""The check of facts on 1,000 perturbed facts a seed, and on true sentences.

    python benchmarks/truth.py [--facts 1000] [--plots 1000] [--forms both]

True sentences about films (movies data) and garments (simulated shop) are written in the forms of ``_truth_forms.py``;
in each, one fact is replaced by a false one: a year, an actor (or the director in the actor's place), a director (or an
actor in the director's), a colour, a number (minutes, price), a category, or its negation. Caught: the sentence has a
claim that is not supported. False alarms: the same for the true sentence in the same form, and for sentences of the
films' plots. Half of the forms are held out from tuning. Writes results/truth.json and truth.md.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from _common import keep, real
from _truth_forms import HELD_OUT, TUNED
from palate.generation.facts import FactChecker, Lexicon
from palate.generation.facts.sheet import split_values, title_variants
from palate.generation.facts.words import sentences
from palate.simulation import World, WorldConfig

SHARES = {
    "year": ("year",), "cast": ("cast",), "director": ("director",), "colour": ("colour",),
    "number": ("number", "price"),
    "negation": ("negation", "negation_cast", "negation_shop"), "category": ("category", "category_shop"),
}  # fmt: skip
SHOP = ("price", "colour", "category_shop", "negation_shop")
SWAPPED = 0.3
"""Share of the false actors and directors that stand in the other column of the same film."""
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Case:
    """A true sentence and its perturbed twin.

    Attributes:
        kind: of the fact.
        held_out: whether its form is.
        item: columns of the item.
        true: sentence.
        false: sentence.
    """

    kind: str
    held_out: bool
    item: dict[str, Any]
    true: str
    false: str


def films() -> list[dict[str, Any]]:
    """Films with director, actors, genres, length and plot."""
    lines = (real("movies") / "movies.jsonl").read_text(encoding="utf-8").splitlines()
    needed = ("Year", "Director", "Actors", "Genre", "Runtime", "Plot")
    rows = [json.loads(line) for line in lines]
    return [r for r in rows if all(r[c] not in ("", "N/A", None) for c in needed) and r["Year"].isdigit()]


def garments(seed: int) -> list[dict[str, Any]]:
    """Items of the simulated shop's branch fashion, with their true attributes."""
    world = World(WorldConfig(n_items=2000, n_users=50, seed=seed))
    table = world.items.table(world.config)
    truth = world.items.attributes(np.arange(len(world.items)))
    frame = table.hstack(truth.drop("item_id"))
    rows = [row for row in frame.to_dicts() if row["category"] == "fashion"]
    columns = (
        "item_id",
        "category",
        "subcategory",
        "brand",
        "price",
        "colour",
        "pattern",
        "material",
        "purpose",
        "era",
    )
    return [{column: row[column] for column in columns if column in row} for row in rows]


class Writer:
    """Writes pairs of a true and a false sentence.

    Args:
        items: films or garments.
        rng: draws.
    """

    def __init__(self, items: list[dict[str, Any]], rng: random.Random) -> None:
        self.items, self.rng = items, rng
        self.pools: dict[str, list[str]] = {}
        for column in ("Director", "Actors", "Genre", "colour", "material", "subcategory"):
            values = {part for item in items if item.get(column) for part in split_values(item[column])}
            self.pools[column] = sorted(values)

    def pair(self, kind: str, form: str) -> tuple[dict[str, Any], str, str]:
        """(item, true sentence, false sentence).

        Args:
            kind: of the fact.
            form: with its place.
        """
        while True:
            item = self.rng.choice(self.items)
            slots = self.slots(item)
            true, false = self.values(kind, item, form)
            if true is None or false is None:
                continue
            if kind.startswith("negation"):
                says, denies = form.split(" | ")
                # the item has ``true`` and has not ``false``
                if self.rng.random() < 0.5:
                    return item, self.fill(says, slots, true), self.fill(denies, slots, true)
                return item, self.fill(denies, slots, false), self.fill(says, slots, false)
            return item, self.fill(form, slots, true), self.fill(form, slots, false)

    def slots(self, item: dict[str, Any]) -> dict[str, Any]:
        """True values of an item for the other places of a form."""
        if "Actors" not in item:
            return {**item, "price": f"{item['price']:.2f}"}
        actors = [a for a in split_values(item["Actors"]) if a not in split_values(item["Director"])] or ["nobody"]
        return {
            "title": title_variants(item["title"])[2 if re.search(r", (The|An?) \(", item["title"]) else 1],
            "year": item["Year"],
            "director": split_values(item["Director"])[0],
            "actor": self.rng.choice(actors),
            "genre": self.rng.choice(split_values(item["Genre"])).lower(),
            "minutes": item["Runtime"].split()[0],
        }

    def fill(self, form: str, slots: dict[str, Any], value: Any) -> str:
        """A sentence."""
        extra = {}
        if isinstance(value, int):
            extra = {"h": value // 60, "m": value % 60}
        sentence = form.format(**{**slots, "x": value, **extra})
        sentence = re.sub(r"\b([Aa])n? (?=(\w))", lambda m: m[1] + ("n " if m[2] in "aeiouAEIO" else " "), sentence)
        return sentence[0].upper() + sentence[1:]

    def other(self, pool: str, item: dict[str, Any]) -> str | None:
        """A value of other items whose words stand nowhere in this one."""
        everything = json.dumps(item, ensure_ascii=False).lower()
        for _ in range(50):
            value = self.rng.choice(self.pools[pool])
            if not any(word in everything for word in value.lower().split() if len(word) > 2):
                return value
        return None

    def values(self, kind: str, item: dict[str, Any], form: str) -> tuple[Any, Any]:
        """(true, false) values of the place; None where the item has none."""
        rng = self.rng
        if kind == "year":
            year = int(item["Year"])
            false = year + rng.choice((-1, 1)) * rng.randint(1, 15)
            fine = str(false) not in json.dumps(item) and str(year) in item["title"]
            return (year, false) if fine else (None, None)
        if kind in ("cast", "director", "negation_cast"):
            mine, theirs = ("Director", "Actors") if kind == "director" else ("Actors", "Director")
            true = rng.choice([n for n in split_values(item[mine]) if n not in split_values(item[theirs])] or [None])
            swap = [n for n in split_values(item[theirs]) if n not in split_values(item[mine])]
            if swap and kind != "negation_cast" and rng.random() < SWAPPED and "{director}" not in form:
                return true, swap[0]
            return true, self.other(mine, item)
        if kind == "number":
            minutes = int(re.sub(r"\D", "", item["Runtime"]) or 0)
            false = minutes + rng.choice((-1, 1)) * rng.randint(3, 40)
            fine = min(minutes, false) >= 65 and item["Runtime"].endswith("min") and str(false) not in json.dumps(item)
            return (minutes, false) if fine else (None, None)
        if kind == "price":
            factor = rng.choice((0.5, 0.8, 0.9, 1.1, 1.25, 2))
            return f"{item['price']:.2f}", f"{item['price'] * factor:.2f}"
        column = {"category": "Genre", "negation": "Genre", "colour": "colour", "category_shop": "subcategory"}
        column = column.get(kind, "material")
        false = self.other(column, item)
        true = rng.choice(split_values(item[column]))
        lower = column == "Genre"
        return (true.lower(), false.lower()) if lower and false else (true, false)


def cases(count: int, seed: int, which: tuple[bool, ...]) -> Iterator[Case]:
    """Pairs, spread evenly over kinds and forms."""
    rng = random.Random(seed)
    writers = {False: Writer(films(), rng), True: Writer(garments(seed), rng)}
    plan: list[tuple[str, str, bool, str]] = []
    for kind, parts in SHARES.items():
        forms = [
            (kind, part, held, form)
            for held in which for part in parts for form in (HELD_OUT if held else TUNED)[part]
        ]  # fmt: skip
        rng.shuffle(forms)
        wanted = count // len(SHARES) + (kind == "year") * (count % len(SHARES))
        plan += [forms[i % len(forms)] for i in range(wanted)]
    for kind, part, held, form in plan:
        item, true, false = writers[part in SHOP].pair(part, form)
        yield Case(kind, held, item, true, false)


def plot_sentences(count: int, seed: int) -> Iterator[tuple[dict[str, Any], str]]:
    """Sentences of plots as free texts: whole, up to the first comma, or after words of one's own."""
    rng = random.Random(seed)
    rows = films()
    for _ in range(count):
        item = rng.choice(rows)
        parts = [item["Plot"][start:stop] for start, stop in sentences(item["Plot"])]
        sentence = rng.choice(parts)
        shape = rng.randrange(3)
        if shape == 1 and "," in sentence[30:]:
            sentence = sentence[: 30 + sentence[30:].index(",")] + "."
        if shape == 2:
            sentence = f"Here is what it is about: {sentence}"
        yield item, sentence


def wilson(hits: int, count: int) -> tuple[float, float]:
    """95 % interval of a share."""
    if not count:
        return 0.0, 1.0
    z, share = 1.96, hits / count
    centre = share + z * z / (2 * count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def share(outcomes: list[bool]) -> dict[str, Any]:
    """Share of true outcomes with its interval."""
    low, high = wilson(sum(outcomes), len(outcomes))
    mean = sum(outcomes) / max(len(outcomes), 1)
    return {"share": round(mean, 4), "interval": [round(low, 4), round(high, 4)], "n": len(outcomes)}


def measure(facts: int, plots: int, which: tuple[bool, ...], show: int = 0) -> dict[str, Any]:
    """Shares caught and false alarms by kind, over the seeds."""
    caught: dict[tuple[str, str], list[bool]] = defaultdict(list)
    alarms: dict[tuple[str, str], list[bool]] = defaultdict(list)
    mended: dict[str, list[bool]] = defaultdict(list)
    by_seed: dict[str, list[dict[str, float]]] = defaultdict(list)
    film_lexicon = Lexicon.learn(films())
    for seed in SEEDS:
        checkers = {False: FactChecker(film_lexicon), True: FactChecker(Lexicon.learn(garments(seed)))}
        found: dict[str, list[list[bool]]] = defaultdict(lambda: [[], []])
        for case in cases(facts, seed, which):
            checker = checkers["brand" in case.item]
            part = "held_out" if case.held_out else "tuned"
            is_caught = bool(checker.check(case.false, case.item).false_claims)
            report = checker.check(case.true, case.item)
            alarm = bool(report.false_claims)
            caught[case.kind, part].append(is_caught)
            alarms[case.kind, part].append(alarm)
            found[part][0].append(is_caught)
            found[part][1].append(alarm)
            if not is_caught and show > 0:
                show -= 1
                print("MISSED", case.kind, part, case.false, "| true:", case.true)
            if alarm and show > 0:
                show -= 1
                print(
                    "ALARM", case.kind, part, case.true, [(c.text, c.columns, c.verdict) for c in report.false_claims]
                )
            if is_caught:
                new = checker.repair(case.false, case.item)
                mended["refused" if new is None else "repaired"].append(True)
        flagged = []
        for item, sentence in plot_sentences(plots, seed):
            report = checkers[False].check(sentence, item)
            flagged.append(bool(report.false_claims))
            if flagged[-1] and show > 0:
                show -= 1
                print("PLOT", sentence, [(c.text, c.kind, c.columns, c.verdict) for c in report.false_claims])
        alarms["plots", "free"] += flagged
        for part, (hits, false) in found.items():
            by_seed[part].append({"caught": sum(hits) / len(hits), "false_alarms": sum(false) / len(false)})
        by_seed["plots"].append({"false_alarms": sum(flagged) / max(len(flagged), 1)})
    result: dict[str, Any] = {"facts_a_seed": facts, "plots_a_seed": plots, "seeds": list(SEEDS), "by_seed": by_seed}
    for part in ("tuned", "held_out"):
        kinds = {k: {"caught": share(caught[k, part]), "false_alarms": share(alarms[k, part])} for k in SHARES}
        every = [[x for k in SHARES for x in table[k, part]] for table in (caught, alarms)]
        result[part] = {"all": {"caught": share(every[0]), "false_alarms": share(every[1])}, **kinds}
    result["plots"] = share(alarms["plots", "free"])
    total = sum(map(len, mended.values()))
    result["repair"] = {name: round(len(values) / max(total, 1), 4) for name, values in mended.items()}
    return result


def table(result: dict[str, Any]) -> str:
    """The result for people."""
    lines = [
        "# Truth: the check of facts", "",
        f"`python benchmarks/truth.py`: {result['facts_a_seed']} perturbed facts and {result['plots_a_seed']} sentences"
        f" of plots a seed, seeds {', '.join(map(str, result['seeds']))}; shares with 95 % intervals (Wilson).", "",
        "Caught: a perturbed sentence has a claim that is not supported. False alarms: the same for the true sentence"
        " in the same form. Aim: 95 % caught, at most 3 % false alarms. The check was tuned on half of the forms.", "",
        "| kind | caught, held-out forms | false alarms, held-out | caught, tuned forms | false alarms, tuned |",
        "|---|---|---|---|---|",
    ]  # fmt: skip
    for kind in ("all", *SHARES):
        cells = [result[part][kind][what] for part in ("held_out", "tuned") for what in ("caught", "false_alarms")]
        lines.append(f"| {kind} | " + " | ".join(map(cell, cells)) + " |")
    lines += ["", f"Sentences of plots, against the film's own row: false alarms {cell(result['plots'])}.", ""]
    repaired = result["repair"].get("repaired", 0)
    lines += [
        f"Of the caught sentences {100 * repaired:.1f} % are repaired so that they pass; the others are refused.",
        "",
    ]
    return "\n".join(lines)


def cell(value: dict[str, Any]) -> str:
    """A share with its interval."""
    low, high = value["interval"]
    return f"{100 * value['share']:.1f} % ({100 * low:.1f} to {100 * high:.1f}), n={value['n']}"


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--facts", type=int, default=1000)
    parser.add_argument("--plots", type=int, default=1000)
    parser.add_argument("--forms", choices=("tuned", "both"), default="both")
    parser.add_argument("--show", type=int, default=0, help="print so many errors, and write nothing")
    args = parser.parse_args()
    which = (False,) if args.forms == "tuned" else (False, True)
    result = measure(args.facts, args.plots, which, args.show)
    if args.show or args.forms == "tuned":
        print(json.dumps({k: v for k, v in result.items() if k != "held_out"}, indent=1))
        return
    keep("truth", result, table(result))


if __name__ == "__main__":
    main()
