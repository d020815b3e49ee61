"""PMG-Bench's protocol on films: posters and titles of a history to the poster of a film that the user liked next.

Users and films of the test are both held out: the network saw neither the poster nor any choice of the user.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

import palate
from _common import WORK, keep, real
from _drawing import once, peak_signal, png, reconstructed, sheet, table, trained
from palate.contracts import GenerationRequest
from palate.core.files import digest, file_digest
from palate.core.progress import track
from palate.core.seeding import rng_for
from palate.data.dataset import Dataset
from palate.evaluation.runs import command_line
from palate.features.media import open_image
from palate.generation.drawing.painter import read_pixels
from palate.generation.drawing.selection import most_alike
from palate.generation.drawing.weights import read_picture_model
from palate.generation.scoring.picture_space import PictureSpace, z_score
from palate.generation.scoring.pictures import conse_score, perceptual_distances, ssim
from palate.metrics.bootstrap import compare_all
from palate.models.generate.latent_diffusion import LatentDiffusion
from palate.models.generate.pmg import PMG
from palate.models.generate.textual_inversion import TextualInversion
from palate.training.saving import versions

SIDE = 32
HISTORY, COMPARED = 8, 4
"""Liked films that a request has at most, and the newest of them that distances are measured to."""
LEAST = 5
HELD_OUT = 0.2
CHOOSE = "image_stats"
"""Space in which PMG chooses among its pictures: not the one that they are measured in."""
SETTINGS: dict[str, Any] = {"channels": 32, "depth": 4, "words": 0}
SCORES = (
    "distance to target", "distance to history", "SSIM to target", "SSIM to history", "words", "d_p", "d_t", "z",
)  # fmt: skip


def films() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Films with a poster, small, and what users liked."""
    folder = real("movies")
    raw = pl.read_ndjson(folder / "movies.jsonl")
    items = raw.select(
        pl.col("movie_id").cast(pl.String),
        "title",
        genre=pl.col("Genre").replace("N/A", None),
        decade=pl.col("Year").str.slice(0, 3) + "0s",
        country=pl.col("Country").str.split(", ").list.first().replace("N/A", None),
    )
    posters: list[bytes | None] = []
    for name in track(items["movie_id"].to_list(), "posters"):
        file = folder / "posters" / f"{name}.jpg"
        shown = open_image(file.read_bytes(), near=SIDE) if file.is_file() else None
        small = None if shown is None else shown.resize((SIDE, SIDE), Image.Resampling.BICUBIC, reducing_gap=2.0)
        posters.append(None if small is None else png(small))
    items = items.with_columns(poster=pl.Series(posters, dtype=pl.Binary)).filter(pl.col("poster").is_not_null())
    log = pl.read_csv(folder / "ratings.csv").filter(pl.col("rating") >= 4.0)
    log = log.select(user=pl.col("userId").cast(pl.String), item=pl.col("movieId").cast(pl.String), time="timestamp")
    return items, log.join(items, left_on="item", right_on="movie_id", how="semi").sort("time", "item")


def parts(items: pl.DataFrame, log: pl.DataFrame, n: int) -> tuple[Dataset, list[GenerationRequest]]:
    """What is learnt from, and requests of held-out users for held-out films that they liked later."""
    rng = rng_for(0, "films")
    new_films = set(rng.permutation(sorted(items["movie_id"]))[: int(HELD_OUT * len(items))])
    users = sorted(log["user"].unique())
    new_users = set(rng.permutation(users)[: int(2 * HELD_OUT * len(users))])
    shown, known = pl.col("movie_id").is_in(new_films), pl.col("item").is_in(new_films)
    columns = {"movie_id": "id", "poster": "image", **dict.fromkeys(("genre", "decade", "country"), "attributes")}
    data = palate.Dataset.from_frames(
        items.filter(~shown).drop("title"),
        log.filter(~known & ~pl.col("user").is_in(new_users)).rename({"item": "movie_id"}),
        columns=columns,
        split="leave_one_out",
        name="films",
    )
    records = {row["movie_id"]: row for row in items.iter_rows(named=True)}
    asked = []
    for user in rng.permutation(sorted(new_users)):
        own = log.filter(pl.col("user") == user)
        targets = own.filter(known)
        for row in rng.permutation(len(targets)):
            target, when = targets["item"][int(row)], targets["time"][int(row)]
            before = own.filter(~known & (pl.col("time") <= when))["item"].to_list()[-HISTORY:]
            if len(before) < LEAST:
                continue
            history = [{k: v for k, v in records[one].items() if k != "poster"} for one in before]
            item = {k: v for k, v in records[target].items() if k != "poster"}
            # the target's poster is not in the request: it is what a good picture would be
            images = {one: records[one]["poster"] for one in before}
            asked.append(GenerationRequest("product_picture", item, history, images=images, size=(SIDE, SIDE)))
            break
        if len(asked) == n:
            break
    return data, asked


def id_of(record: Any) -> str:
    return str(record["movie_id"])


def renamed(request: GenerationRequest) -> GenerationRequest:
    """With the column of ids where requests have it."""
    item, *history = ({"id": id_of(one), **one} for one in (request.item, *request.history))
    return replace(request, item=item, history=history)


def score(asked: list[GenerationRequest], targets: list[bytes], made: dict[str, list[bytes]]) -> dict[str, Any]:
    """System -> score -> values by user."""
    space, out = PictureSpace(), {name: {key: [] for key in SCORES} for name in made}
    words = [f"{one.item['title']}: {one.item['genre']}" for one in asked]
    for name, pictures in made.items():
        out[name]["words"] = [round(float(value), 4) for value in conse_score(pictures, words)]
    for at, request in enumerate(track(asked, "distances")):
        history = [request.images[id_of(one)] for one in request.history][-COMPARED:]
        shown = [some[at] for some in made.values()]
        far = perceptual_distances(shown, [targets[at], *history])
        like = [ssim(shown, [one] * len(shown)) for one in (targets[at], *history)]
        vectors = space.vectors([*shown, targets[at], *history])
        taste = vectors[len(shown) + 1 :].mean(0)
        taste /= max(float(np.linalg.norm(taste)), 1e-12)
        for row, values in enumerate(out.values()):
            d_p, d_t = float(vectors[row] @ taste), float(vectors[row] @ vectors[len(shown)])
            for key, value in zip(SCORES, (
                far[row, 0], far[row, 1:].mean(), like[0][row], np.mean([one[row] for one in like[1:]]), None, d_p, d_t,
                z_score(d_p, d_t),
            )):  # fmt: skip
                if value is not None:
                    values[key].append(round(float(value), 4))
    return out


def run(args: argparse.Namespace) -> None:
    work = WORK / "drawing" / f"movies-{args.epochs}-{args.users}"
    items, log = films()
    data, asked = parts(items, log, args.users)
    asked = [renamed(one) for one in asked]
    base, personal = work / "base", work / "personal"
    seconds = trained(
        base, LatentDiffusion(epochs=args.epochs, tokenizer_epochs=args.tokenizer_epochs, **SETTINGS), data
    )
    seconds |= trained(personal, PMG(weights=str(base), epochs=args.pmg_epochs), data)
    posters = dict(items.select("movie_id", "poster").iter_rows())
    targets = [posters[id_of(one.item)] for one in asked]
    model = read_picture_model(base)
    shown = np.stack([read_pixels(one, SIDE) for one in targets])
    quality = peak_signal(reconstructed(model.network, shown), shown)
    others = data.items.frame["poster"].to_list()

    def draw(seed: int) -> dict[str, Any]:
        settings = {"inversion_steps": args.inversion_steps, "inversion_batch": args.inversion_batch}
        systems = {
            "none": LatentDiffusion(weights=str(base)),
            "Textual Inversion": TextualInversion(weights=str(base), **settings),
            "PMG": PMG(weights=str(personal), space=CHOOSE),
            "ours, one draw": PMG(weights=str(personal), space=CHOOSE, **{**PMG.presets["tuned"], "draws": 1}),
            "ours (pmg@tuned)": PMG(weights=str(personal), space=CHOOSE, **PMG.presets["tuned"]),
        }
        made = {
            "another film's poster": [
                others[int(at)] for at in rng_for(seed, "others").integers(len(others), size=len(asked))
            ],
            "copy of the history's most similar": [most_alike(one, model.vocabulary) or b"" for one in asked],
        }
        for name, system in systems.items():
            made[name] = [
                one.image or b""
                for at in range(0, len(asked), 8)
                for one in system.generate(asked[at : at + 8], seed=1000 * seed + at)
            ]
        if seed == 0:
            looks = [[read_pixels(one, SIDE) for one in some[:16]] for some in (targets, *made.values())]
            past = [[read_pixels(one.images[id_of(one.history[-k])], SIDE) for one in asked[:16]] for k in (3, 2, 1)]
            sheet(work / "gallery.png", [np.stack(row) for row in (*past, *looks)])
        return score(asked, targets, made)

    scores = [
        once(work / "scores" / f"{seed}-{args.users}.json", lambda seed=seed: draw(seed)) for seed in range(args.seeds)
    ]
    result = {
        "rows": rows_of(scores), "tests": tests_of(scores), "scores": scores, "users": len(asked),
        "reconstruction, dB": quality, "parameters": sum(one.numel() for one in model.network.parameters()),
        "cpu_seconds": seconds, "data": data.hash, "files": source_hash(), "arguments": vars(args),
        "settings": SETTINGS, "preset": dict(PMG.presets["tuned"]), "seeds": list(range(args.seeds)),
        "versions": versions(), "command": command_line(),
    }  # fmt: skip
    keep("drawing_movies", result, page(result))


def rows_of(scores: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"system": name} | {key: float(np.mean([one[name][key] for one in scores])) for key in SCORES}
        for name in scores[0]
    ]


def tests_of(scores: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ours against the rows that draw, paired by user over seeds; Holm's p over the rows."""
    rows = []
    for key in SCORES:
        values = {name: np.array([one[name][key] for one in scores]) for name in scores[0]}
        ours = values["ours (pmg@tuned)"]
        others = {name: values[name] for name in ("none", "Textual Inversion", "PMG")}
        row: dict[str, Any] = {"score": key}
        for name, test in compare_all(ours, others).items():
            gain, low, high = -test.difference, -test.high, -test.low
            row[f"ours minus {name}"] = f"{gain:+.4f} [{low:+.4f}, {high:+.4f}], p {test.p_adjusted:.2g}"
        rows.append(row)
    return rows


def source_hash() -> str:
    folder = real("movies")
    return digest(*(file_digest(folder / name) for name in ("movies.jsonl", "ratings.csv")))


def page(result: dict[str, Any]) -> str:
    """The tables."""
    spent = ", ".join(f"{phase} {seconds:,.0f} s" for phase, seconds in result["cpu_seconds"].items())
    return "\n".join([
        "# Posters for users: PMG-Bench's protocol on MovieLens latest-small",
        f"\nHistory posters and values of films to the poster of a film that the user liked later; {result['users']} "
        f"users and their films held out together, {len(result['seeds'])} seeds, {SIDE} pixels, "
        f"{result['parameters']:,} parameters; training on one processor core: {spent}. Reconstructions of held-out "
        f"posters: {result['reconstruction, dB']:.1f} dB. Distance: that of EfficientNet-Lite0's maps, in the form of "
        "LPIPS; lower is nearer. words: ConSE of picture and title with genres, in place of CLIP. d_p, d_t, z in the "
        "space of EfficientNet-Lite0. No system sees the target's poster.\n",
        table(result["rows"]),
        "\n## Ours against the others\n",
        table(result["tests"]),
    ]) + "\n"  # fmt: skip
