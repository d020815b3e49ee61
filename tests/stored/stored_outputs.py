"""What is stored of a model or pretrainer: lists, scores, losses, selected settings and a summary of its tensors."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, cached_property, wraps
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import ranker_case
import tagger_case
import torch
from cases import Case, people, visitors
from checks_axes import content_of
from pretrain_case import Ground, readers
from safetensors.numpy import load_file
from tiny_world import arrivals, variant

from palate.contracts import Tagger, models, pretrainers
from palate.core.errors import PalateError
from palate.evaluation.tasks.rank import predict
from palate.training.fit import fit
from palate.training.pretrain import pretrain

Record = dict[str, Any]

FOLDER = Path(__file__).resolve().parent / "outputs"
USERS = (0, 1, 17)
VISITORS = ([2, 6, 10], [5], [])
SETTINGS = {"dim": 8, "epochs": 2, "batch_size": 64, "lr": 0.01}
MEMBERS = ("ease_content", "freedom", "bpr")
FITS: dict[str, Record] = {
    "trained content": {"tuning": "lora:2", "fused_dim": 8},
    "early fusion": {"tuning": "partial:1", "fusion": "early", "fused_dim": 8},
    "gaps": {"modality_dropout": 0.5, "impute": "ridge"},
}
"""Fits with other settings; a model that refuses them has that stored."""
PRETRAIN = {"dim": 16, "width": 8, "layers": 1, "epochs": 2, "batch_size": 16, "lr": 3e-3, "patience": 50}
DIGITS = 9
ADAM_EPSILON = 1e-2


def names() -> list[str]:
    """Everything whose outputs are stored."""
    return sorted([*models.names(), *pretrainers.names()])


def stored() -> list[str]:
    """Everything that has a file."""
    return sorted(file.stem for file in FOLDER.glob("*.json"))


def file_of(name: str) -> Path:
    """Where the outputs of ``name`` are stored."""
    return FOLDER / f"{name}.json"


def read(name: str) -> Record:
    """Stored outputs."""
    record: Record = json.loads(file_of(name).read_text(encoding="utf-8"))
    return record


def write(name: str, record: Record) -> None:
    """Store outputs."""
    FOLDER.mkdir(exist_ok=True)
    file_of(name).write_text(layout(record) + "\n", encoding="utf-8")


def layout(value: Any, indent: str = "") -> str:
    """JSON in which everything short stays in one line, so that a difference can be read."""
    line = json.dumps(value)
    if not isinstance(value, dict) or len(indent) + len(line) <= 110:
        return line
    inner = indent + " "
    entries = [f"{inner}{json.dumps(key)}: {layout(entry, inner)}" for key, entry in value.items()]
    return "{\n" + ",\n".join(entries) + f"\n{indent}}}"


def rounded(value: Any) -> Any:
    """Plain JSON: arrays as lists, floats with nine significant digits, those that JSON lacks by name."""
    if isinstance(value, dict):
        return {str(key): rounded(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [rounded(entry) for entry in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else str(float(value))
    return value


@cache
def machine() -> str:
    """What decides how results are rounded."""
    described = Path("/proc/cpuinfo")
    lines = described.read_text(encoding="utf-8").splitlines() if described.exists() else []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    return f"{model}, {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}, numpy {np.__version__}"


def summary(values: np.ndarray) -> Record:
    """Shape, type and three sums of a tensor; ``mixed`` weighs places, so that swapped values show."""
    flat = np.nan_to_num(np.asarray(values, np.float64).ravel(), nan=2, posinf=3, neginf=-3)
    weights = np.cos(np.arange(len(flat)))
    return {
        "shape": list(values.shape),
        "dtype": str(values.dtype),
        "sum": flat.sum(),
        "absolute": np.abs(flat).sum(),
        "mixed": flat @ weights,
    }


def tensors(file: Path) -> Record:
    """Summaries of the tensors of a file, by name."""
    return {name: summary(values) for name, values in sorted(load_file(file).items())}


def learnt(model: Any, run: Path) -> Record:
    """Summaries of the tensors of a run, and of those that only training reads, which a run leaves out."""
    state = model.state_dict()
    unsaved = {name: summary(state[name].numpy(force=True)) for name in model.training_tensors()}
    return dict(sorted({**tensors(run / "model.safetensors"), **unsaved}.items()))


def without_seconds(history: Iterable[Record]) -> list[Record]:
    """Learning curves without what a clock measured."""
    return [{key: value for key, value in entry.items() if "seconds" not in key} for entry in history]


def ranked(items: np.ndarray, scores: np.ndarray) -> Record:
    """A list as it is stored."""
    return {"items": items, "scores": scores}


def frame_list(frame: pl.DataFrame) -> Record:
    """A list of the public interface."""
    return {"items": frame["item"].to_list(), "scores": frame["score"].to_list()}


@contextmanager
def steady_rounding() -> Iterator[None]:
    """Train so that rounding, which differs between processors, stays rounding.

    Adam divides a gradient by its own size. One that is zero in exact arithmetic (of a bias before a softmax, say) is
    rounding alone, and would be blown up to a full step; a larger epsilon in the divisor leaves it small.
    """
    threads, initialise = torch.get_num_threads(), torch.optim.Adam.__init__

    @wraps(initialise)
    def steady(self: Any, *args: Any, **more: Any) -> None:
        # AdamW hands its own default on by place
        if len(args) > 3:
            args = (*args[:3], ADAM_EPSILON, *args[4:])
        else:
            more.setdefault("eps", ADAM_EPSILON)
        initialise(self, *args, **more)

    torch.set_num_threads(1)
    torch.optim.Adam.__init__ = steady
    try:
        yield
    finally:
        torch.optim.Adam.__init__ = initialise
        torch.set_num_threads(threads)


class Outputs:
    """Fits on the tiny world and says what came out.

    Args:
        folder: scratch space.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def of(self, name: str) -> Record:
        """Outputs of a model or pretrainer."""
        with steady_rounding():
            if name in ranker_case.rankers():
                found = self.ranker(name)
            elif name in models.names() and issubclass(models.get(name), Tagger):
                found = self.tagger(name)
            else:
                found = self.model(name) if name in models.names() else self.pretrainer(name)
        return {"machine": machine(), **rounded(found)}

    def model(self, name: str) -> Record:
        """Outputs of a model that recommends."""
        record = {
            "plain": refusable(lambda: self.plain(name)),
            "item_cold": refusable(lambda: self.item_cold(name)),
            "described": self.described(name),
        }
        for preset, settings in models.get(name).presets.items():
            record[f"preset {preset}"] = refusable(lambda found=settings: self.varied(name, "plain", found))
        for title, settings in FITS.items():
            record[title] = refusable(lambda found=settings: self.varied(name, "described", found))
        return record

    def ranker(self, name: str) -> Record:
        """Scores of test events, what is saved, losses."""
        model = fit(ranker_case.make(name), ranker_case.shop(), seed=0)
        run = self.saved(model)
        scores = predict(model, ranker_case.shop().test_events())
        return {"scores": scores[:40], "all scores": summary(scores), **facts(run), "tensors": learnt(model, run)}

    def tagger(self, name: str) -> Record:
        """Probabilities and tags of several labels and of one label an item, what is saved, losses."""
        record: Record = {}
        for column in ("genre", "kind"):
            data = tagger_case.shop(column)
            model = fit(tagger_case.make(name), data, seed=0, content=tagger_case.plan(data))
            run = self.saved(model)
            found = model.tag(model.deployment.features)
            own = {
                "probabilities": found[:12],
                "all": summary(found),
                "tags": model.tags(["i00", "i07"])["tag"].to_list(),
            }
            record[column] = {**own, **facts(run), "tensors": learnt(model, run)}
        return record

    def fit(self, name: str, world: str, more: Record | None = None, seed: int = 0) -> Any:
        """A fitted model."""
        model = models.get(name)(**self.settings(name, more or {}))
        case, data = Case(type(model), self.folder), variant(world)
        trains = getattr(model.config, "trains_content", False)
        return model.fit(data, seed=seed, content=content_of(case) if trains else case.content(data))

    def settings(self, name: str, more: Record) -> Record:
        """Settings with which a fit takes a fraction of a second."""
        fields = models.get(name).Config.model_fields
        found = {key: value for key, value in SETTINGS.items() if key in fields}
        if "members" in fields:
            found |= {"members": MEMBERS, "settings": {member: self.settings(member, {}) for member in MEMBERS}}
        return {**more, **found}

    def plain(self, name: str) -> Record:
        """Users and visitors; what is saved; what the public interface answers."""
        model = self.fit(name, "plain")
        run = self.saved(model)
        recommended = model.recommend(["u03"], k=10), model.recommend(history=["i01", "i02"], k=10)
        return {
            "lists": lists(model, "plain"),
            "recommended": {"u03": frame_list(recommended[0]), "visitor": frame_list(recommended[1])},
            "similar": refusable(lambda: frame_list(model.similar_items("i04", k=5))),
            **facts(run),
            "tensors": learnt(model, run),
        }

    def item_cold(self, name: str) -> Record:
        """Content of items that training did not see; the protocol trains again on more."""
        model = self.fit(name, "item_cold", seed=1)
        return {"lists": lists(model, "item_cold"), **facts(self.saved(model))}

    def described(self, name: str) -> Record:
        """Text and attributes, encoded here; two items arrive after fitting."""
        model = self.fit(name, "described")
        return {"lists": lists(model, "described"), "new items": refusable(lambda: with_arrivals(model))}

    def varied(self, name: str, world: str, settings: Record) -> Record:
        """RaggedArray, losses and tensors under other settings."""
        model = self.fit(name, world, settings)
        run = self.saved(model)
        return {
            "lists": lists(model, world, USERS[:1], VISITORS[:1]),
            **facts(run),
            "tensors": learnt(model, run),
        }

    def saved(self, model: Any) -> Path:
        """A run folder."""
        run: Path = model.save(self.folder / "run", overwrite=True)
        return run

    @cached_property
    def ground(self) -> Ground:
        """The shop of the pretrainers."""
        return Ground.make(self.folder / "ground")

    def pretrainer(self, name: str) -> Record:
        """Losses and retrieval scores, tensors and vectors of the encoders that training leaves behind."""
        kind, data, out = pretrainers.get(name), self.ground.data(), self.folder / "encoders"
        settings = {key: value for key, value in PRETRAIN.items() if key in kind.Config.model_fields}
        encoders = pretrain(
            kind(**settings), data, out, seed=0, readers=readers(name), store=self.ground.store, overwrite=True
        )
        history = json.loads((out / "pretrained.json").read_text(encoding="utf-8"))["history"]
        record: Record = {"history": without_seconds(history), "encoders": {}}
        for modality, encoder in encoders.items():
            vectors = encoder.encode(data.items.raw(modality, np.arange(12))).values
            files = sorted((out / modality).rglob("*.safetensors"))
            record["encoders"][modality] = {
                "vectors": summary(vectors),
                "first": vectors[:2, :8],
                "tensors": {str(file.relative_to(out / modality)): tensors(file) for file in files},
            }
        return record


def refusable(make: Callable[[], Record]) -> Record:
    """Outputs, or that the model refuses."""
    try:
        return make()
    except PalateError:
        return {"refused": True}


def lists(model: Any, world: str, users: Iterable[int] = USERS, histories: Iterable[list[int]] = VISITORS) -> Record:
    """The best twenty of some users of the table and of visitors with these histories."""
    scorer, rows, taken = model.scorer(), np.array(list(users)), list(histories)
    batches = (
        ([f"user {row}" for row in rows], people(variant(world), rows)),
        ([f"visitor {history}" for history in taken], visitors(taken)),
    )
    return {
        name: ranked(*pair)
        for titles, batch in batches
        for name, *pair in zip(titles, *scorer.topk(batch, 20), strict=True)
    }


def with_arrivals(model: Any) -> Record:
    """A list after two items arrived."""
    model.add_items(arrivals())
    return frame_list(model.recommend(history=["i00", "i04"], k=20))


def facts(run: Path) -> Record:
    """What fitting wrote down: losses, validation value and selected settings."""
    log = json.loads((run / "manifest.json").read_text(encoding="utf-8"))["log"]
    return {"history": without_seconds(log["history"]), **{key: log[key] for key in ("valid", "metric", "selected")}}
