"""The loop: resumes to the same bits, stops early, runs phases, refuses a loss that is not a number."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from small_data import bits, learn, small
from torch import nn

from palate.contracts import InputSpec, Matcher, Phase, Requirements
from palate.core.context import RunContext
from palate.core.errors import ArtefactError
from palate.data.views import TrainView
from palate.ranking.scorer import VectorScorer
from palate.training import loop, sources
from palate.training.checkpoint import Progress, read_checkpoint, write_checkpoint
from palate.training.loop import TrainingError, train


class Interrupted(Exception):
    """Stands in for a power cut."""


class Toy(Matcher):
    """Two tables, two phases; counts what the loop does with it."""

    name = "toy"
    requirements = Requirements()

    def __init__(self, epochs: int = 6, patience: int = 20, bad_from: int = 10**9) -> None:
        super().__init__()
        self.epochs, self.patience, self.bad_from = epochs, patience, bad_from
        self.seen: list[int] = []

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        self.users = nn.Parameter(torch.randn(shape.n_users, 4))
        self.items = nn.Parameter(torch.randn(shape.n_items, 4))

    def on_epoch(self, epoch: int, rng: np.random.Generator) -> None:
        self.seen.append(epoch)

    def loss(self, batch):
        gap = (self.users[batch.users] * (self.items[batch.items] - self.items[batch.negatives[:, 0]])).sum(-1)
        noise = torch.rand(()) * 1e-3
        value = nn.functional.softplus(-gap).mean() + noise
        return {"loss": value * (float("nan") if len(self.seen) > self.bad_from else 1.0), "gap": gap.mean()}

    def phases(self) -> list[Phase]:
        return [
            Phase("items", self.loss, [self.items], 0.05, 0.0, None, 2, validate=False),
            Phase("all", self.loss, [self.users, self.items], 0.05, 0.0, lambda e: 0.5**e, self.epochs, self.patience),
        ]

    def scorer(self) -> VectorScorer:
        return VectorScorer(self.users.detach(), self.items.detach())


def toy_view() -> TrainView:
    return small().select_view(0)


def run(model: Toy, checkpoint=None, seconds: float = 0.0) -> Progress:
    torch.manual_seed(0)
    model.setup(toy_view())
    return train(model, toy_view(), RunContext(checkpoint=checkpoint, checkpoint_seconds=seconds, fingerprint="t"))


def break_after(monkeypatch, epochs: int) -> None:
    """Raise inside epoch number ``epochs`` + 1, counted over all phases."""
    done = {"n": 0}
    real = loop._Phase.epoch

    def epoch(self):
        if done["n"] == epochs:
            raise Interrupted
        done["n"] += 1
        return real(self)

    monkeypatch.setattr(loop._Phase, "epoch", epoch)


@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", ["lightgcn", "toy", "bpr"])
def test_resumes_at_every_epoch_to_the_same_bits(name, epochs, tmp_path, monkeypatch):
    def go(folder):
        if name != "toy":
            sweeps = {"optimiser": "sgd", "penalty": "squares"} if name == "bpr" else {}
            return learn(name, folder, epochs=6, **sweeps)
        model = Toy()
        folder.mkdir(exist_ok=True)
        run(model, folder / "toy.safetensors")
        return model

    whole = bits(go(tmp_path / "whole"))
    with monkeypatch.context() as patch:
        break_after(patch, epochs)
        with pytest.raises(Interrupted):
            go(tmp_path / "cut")
    assert list((tmp_path / "cut").glob("*.safetensors"))
    assert bits(go(tmp_path / "cut")) == whole


def test_a_sweep_takes_the_place_of_loss_and_optimiser():
    rates = []

    class Sweeper(Toy):
        def loss(self, batch):
            raise AssertionError("a model that sweeps has no use for batches")

        def phases(self) -> list[Phase]:
            return [Phase("own", self.loss, [self.items], 0.5, schedule=lambda e: 0.5**e, epochs=3, sweep=self.own)]

        def own(self, lr, rng):
            rates.append(lr)
            with torch.no_grad():
                self.items += lr
            return {"loss": float(rng.random()), "steps": 7.0}

    state = run(Sweeper())
    assert rates == [0.5, 0.25, 0.125]
    assert [record["steps"] for record in state.history] == [7.0] * 3
    assert len({record["loss"] for record in state.history}) == 3


def test_a_sweep_that_diverges_is_named():
    class Diverging(Toy):
        def phases(self) -> list[Phase]:
            return [Phase("own", self.loss, [self.items], 0.5, sweep=lambda lr, rng: {"loss": float("nan")})]

    with pytest.raises(TrainingError, match="toy"):
        run(Diverging())


def test_a_finished_checkpoint_is_not_trained_again(tmp_path, monkeypatch):
    first = learn("bpr", tmp_path)
    break_after(monkeypatch, 0)
    assert bits(learn("bpr", tmp_path)) == bits(first)


@pytest.mark.parametrize("change", [{"lr": 0.03}, {"epochs": 4}, {"dim": 4}])
def test_a_checkpoint_of_other_settings_is_ignored(tmp_path, change):
    learn("bpr", tmp_path)
    assert bits(learn("bpr", tmp_path, **change)) == bits(learn("bpr", None, **change))


def test_early_stopping_keeps_the_best_epoch(monkeypatch):
    scores = iter([0.1, 0.4, 0.3, 0.4, 0.2, 0.9])
    kept: list[torch.Tensor] = []

    def judged(scorer, held, metric):
        kept.append(scorer.users.clone())
        return next(scores)

    monkeypatch.setattr(sources, "validate", judged)
    model = Toy(epochs=50, patience=3)
    state = run(model)
    assert len(kept) == 5, "patience 3 after the best, which is the first of equals"
    assert torch.equal(model.users.detach(), kept[1])
    assert [record.get("valid") for record in state.history] == [None, None, 0.1, 0.4, 0.3, 0.4, 0.2]


def test_phases_run_in_order_and_train_their_parameters_only(monkeypatch):
    torch.manual_seed(0)
    model = Toy(epochs=3)
    model.setup(toy_view())
    start = model.users.detach().clone()
    after: dict[str, torch.Tensor] = {}
    real = loop._Phase.run

    def watched(self):
        real(self)
        after[self.phase.name] = self.model.users.detach().clone()

    monkeypatch.setattr(loop._Phase, "run", watched)
    state = train(model, toy_view(), RunContext())
    assert list(after) == ["items", "all"]
    assert torch.equal(after["items"], start) and not torch.equal(after["all"], start)
    assert [(r["phase"], r["epoch"]) for r in state.history] == [("items", 0), ("items", 1)] + [
        ("all", e) for e in range(3)
    ]
    assert model.seen == [0, 1, 0, 1, 2] and state.phase == 2


def test_the_schedule_scales_the_learning_rate(monkeypatch):
    rates: list[float] = []
    real = torch.optim.Adam.step

    def step(self, *args, **kwargs):
        rates.append(self.param_groups[0]["lr"])
        return real(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    run(Toy(epochs=3))
    assert rates == pytest.approx([0.05, 0.05, 0.05, 0.025, 0.0125])


def test_a_loss_that_is_not_finite_is_an_error():
    with pytest.raises(TrainingError) as caught:
        run(Toy(bad_from=3))
    assert caught.value.key == "lr" and "toy" in caught.value.message and caught.value.hint


def test_every_term_is_logged_and_time_is_measured():
    state = run(Toy(epochs=2))
    for record in state.history:
        assert np.isfinite([record["loss"], record["gap"]]).all() and record["seconds"] > 0


def test_progress_is_reported_once_an_epoch(tmp_path):
    learn("lightgcn", tmp_path, epochs=3)
    with safe_open(str(tmp_path / "select.safetensors"), framework="pt") as file:
        facts = json.loads(file.metadata()["palate"])
    assert facts["progress"]["epoch"] == 3 and len(facts["progress"]["history"]) == 3


def test_item_cold_refit_trains_for_the_selected_epochs(tmp_path):
    model = learn("bpr", tmp_path, split="item_cold:seed=2,valid=0.2,test=0.2", epochs=6)
    selected = model.deployment.log.selected["epochs"]
    best = max(model.deployment.log.history, key=lambda record: (record["valid"], -record["epoch"]))
    assert selected == best["epoch"] + 1 and model.config.epochs == selected
    found = read_checkpoint(tmp_path / "refit.safetensors", _fingerprint(tmp_path / "refit.safetensors"))
    assert found is not None and found[0].epoch == selected
    assert "valid" not in found[0].history[0]


def _fingerprint(path) -> str:
    with safe_open(str(path), framework="pt") as file:
        return json.loads(file.metadata()["palate"])["fingerprint"]


def test_checkpoints_of_strangers_damaged_and_newer_ones(tmp_path):
    path = tmp_path / "c.safetensors"
    assert read_checkpoint(path, "me") is None
    weights = {"w": torch.arange(3.0)}
    state = {"state": {0: {"step": torch.tensor(2.0), "exp_avg": torch.ones(3)}}}
    write_checkpoint(path, "me", Progress(1, 4, 0.25, 3, 2, [{"loss": 0.1}]), weights, state, None)
    assert read_checkpoint(path, "you") is None
    progress, model, optimiser, best = read_checkpoint(path, "me")
    assert progress == Progress(1, 4, 0.25, 3, 2, [{"loss": 0.1}]) and not best
    assert torch.equal(model["w"], weights["w"]) and torch.equal(optimiser[0]["exp_avg"], torch.ones(3))
    whole = path.read_bytes()
    for size in (0, 7, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ArtefactError) as caught:
            read_checkpoint(path, "me")
        assert caught.value.hint and str(path) == caught.value.file
    from palate.core.files import write_tensors

    write_tensors(path, {"model/w": torch.ones(1)}, {"palate": json.dumps({"format": 99, "fingerprint": "me"})})
    with pytest.raises(ArtefactError, match="newer format 99"):
        read_checkpoint(path, "me")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_nearly_the_same_losses():
    from palate.contracts import models
    from palate.training.fit import fit

    runs = []
    for device in ("cpu", "cuda"):
        model = models.get("bpr")(dim=8, batch_size=64, epochs=3)
        runs.append([r["loss"] for r in fit(model, small(), seed=1, device=device).deployment.log.history])
    np.testing.assert_allclose(runs[0], runs[1], rtol=1e-3)
