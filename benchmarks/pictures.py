"""What reading pictures by a trained network is worth.

    python benchmarks/pictures.py garments [--views]
    python benchmarks/pictures.py shop [--seeds 0-2]
    python benchmarks/pictures.py movies [--draws 0-9] [--models content_kernel,blend] [--judge test|valid]

``garments``, photos of ten kinds: linear probes of kinds; words that find pictures; "like this, but red". Everything
is chosen on the validation part, with what the training part teaches, and the test part is read once. ``shop``: the
last question in the simulated shop, whose colours are known. ``movies``: new films with posters read by
EfficientNet-Lite0, by the built-in descriptors, or not at all, on the same draws; what was chosen was chosen on draws
100 to 107 with ``--judge valid``.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

import palate
from _common import WORK, keep, real
from _garments import RIDGES, SHRINKAGES, VIEWS, Garments, discriminant, ridge, view_vectors
from _recoloured import colour_of, recoloured
from palate.contracts import pretrainers
from palate.contracts.parse import parse_model
from palate.core.cache import vectors_folder
from palate.core.encoder import Encoder
from palate.core.progress import set_mode, track
from palate.data.dataset import Dataset
from palate.evaluation.compare import compare
from palate.evaluation.runs import command_line
from palate.features.encoders.conse import ConSE
from palate.features.encoders.make import make_encoder
from palate.features.plan import plan_content
from palate.features.store import FeatureStore
from palate.metrics.bootstrap import compare_paired
from palate.simulation.world import World
from palate.training.fit import fit
from palate.training.pretrain import pretrain
from palate.training.saving import versions

Floats = NDArray[np.float64]
METRIC = "capped_recall@20"
FRAMINGS = ("both", "square", "whole")
POSTERS = {"efficientnet_lite0": "efficientnet_lite0", "image_stats": "image_stats", "none": "none"}
GAPS = (("efficientnet_lite0", "none"), ("efficientnet_lite0", "image_stats"), ("image_stats", "none"))
SUMS = {
    "mean": ("mean",),
    "mean + flipped": ("mean", "flipped"),
    "mean + larger": ("mean", "larger"),
    "all": tuple(VIEWS),
}
LEARN, COLOUR = (0.5, 1.0, 2.0, 4.0), (0.5, 1.2, 2.0)


def probes(garments: Garments, views: bool) -> dict[str, Any]:
    """Kinds by linear judges of vectors: all on validation, the best of each group on test."""
    kinds = np.unique(garments.kind, return_inverse=True)[1]
    learn, valid, test = (garments.part == part for part in ("train", "validation", "test"))
    inputs = {f"framing {one}": stored(f"efficientnet_lite0?framing={one}", garments) for one in FRAMINGS}
    if views:
        seen = {view: view_vectors(garments, view).astype(np.float64) for view in VIEWS}
        for name, used in SUMS.items():
            both = np.sqrt(np.mean([seen[view] for view in used], axis=0))
            inputs[f"square, {name}"] = both[:, : both.shape[1] // 2]
            inputs[f"square, {name}, and maxima"] = both
    judges = [(ridge, one) for one in RIDGES] + [(discriminant, one) for one in SHRINKAGES]
    rows = [
        {
            "vectors": name, "judge": judge.__name__, "setting": setting,
            "valid": float((judge(x[learn], kinds[learn], x[valid], setting) == kinds[valid]).mean()),
        }
        for name, x in track([*inputs.items()], "probes")
        for judge, setting in judges
    ]  # fmt: skip
    by_name = {judge.__name__: judge for judge, _ in judges}
    groups = {"default": ["framing both"], "best": list(inputs)}
    best = {}
    for group, names in groups.items():
        row = dict(max((row for row in rows if row["vectors"] in names), key=lambda row: row["valid"]))
        x, known = inputs[row["vectors"]], learn | valid
        found = by_name[row["judge"]](x[known], kinds[known], x[test], row["setting"])
        best[group] = row | {"test": float((found == kinds[test]).mean())}
    return {"chosen": best, "validation": rows}


def stored(encoder: str | Encoder, garments: Garments) -> Floats:
    """Vectors of the photos, kept in the user's cache."""
    made = make_encoder(encoder, "image") if isinstance(encoder, str) else encoder
    found = FeatureStore(vectors_folder(real("clothing-cc0"))).encode(made, garments.files)  # type: ignore[arg-type]
    return np.asarray(found.values, np.float64)


def captions(garments: Garments, part: NDArray[np.bool_]) -> Dataset:
    """Photos with a caption each, which names the kind."""
    rows = np.flatnonzero(part)
    names = [f"i{row}" for row in rows]
    items = pl.DataFrame(
        {
            "item": names,
            "photo": [str(garments.files[row]) for row in rows],
            "caption": [f"a photo of a {garments.kind[row]}" for row in rows],
        }
    )
    log = pl.DataFrame({"user": [f"u{row}" for row in rows], "item": names})
    return Dataset.from_frames(items, log, columns={"item": "id", "photo": "image", "caption": "text"})


def seekers(garments: Garments) -> dict[str, tuple[Encoder, Encoder]]:
    """Encoders of pictures and of texts that share a space, by name."""
    words = make_encoder("minilm", "text")
    learn = garments.part == "train"
    known = captions(garments, learn)
    store = FeatureStore(vectors_folder(real("clothing-cc0")))
    pictures = store.encode(make_encoder("efficientnet_lite0", "image"), known.items.raw("image")).values
    texts = store.encode(words, known.items.raw("text")).values
    found: dict[str, tuple[Encoder, Encoder]] = {}
    for colour in (0.0, *COLOUR):
        found[f"conse?colour={colour}"] = ConSE(colour=colour).fit([]), words
    for amount in LEARN:
        taught = ConSE(learn=amount).fit([])
        taught.fit_pairs(pictures, texts)
        found[f"conse?learn={amount}"] = taught, words
    made = pretrain(pretrainers.get("lit")(), known, WORK / "pictures" / "lit", store=store, overwrite=True)
    return found | {"lit": (made["image"], made["text"])}


def words_to_pictures(garments: Garments, found: Mapping[str, tuple[Encoder, Encoder]]) -> dict[str, Any]:
    """Share of photos whose nearest of ten words is their kind."""
    names, kinds = np.unique(garments.kind, return_inverse=True)
    rows = []
    for name, (image, text) in found.items():
        vectors = stored(image, garments)
        for form in ("{}", "a photo of a {}"):
            asked = text.encode([form.format(kind) for kind in names]).values
            right = (vectors @ asked.T).argmax(1) == kinds
            row = {"encoder": name, "words": form.format("..."), "space": image.shared_space or ""}
            rows.append(row | {part: float(right[garments.part == part].mean()) for part in ("validation", "test")})
    groups = {"zero-shot": "conse?colour", "taught by captions of the training part": "conse?learn", "lit": "lit"}
    best = {
        group: max((row for row in rows if row["encoder"].startswith(head)), key=lambda row: row["validation"])
        for group, head in groups.items()
    }
    # test is shown for what validation chose alone
    return {"chosen": best, "validation": [{k: v for k, v in row.items() if k != "test"} for row in rows]}


def garments(views: bool) -> None:
    photos = Garments.load()
    found = seekers(photos)
    colours = np.array([colour_of(file) for file in track(photos.files, "colours")])
    changed = {
        name: {
            part: recoloured(stored(image, photos), text, photos.kind, colours, photos.part == part)
            for part in ("validation", "test")
        }
        for name, (image, text) in found.items()
    }
    result = {
        "photos": len(photos.files), "hash": photos.hash, "split": "train, validation, test as they came", "seed": 0,
        "probes": probes(photos, views), "words": words_to_pictures(photos, found), "like this, but": changed,
        "versions": versions(), "command": command_line(),
    }  # fmt: skip
    keep("pictures-garments", result, garments_page(result))


def garments_page(result: Mapping[str, Any]) -> str:
    """The tables for people."""
    lines = ["# Pictures of garments: what a trained network sees", ""]
    lines += [
        f"{result['photos']} photos of ten kinds, parts as they came. In the first two tables the best on validation is"
    ]
    lines += [
        "shown, and its test alone was read. Captions name the kind and nothing else, so what they teach is labels.",
        "",
    ]
    lines += ["| kinds by linear judges | judge | validation | test |", "|---|---|---|---|"]
    lines += [
        f"| {group}: {row['vectors']} | {row['judge']} {row['setting']:g} | {row['valid']:.3f} | {row['test']:.3f} |"
        for group, row in result["probes"]["chosen"].items()
    ]
    lines += ["", "| words that find pictures, ten kinds | words | validation | test |", "|---|---|---|---|"]
    lines += [
        f"| {group}: `{row['encoder']}` | {row['words']} | {row['validation']:.3f} | {row['test']:.3f} |"
        for group, row in result["words"]["chosen"].items()
    ]
    lines += [
        "",
        '"Like this, but red": share of the ten nearest that are of the kind shown and of the colour asked for.',
    ]
    lines += ["", "| encoder | validation | kind alone | colour alone | test |", "|---|---|---|---|---|"]
    lines += [
        f"| `{name}` | {row['validation']['both']:.3f} | {row['validation']['kind']:.3f} "
        f"| {row['validation']['colour']:.3f} | {row['test']['both']:.3f} |"
        for name, row in result["like this, but"].items()
    ]
    first = next(iter(result["like this, but"].values()))["test"]
    lines += ["", f"Chance is {first['chance']:.3f}; {first['questions']} questions in test. Colours are those of the"]
    lines += [
        "middle of the photo by a rule on hue, saturation and brightness that no encoder reads. A share of both is one"
    ]
    lines += [
        "of what is possible: fewer than ten may be there. This table shows test for every row; the default weight of"
    ]
    lines += ["colours, 1.2, was chosen on training and validation photos.", ""]
    return "\n".join(lines)


def shop(seeds: list[int]) -> None:
    """The simulated shop: like this, but of another colour."""
    cells: dict[str, list[dict[str, float]]] = {}
    for seed in seeds:
        folder = WORK / "pictures" / f"shop-{seed}"
        world = World.make("shop", seed=seed)
        if not world.is_written(folder):
            world.write(folder, overwrite=True)
        data = palate.load(folder)
        items = World.load(folder).items
        codes = items.codes[items.content]
        kind, colour = (
            np.array(items.schema.values(name))[codes[:, items.schema.column(name)].astype(int)]
            for name in ("category", "colour")
        )
        store = FeatureStore(vectors_folder(folder))
        everything = np.ones(data.n_items, bool)
        made = pretrain(pretrainers.get("lit")(), data, WORK / "pictures" / f"lit-{seed}", store=store, overwrite=True)
        pairs = {"lit": (made["image"], made["text"])}
        for spec in ("conse", "conse?learn=2"):
            content, _ = plan_content(data, {"text": "minilm", "image": spec, "audio": "none"}, store).fit(
                data.select_view(), data
            )
            pairs[spec] = content.encoders["image"], content.encoders["text"]
        for name, (image, text) in pairs.items():
            vectors = np.asarray(store.encode(image, data.items.raw("image")).values, np.float64)
            cells.setdefault(name, []).append(recoloured(vectors, text, kind, colour, everything))
    result = {"seeds": seeds, "cells": cells, "versions": versions(), "command": command_line()}
    lines = ['# The simulated shop: "like this, but red"', "", "| encoder | kind and colour | kind | colour | chance |"]
    lines.append("|---" * 5 + "|")
    for name, found in cells.items():
        means = [float(np.mean([cell[key] for cell in found])) for key in ("both", "kind", "colour", "chance")]
        lines.append(f"| `{name}` | " + " | ".join(f"{value:.3f}" for value in means) + " |")
    lines += ["", f"Pictures alone, {len(seeds)} worlds; shares of the ten nearest.", ""]
    keep("pictures-shop", result, "\n".join(lines))


def movies(draws: list[int], models: list[str], judge: str, extra: dict[str, str], alone: bool) -> None:
    """New films, the same draws for every way to read posters."""
    readers = {name: spec for name, spec in {**POSTERS, **extra}.items() if not (alone and spec == "none")}
    rest = {"text": "none", "attributes": "none"} if alone else {}
    values: dict[str, dict[str, list[Floats]]] = {model: {name: [] for name in readers} for model in models}
    about: dict[str, Any] = {}
    for draw in track(draws, "draws"):
        data = palate.load(real("movies"), split=f"item_cold:seed={draw}")
        about = {"hash": data.hash, "split": "item_cold, one draw a seed"}
        for model in models:
            for name, spec in readers.items():
                values[model][name].append(measured(data, model, {**rest, "image": spec}, draw, judge))
    table = {m: {n: [float(v.mean()) for v in found] for n, found in one.items()} for m, one in values.items()}
    gaps = {
        f"{model}: {a} - {b}": vars(compare_paired(values[model][a], values[model][b]))
        for model in models
        for a, b in (*GAPS, *(("efficientnet_lite0", name) for name in extra))
        if len(draws) > 1 and {a, b} <= set(readers)
    }
    result = {
        "metric": METRIC, "judge": judge, "posters alone": alone, "draws": draws, **about,
        "by draw": table, "gaps": gaps, "versions": versions(), "command": command_line(),
    }  # fmt: skip
    name = "pictures-movies" + ("-alone" if alone else "") + ("" if judge == "test" else "-chosen")
    keep(name, result, movies_page(result))


def measured(data: Dataset, model: str, encoders: Mapping[str, str], draw: int, judge: str) -> Floats:
    """The metric of each user of test, or one value for validation, where test stays closed."""
    store = vectors_folder(real("movies"))
    folder = (
        WORK
        / "pictures"
        / "movies"
        / "".join(c if c.isalnum() else "-" for c in f"{model}-{draw}-" + "-".join(encoders.values()))
    )
    if judge == "valid":
        file = folder.with_suffix(".valid.npy")
        if not file.is_file():
            fitted = fit(
                parse_model(model),
                data,
                seed=draw,
                content=plan_content(data, encoders, store),
                metric=METRIC,
                refit=False,
            )
            file.parent.mkdir(parents=True, exist_ok=True)
            np.save(file, np.array([fitted.deployment.log.valid]))  # type: ignore[attr-defined]
        return np.load(file)
    compare(data, [model], folder, seeds=[draw], encoders=encoders, store=store)
    (file,) = (folder / "cells").glob("*/test-0.npz")
    with np.load(file, allow_pickle=False) as saved:
        found: Floats = saved[METRIC]
    return found


def movies_page(result: Mapping[str, Any]) -> str:
    """The tables for people."""
    part = "test" if result["judge"] == "test" else "validation"
    lines = [f"# Movies, new items: posters read by a trained network, by descriptors, or not ({part})", ""]
    lines += [f"{METRIC} over draws {result['draws'][0]} to {result['draws'][-1]}.", ""]
    lines += ["| model | posters | mean | sd |", "|---|---|---|---|"]
    for model, found in result["by draw"].items():
        lines += [
            f"| {model} | {n} | {np.mean(v):.4f} | {np.std(v, ddof=1) if len(v) > 1 else 0:.4f} |"
            for n, v in found.items()
        ]
    lines += ["", "| gap | mean | 95 % | p |", "|---|---|---|---|"]
    lines += [
        f"| {n} | {g['difference']:+.4f} | {g['low']:+.4f}, {g['high']:+.4f} | {g['p_value']:.4f} |"
        for n, g in result["gaps"].items()
    ]
    return "\n".join([*lines, "", "Intervals are over draws (Student's t).", ""])


def numbers(text: str) -> list[int]:
    """``0-3,7`` as numbers."""
    out: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        out += range(int(first), int(last or first) + 1)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("garments", "shop", "movies"))
    parser.add_argument("--draws", type=numbers, default=numbers("0-9"))
    parser.add_argument("--seeds", type=numbers, default=numbers("0-2"))
    parser.add_argument("--models", default="content_kernel,blend")
    parser.add_argument("--judge", choices=("test", "valid"), default="test")
    parser.add_argument("--views", action="store_true", help="flipped and larger pictures, and maxima, as well")
    parser.add_argument("--alone", action="store_true", help="posters without texts and attributes")
    parser.add_argument("--also", action="append", default=[], help="another encoder of posters")
    args = parser.parse_args()
    set_mode("plain")
    if args.what == "garments":
        garments(args.views)
    elif args.what == "shop":
        shop(args.seeds)
    else:
        movies(args.draws, args.models.split(","), args.judge, {spec: spec for spec in args.also}, args.alone)


if __name__ == "__main__":
    main()
