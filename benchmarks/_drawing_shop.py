"""Drawn product photos of a simulated shop, which show known values by known rules to users of known tastes.

Every picture is cut to the square in which its item stands before anything is trained or read: a product photo of 32
pixels. Content is the item's shape, for which tastes of this world hardly ask; style is colour and pattern, for which
they do. d_p is the mean probability that is read for the user's true favourite colour and pattern, d_t that of the
item's shape, and z = 2/3 log d_p + 1/3 log d_t: the user's style on the item's content.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

import palate
from _common import RESULTS, ROOT, WORK, keep
from _drawing import Bytes, Reader, Reals, once, peak_signal, png, reconstructed, sheet, table, trained
from palate.contracts import GenerationRequest, PicturePrompt, Preference
from palate.core.files import read_json
from palate.core.progress import track
from palate.core.seeding import rng_for
from palate.data.dataset import Dataset
from palate.evaluation.runs import command_line
from palate.generation.drawing.painter import Painter, read_pixels
from palate.generation.drawing.prompts import weighted
from palate.generation.drawing.selection import best_by_z
from palate.generation.drawing.weights import read_picture_model
from palate.generation.scoring.picture_space import PictureSpace, copy_nearest
from palate.metrics.bootstrap import PairedResult, compare_all, compare_paired, holm, mean_interval
from palate.models.generate.latent_diffusion import LatentDiffusion
from palate.models.generate.pmg import PMG
from palate.models.generate.textual_inversion import TextualInversion
from palate.simulation.pictures import REGIONS
from palate.simulation.shop import SHOP
from palate.simulation.world import World
from palate.training.saving import versions

SHOWN = ("colour", "pattern", "shape")
"""Attributes that pictures show."""
LIKED = ("colour", "pattern")
"""Style, those of them that tastes act on: the importance of shape is a fifth of theirs."""
CONTENT = ("shape",)
"""What the item is."""
SIDE = 32
RATIOS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 16.0)
TOKEN_WEIGHTS = (0.0, 1.0, 4.0, 16.0, 64.0)
KEYWORDS = 2
ORACLE_RATIOS = (0.5, 1.0, 2.0)
ITEM_WEIGHTS = (1.0, 0.3, 0.1, 0.03)
SCALES = (1.0, 3.0, 5.0, 8.0, 14.0)
LEVELS = (0.9, 0.8, 0.7, 0.6, 0.5)
"""Shares of the plain picture's d_t at which d_p is compared."""
FOLDS = 5
"""Parts of the users; the weights of each are chosen on the others."""
SCENE, WINDOW = 64, 40
"""Sides of a picture of the world and of the square of it in which objects of the item's category stand, in pixels."""
GROUP = 16
"""Users who share a noise, the same for every system."""
ALPHA = 2 / 3
HARD = "PMG, keywords alone"
ROWS = (
    ("the item's own picture", "1"), ("copy nearest history", "1"), ("none", "1"), ("Textual Inversion", "1"),
    ("Textual Inversion", "16"), (HARD, "0.5"), (HARD, "1"), (HARD, "best"), ("PMG", "0.5"), ("PMG", "1"),
    ("PMG", "best"), ("true favourites as keywords", "1"),
)  # fmt: skip
CURVES = (
    "none", "Textual Inversion", "PMG, keywords alone", "PMG", "true favourites as keywords", "guidance of none",
    "guidance of PMG",
)  # fmt: skip
SETTINGS: dict[str, Any] = {"channels": 32, "depth": 4}
ByWeight = dict[str, Reals]


@dataclass(frozen=True, eq=False)
class Shop:
    """A world with its pictures.

    Attributes:
        world: simulated.
        pictures: product photo of every item, PNG of 32 pixels.
        values: column -> value that the picture shows, by item; not always the item's own.
    """

    world: World
    pictures: list[bytes]
    values: dict[str, list[str]]

    @classmethod
    def make(cls, seed: int, items: int, users: int) -> Shop:
        world = World.make(
            "shop", seed=seed, n_items=items, n_users=users, image_size=SCENE, interactions_per_user=30.0
        )
        file = WORK / "drawing" / f"world-{seed}-{items}.npy"
        if not file.is_file():
            shown = [np.asarray(world.picture(row, SCENE)) for row in track(range(items), "pictures of the world")]
            file.parent.mkdir(parents=True, exist_ok=True)
            np.save(file, np.stack(shown))
        categories = world.items.table(world.config)["category"].to_list()
        shown = [product_photo(one, kind) for one, kind in zip(np.load(file), categories, strict=True)]
        schema, codes = world.truth.schema, world.items.shown["image"]
        values = {c: [schema.values(c)[code] for code in codes[:, schema.column(c)]] for c in SHOWN}
        return cls(world, shown, values)

    @property
    def pixels(self) -> Bytes:
        return np.stack([read_pixels(one, SIDE) for one in self.pictures])

    @property
    def categories(self) -> list[str]:
        """Of every item."""
        return self.world.items.table(self.world.config)["category"].to_list()

    def data(self) -> Dataset:
        """The catalogue with the kind of each item and what its picture shows, and what people took."""
        table = self.world.items.table(self.world.config).select("item_id", "category", "subcategory")
        items = table.with_columns(
            picture=pl.Series(self.pictures), **{c: pl.Series(v) for c, v in self.values.items()}
        )
        log = self.world.interactions.select("user_id", "item_id", "timestamp")
        log = log.unique(["user_id", "item_id"], keep="first").sort("timestamp")
        kinds = dict.fromkeys(("category", "subcategory", *SHOWN), "attributes")
        columns = {"item_id": "id", "picture": "image", **kinds}
        return palate.Dataset.from_frames(items, log, columns=columns, split="leave_one_out", name="shop")

    def tastes(self) -> Dataset:
        """What taste is learnt from: what people took, category by category, as tastes hold within one.

        Items have what their pictures show alone: a kind would be the keyword of every such history.
        """
        table = self.world.items.table(self.world.config)
        items = table.select("item_id").with_columns(
            picture=pl.Series(self.pictures), **{c: pl.Series(v) for c, v in self.values.items()}
        )
        log = self.world.interactions.join(table.select("item_id", "category"), on="item_id")
        log = log.with_columns(user_id=pl.format("{} {}", "user_id", "category"))
        log = log.unique(["user_id", "item_id"], keep="first").sort("timestamp", "user_id", "item_id")
        columns = {"item_id": "id", "picture": "image", **dict.fromkeys(SHOWN, "attributes")}
        log = log.select("user_id", "item_id", "timestamp")
        return palate.Dataset.from_frames(items, log, columns=columns, split="leave_one_out", name="tastes")

    def requests(self, data: Dataset, n: int) -> tuple[list[GenerationRequest], dict[str, list[str]]]:
        """Items for users who did not take them but took eight or more of the category, and what these truly like.

        Of the history, requests give what its pictures show; all of it is of the item's own category.
        """
        view, frame, rng = data.select_view(), data.items.frame, rng_for(0, "requests")
        schema, truth = self.world.truth.schema, self.world.truth
        names, category = data.users.ids.ids.to_list(), frame["category"].to_numpy()
        rows_of = {str(name): row for row, name in enumerate(self.world.users.ids(self.world.config.n_users))}
        taste, interest = truth.tastes(np.arange(self.world.config.n_users)), truth.users.interest
        asked: list[GenerationRequest] = []
        liked: dict[str, list[str]] = {c: [] for c in LIKED}
        for user in rng.permutation(len(names)):
            taken, who = view.history[int(user)], rows_of[str(names[user])]
            slot = int(rng.integers((interest[who] >= 0).sum()))
            wanted = schema.categories[interest[who, slot]].name
            rows = [int(row) for row in taken if category[row] == wanted][-20:]
            if len(rows) < 8:
                continue
            item = int(rng.choice(np.setdiff1d(np.flatnonzero(category == wanted), taken)))
            records = [frame.select("item_id", *SHOWN).row(r, named=True) for r in rows]
            records.append(frame.drop("picture").row(item, named=True))
            images = {str(one["item_id"]): self.pictures[r] for one, r in zip(records, (*rows, item))}
            asked.append(
                GenerationRequest("product_picture", records[-1], records[:-1], images=images, size=(SIDE, SIDE))
            )
            for column in LIKED:
                at = schema.offsets[1 + schema.column(column)]
                block = taste[who, slot, at : at + len(schema.values(column))]
                liked[column].append(schema.values(column)[int(block.argmax())])
            if len(asked) == n:
                return asked, liked
        raise SystemExit(f"{len(asked)} users, {n} were asked for")


def product_photo(scene: Bytes, category: str) -> bytes:
    """The square of a picture in which objects of the category stand, PNG of 32 pixels.

    Args:
        scene: uint8 [SCENE, SCENE, 3].
        category: of its item.
    """
    names = [one.name for one in SHOP.categories]
    centre = REGIONS[names.index(category) % len(REGIONS)]
    left, top = (int(np.clip(round((c + 1) * SCENE / 2) - WINDOW // 2, 0, SCENE - WINDOW)) for c in centre)
    square = Image.fromarray(scene).crop((left, top, left + WINDOW, top + WINDOW))
    return png(square.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


@dataclass(frozen=True, eq=False)
class Judge:
    """Reads both sides from pictures: the user's true favourites, and the content of the item.

    Attributes:
        reader: trained on another world.
        asked: the requests.
        liked: column -> the favourite of each user.
    """

    reader: Reader
    asked: list[GenerationRequest]
    liked: dict[str, list[str]]

    def scores(self, pixels: Bytes) -> dict[str, list[float]]:
        """d_p, d_t, z and lost by user; lost is the share of liked columns that read as neither side's value."""
        own = {c: [str(one.item[c]) for one in self.asked] for c in SHOWN}
        content = {c: own[c] for c in CONTENT}
        d_p, d_t = self.reader.chances(pixels, self.liked).mean(1), self.reader.chances(pixels, content).mean(1)
        z = ALPHA * np.log(np.maximum(d_p, 1e-6)) + (1 - ALPHA) * np.log(np.maximum(d_t, 1e-6))
        found, lost = self.reader.read(pixels), []
        for column in LIKED:
            values = self.reader.values[column]
            read = [values[at] for at in found[column].argmax(1)]
            lost.append([one not in both for one, both in zip(read, zip(own[column], self.liked[column]))])
        found_by = {"d_p": d_p, "d_t": d_t, "z": z, "lost": np.mean(np.array(lost, float), 0)}
        return {key: np.round(values, 4).tolist() for key, values in found_by.items()}


def read_back(painter: Painter, reader: Reader, shop: Shop, ceiling: dict[str, float], folder: Path) -> list[dict]:
    """Share of pictures in which a value that was asked for is read: beside the category, and with all other values."""
    real, categories, network = shop.pixels[:400], shop.categories, painter.model.network
    names = sorted(set(categories))

    def read(words: list[list[tuple[str, float]]], kinds: list[str], seed: int) -> tuple[Bytes, dict[str, Reals]]:
        prompts = [PicturePrompt([(f"category={kind}", 1.0), *some], guidance=3.0) for kind, some in zip(kinds, words)]
        made = drawn(painter, prompts, seed)
        return made, reader.read(made)

    kinds = kinds_of(shop)[:96]
    whole = [[(f"{c}={shop.values[c][row]}", 1.0) for c in SHOWN] + kinds[row][1:] for row in range(96)]
    pictures, all_values = read(whole, categories[:96], 0)
    passed = reconstructed(network, real)
    back, chance = reader.read(passed), read([[]] * 48, names * 8, 1)[1]
    sheet(folder / "items.png", [x for at in range(0, 64, 16) for x in (real[at : at + 16], pictures[at : at + 16])])
    sheet(folder / "reconstructed.png", [real[:16], passed[:16]])
    rows = []
    for column in SHOWN:
        values = reader.values[column]
        pairs = [(value, kind) for value in values for kind in names]
        found = read([[(f"{column}={value}", 1.0)] for value, _ in pairs], [kind for _, kind in pairs], 2)[1][column]
        asked = np.array([values.index(value) for value, _ in pairs])
        truth = np.array([values.index(v) for v in shop.values[column]])
        rows.append({
            "attribute": column,
            "asked for beside the category": float((found.argmax(1) == asked).mean()),
            "asked for with the item's other values": float((all_values[column].argmax(1) == truth[:96]).mean()),
            "through the autoencoder alone": float((back[column].argmax(1) == truth[:400]).mean()),
            "real pictures": ceiling[column],
            "not asked for, commonest value": float(np.bincount(chance[column].argmax(1)).max() / 48),
            "chance": 1 / len(values),
        })  # fmt: skip
    return rows


def kinds_of(shop: Shop) -> list[list[tuple[str, float]]]:
    """Category and subcategory of each item as conditions."""
    table = shop.world.items.table(shop.world.config)
    return [
        [(f"category={one}", 1.0), (f"subcategory={other}", 1.0)]
        for one, other in table.select("category", "subcategory").iter_rows()
    ]


def drawn(painter: Painter, prompts: list[PicturePrompt], seed: int) -> Bytes:
    """Pictures of one seed; some users share a noise, see ``GROUP``."""
    parts = [painter.pixels(prompts[at : at + GROUP], seed=1000 * seed + at) for at in range(0, len(prompts), GROUP)]
    return np.concatenate(parts)


def taste(shop: Shop, data: Dataset, base: Path, personal: Path, reader: Reader, args: argparse.Namespace) -> Any:
    """System -> weight -> scores by seed and user, kept one file a system and seed."""
    asked, liked = shop.requests(data, args.users)
    judge, work, space = Judge(reader, asked, liked), base.parent, PictureSpace("image_stats")
    painter = Painter(read_picture_model(base), steps=args.steps)
    pmg = PMG(weights=str(personal), ratios=RATIOS, keywords=KEYWORDS)
    hard = PMG(weights=str(personal), ratios=RATIOS, keywords=KEYWORDS, soft=False)
    inversion = TextualInversion(
        weights=str(base), inversion_steps=args.inversion_steps, inversion_batch=args.inversion_batch
    )
    oracle = [
        replace(one, options={"ratio": 1.0}, preferences=[Preference(c, liked[c][at], 1.0) for c in LIKED])
        for at, one in enumerate(asked)
    ]
    pmg.open(), hard.open()
    plain = [some[0] for some in hard.candidates(asked)]

    def measure(prompts: dict[float, list[PicturePrompt]], seed: int) -> dict[str, Any]:
        return {f"{weight:g}": judge.scores(drawn(painter, some, seed)) for weight, some in prompts.items()}

    def at_ratios(model: PMG, seed: int) -> dict[str, Any]:
        made = {f"{r:g}": drawn(painter, list(some), seed) for r, some in zip(RATIOS, zip(*model.candidates(asked)))}
        return {r: judge.scores(some) for r, some in made.items()} | {
            "best": judge.scores(chosen(space, asked, [*made.values()]))
        }

    def inverted(seed: int) -> dict[str, Any]:
        tokens = inversion.learn(asked, seed=seed)
        return measure({w: inversion.prompts(asked, tokens, w) for w in TOKEN_WEIGHTS}, seed)

    def scaled(prompts: list[PicturePrompt], seed: int) -> dict[str, Any]:
        return measure({s: [replace(one, guidance=s) for one in prompts] for s in SCALES}, seed)

    one = [some[RATIOS.index(0.5)] for some in pmg.candidates(asked)]
    jobs: dict[str, Callable[[int], dict[str, Any]]] = {
        "none": lambda seed: measure(
            {w: [replace(p, words=weighted(p.words, w)) for p in plain] for w in ITEM_WEIGHTS}, seed
        ),
        "Textual Inversion": inverted,
        "PMG": lambda seed: at_ratios(pmg, seed),
        "PMG, keywords alone": lambda seed: at_ratios(hard, seed),
        "true favourites as keywords": lambda seed: measure(
            {r: [some[0] for some in hard.candidates([replace(o, options={"ratio": r}) for o in oracle])]
             for r in ORACLE_RATIOS}, seed
        ),
        "guidance of none": lambda seed: scaled(plain, seed),
        "guidance of PMG": lambda seed: scaled(one, seed),
    }  # fmt: skip
    copies = [copied(space, one) for one in asked]
    found: dict[str, list[dict[str, Any]]] = {
        "the item's own picture": [{"1": judge.scores(np.stack([read_pixels(own(o), SIDE) for o in asked]))}],
        "copy nearest history": [{"1": judge.scores(np.stack([read_pixels(c, SIDE) for c in copies]))}],
    }
    for seed in range(args.seeds):
        for name, job in jobs.items():
            file = work / "scores" / f"{name.replace(' ', '_')}-{seed}-{args.users}.json"
            found.setdefault(name, []).append(once(file, lambda job=job, seed=seed: job(seed)))
    gallery(painter, hard, plain, asked, ROOT / "docs" / "pictures" / "drawing_shop.jpg")
    return found


def own(request: GenerationRequest) -> bytes:
    """The item's picture."""
    return request.images[str(request.item["item_id"])]


def copied(space: PictureSpace, request: GenerationRequest) -> bytes:
    """The picture of the history that is nearest to the item's."""
    history = [request.images[str(record["item_id"])] for record in request.history]
    return history[copy_nearest(space, own(request), history)]


def chosen(space: PictureSpace, asked: list[GenerationRequest], by_ratio: list[Bytes]) -> Bytes:
    """Of the ratios the picture with the best z in a space that knows nothing of the reader."""
    kept = []
    for at, request in enumerate(asked):
        pictures = [png(Image.fromarray(some[at].transpose(1, 2, 0))) for some in by_ratio]
        kept.append(by_ratio[best_by_z(pictures, request, space, ALPHA)[0]][at])
    return np.stack(kept)


def gallery(painter: Painter, pmg: PMG, plain: list[PicturePrompt], asked: list[GenerationRequest], file: Path) -> None:
    """Rows: three pictures of the history, the item's own, drawn for the item alone, by PMG with rising weights."""
    users, shown = range(12), (0.5, 1.0, 2.0)
    history = [[one.images[str(r["item_id"])] for r in one.history[-3:]] for one in asked[:12]]
    rows = [np.stack([read_pixels(history[u][k], SIDE) for u in users]) for k in range(3)]
    rows.append(np.stack([read_pixels(own(asked[u]), SIDE) for u in users]))
    rows.append(drawn(painter, [plain[u] for u in users], 0))
    some = pmg.candidates([asked[u] for u in users])
    rows += [drawn(painter, [one[RATIOS.index(r)] for one in some], 0) for r in shown]
    sheet(file, rows, 2)


def mixture(d_t: ByWeight, d_p: ByWeight, level: float) -> dict[str, float] | None:
    """The shares of weights with the most mean d_p of those with a mean d_t of ``level`` at least; None without any.

    Between two neighbouring weights the share of users who get the one or the other is such that d_t is met.
    """
    content, taste = ({w: float(some.mean()) for w, some in each.items()} for each in (d_t, d_p))
    able = [{w: 1.0} for w, value in content.items() if value >= level]
    for a, b in pairwise(content):
        if (content[a] - level) * (content[b] - level) < 0:
            share = (content[a] - level) / (content[a] - content[b])
            able.append({a: 1 - share, b: share})
    return max(able, key=lambda some: sum(share * taste[w] for w, share in some.items()), default=None)


def folds(users: int) -> list[NDArray[np.intp]]:
    """Rows of the users, in parts."""
    return [np.arange(users)[at::FOLDS] for at in range(FOLDS)]


def at_level(system: list[dict[str, Any]], level: float) -> tuple[Reals, Reals] | None:
    """d_p and d_t by seed and user with the weights that have the most d_p at a d_t of ``level`` for other users.

    None where some of the others have no weight with that much d_t.
    """
    d_t, d_p = by_weight(system, "d_t"), by_weight(system, "d_p")
    first = next(iter(d_p.values()))
    out = np.empty_like(first), np.empty_like(first)
    for own in folds(first.shape[1]):
        content, taste = ({w: np.delete(some, own, 1) for w, some in each.items()} for each in (d_t, d_p))
        shares = mixture(content, taste, level)
        if shares is None:
            return None
        for values, each in zip(out, (d_p, d_t)):
            values[:, own] = sum(share * each[w][:, own] for w, share in shares.items())
    return out


def by_weight(system: list[dict[str, Any]], key: str) -> ByWeight:
    """Weight -> values by seed and user."""
    return {w: np.stack([np.asarray(one[w][key], np.float64) for one in system]) for w in weights_of(system)}


def levels(found: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """d_p of the systems at equal d_t, with intervals of what both forms of PMG have more.

    p is Holm's, over all levels and systems that a form is compared with.
    """
    top, names = float(np.mean([one["1"]["d_t"] for one in found["none"]])), ("none", "Textual Inversion", HARD, "PMG")
    rows, tests = [], list[tuple[int, str, PairedResult]]()
    compared = ((HARD, names[:2]), ("PMG", names[:3]))
    for at, share in enumerate(LEVELS):
        values = {n: v for n in names if (v := at_level(found[n], share * top)) is not None}
        row: dict[str, Any] = {"d_t asked for": share * top}
        for name in names:
            means = [float(part.mean()) for part in values[name]] if name in values else [None, None]
            row |= dict(zip((f"d_p of {name}", f"d_t of {name}"), means))
        rows.append(row | {above(own, n): None for own, others in compared for n in others})
        tests += [
            (at, above(own, n), compare_paired(values[own][0], values[n][0]))
            for own, others in compared for n in others if own in values and n in values
        ]  # fmt: skip
    for own, _ in compared:
        some = [one for one in tests if one[1].startswith(f"{own}, above ")]
        for (at, name, test), p in zip(some, holm([test.p_value for *_, test in some]), strict=True):
            rows[at][name] = f"{test.difference:+.3f} [{test.low:+.3f}, {test.high:+.3f}], p {p:.2g}"
    return rows


def above(own: str, other: str) -> str:
    """Name of a comparison."""
    return f"{own}, above {other}"


def rows_of(system: list[dict[str, Any]], name: str, weight: str) -> dict[str, Any]:
    """Means of a system at a weight, with the interval of z over users and seeds."""
    row: dict[str, Any] = {"system": name, "weight": weight}
    row |= {k: float(np.mean([one[weight][k] for one in system])) for k in ("d_p", "d_t", "z", "lost")}
    _, low, high = mean_interval(np.stack([one[weight]["z"] for one in system]))
    return row | {"z, 95 %": f"[{low:.3f}, {high:.3f}]"}


def weights_of(system: list[dict[str, Any]]) -> list[str]:
    """Those that were measured, without the choice among them."""
    return [weight for weight in system[0] if weight != "best"]


def interior(system: list[dict[str, Any]]) -> dict[str, Any]:
    """How far z lies above both ends with the weight that is best for other users, paired by user and seed."""
    z = by_weight(system, "z")
    inside, best = np.empty_like(next(iter(z.values()))), list[str]()
    for own in folds(inside.shape[1]):
        best.append(max(z, key=lambda w: np.delete(z[w], own, 1).mean()))
        inside[:, own] = z[best[-1]][:, own]
    tests = compare_all(inside, {w: z[w] for w in (min(z, key=float), max(z, key=float))})
    return {
        "best": sorted(set(best), key=float),
        "above the ends": {w: [-t.difference, -t.high, -t.low, t.p_adjusted] for w, t in tests.items()},
    }


def page(result: dict[str, Any]) -> str:
    """The tables."""
    a, facts = result["arguments"], result["cpu_seconds"]
    spent = ", ".join(f"{phase} {seconds:,.0f} s" for phase, seconds in facts.items())
    parts = [
        "# Drawn product photos of the simulated shop",
        f"\n{a['items']:,} items, pictures cut to the square where the item stands, {SIDE} pixels, "
        f"{result['parameters']:,} parameters; training on one "
        f"processor core: {spent}. Reconstructions of the autoencoder alone: {result['reconstruction, dB']:.1f} dB. "
        f"{a['users']} users, {a['seeds']} seeds of noise and of Textual Inversion; the network was trained once.",
        "\n## Values that were asked for, read back\n",
        table(result["read_back"]),
        "\n## Both sides of taste\n",
        "Style of the user on the content of the item. d_p: probability read for the user's true favourites (colour, "
        "pattern); d_t: for the item's shape; z = 2/3 log d_p + 1/3 log d_t by user; lost: share of colours and "
        "patterns read as neither side's.\n",
        table(result["rows"]),
        "\n## d_p at equal d_t\n",
        "The most d_p with a mean d_t of this at least, over the weights and mixtures of neighbouring ones; each "
        "fifth of the users gets what is best for the others, so that d_t is met up to what users differ by. p after "
        "Holm over all comparisons of a form of PMG.\n",
        table(result["equal d_t"]),
    ]
    curves = [row for rows in result["curves"].values() for row in rows]
    parts += ["\n## Over the weight of taste, of the item, and over guidance\n", table(curves)]
    for name, best in result["optimum of w_p"].items():
        ends = ", ".join(
            f"{gain:.3f} [{low:.3f}, {high:.3f}] above w_p {weight} (p {p:.2g})"
            for weight, (gain, low, high, p) in best["above the ends"].items()
        )
        chosen = " or ".join(best["best"])
        parts.append(f"\nz of {name} at the w_p that is best for other users ({chosen}): {ends}.")
    return "\n".join(parts) + "\n"


def plot(result: dict[str, Any], out: Path) -> None:
    """z over the weight of preferences, and both sides of taste: an SVG."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot as plt

    plt.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "palate", "font.family": "sans-serif", "font.size": 9}
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3.4))
    rows = result["curves"][HARD]
    x = np.arange(len(rows))
    for key, colour in (("d_p", "#c8553d"), ("d_t", "#3d6b8c")):
        left.plot(x, [row[key] for row in rows], "o-", color=colour, label=key, markersize=4)
    twin = left.twinx()
    twin.plot(x, [row["z"] for row in rows], "s--", color="#555555", label="z", markersize=4)
    twin.set_ylabel("z")
    left.set_xticks(x, [row["weight"] for row in rows])
    left.set_xlabel("w_p : 1, preference against item (PMG, keywords)")
    left.legend(handles=[*left.lines, *twin.lines], frameon=False)
    for name, colour in zip(
        ("none", "Textual Inversion", "PMG, keywords alone", "PMG"), ("#999999", "#e0a53a", "#7fa87f", "#c8553d")
    ):
        some = result["curves"][name]
        middle.plot([r["d_t"] for r in some], [r["d_p"] for r in some], "o-", color=colour, label=name, markersize=3)
    middle.set_xlabel("d_t")
    middle.set_ylabel("d_p")
    middle.legend(frameon=False, fontsize=7)
    for name, style in (("guidance of none", ":"), ("guidance of PMG", "-")):
        some = result["curves"][name]
        for key, colour in (("d_p", "#c8553d"), ("d_t", "#3d6b8c"), ("lost", "#555555")):
            right.plot(
                [float(r["weight"]) for r in some],
                [r[key] for r in some],
                style,
                color=colour,
                label=key if style == "-" else None,
            )
    right.set_xlabel("guidance scale (dotted: no taste)")
    right.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(out, metadata={"Date": None})
    plt.close(figure)


def run(args: argparse.Namespace) -> None:
    work = WORK / "drawing" / f"shop-{args.items}-{args.epochs}"
    shop, other = Shop.make(401, args.items, 1000), Shop.make(402, args.items, 50)
    reader, ceiling = Reader.kept(work / "reader", other.pixels, other.values, args.reader_epochs, args.items // 6)
    data, base, personal = shop.data(), work / "base", work / "personal"
    model = LatentDiffusion(epochs=args.epochs, tokenizer_epochs=args.tokenizer_epochs, **SETTINGS)
    seconds = trained(base, model, data)
    seconds |= trained(personal, PMG(weights=str(base), epochs=args.pmg_epochs, keywords=KEYWORDS), shop.tastes())
    painter = Painter(read_picture_model(base), steps=args.steps)
    real = shop.pixels[:400]
    quality = peak_signal(reconstructed(painter.model.network, real), real)
    back = read_back(painter, reader, shop, ceiling, work)
    found = taste(shop, data, base, personal, reader, args)
    result = {
        "read_back": back, "reconstruction, dB": quality, **statistics(found), "scores": found,
        "parameters": sum(one.numel() for one in painter.model.network.parameters()),
        "cpu_seconds": seconds, "data": data.hash, "arguments": vars(args), "settings": SETTINGS,
        "seeds": list(range(args.seeds)), "versions": versions(), "command": command_line(),
    }  # fmt: skip
    write(result)


def statistics(found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """What is said of the scores by user."""
    return {
        "equal d_t": levels(found),
        "rows": [rows_of(found[name], name, weight) for name, weight in ROWS],
        "curves": {n: [rows_of(found[n], n, w) for w in weights_of(found[n])] for n in CURVES},
        "optimum of w_p": {n: interior(found[n]) for n in ("PMG", HARD)},
    }


def write(result: dict[str, Any]) -> None:
    """Write the results, their tables and their curves."""
    keep("drawing_shop", result, page(result))
    plot(result, ROOT / "docs" / "pictures" / "drawing.svg")


def tables() -> None:
    """The statistics again, from the scores by user that the result file has."""
    result = read_json(RESULTS / "drawing_shop.json")
    write(result | statistics(result["scores"]))
