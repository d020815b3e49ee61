"""The loop: resumes to the same bits, stops early, runs phases, refuses a loss that is not a number."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from small_data import bits, learn, small
from torch import nn

from palate.batches.pairs import PairBatches
from palate.batches.sequences import SequenceBatches
from palate.contracts import InputSpec, Matcher, ParamGroup, Phase, StepInfo
from palate.contracts.schedules import by_epoch, schedule_of
from palate.core.config import TrainedConfig
from palate.core.context import RunContext
from palate.core.errors import ArtefactError
from palate.core.seeding import rng_for
from palate.data.views import TrainView
from palate.evaluation.tasks import match
from palate.ranking.scorer import VectorScorer
from palate.training import loop, optim, prefetch
from palate.training.checkpoint import Progress, read_checkpoint, write_checkpoint
from palate.training.loop import TrainingError, train

DRAWS: dict[str, float] = {}


class Interrupted(Exception):
    """Stands in for a power cut."""


class Toy(Matcher):
    """Two tables, two phases; counts what the loop does with it."""

    name = "toy"

    def __init__(self, epochs: int = 6, patience: int = 20, bad_from: int = 10**9, **changes: object) -> None:
        super().__init__()
        self.changes = changes
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
            Phase("items", self.loss, [self.items], 0.05, epochs=2, validate=False),
            Phase(
                "all",
                self.loss,
                [self.users, self.items],
                0.05,
                schedule=by_epoch(lambda epoch: 0.5**epoch),
                epochs=self.epochs,
                patience=self.patience,
                **self.changes,
            ),
        ]

    def batches(self, train: TrainView, run: RunContext) -> PairBatches:
        return PairBatches(train)

    def scorer(self) -> VectorScorer:
        return VectorScorer(self.users.detach(), self.items.detach())


def toy_view() -> TrainView:
    return small().select_view()


def run(model: Toy, checkpoint=None, seconds: float = 0.0) -> Progress:
    torch.manual_seed(0)
    model.setup(toy_view(), RunContext())
    return train(model, toy_view(), RunContext(checkpoint=checkpoint, checkpoint_seconds=seconds, fingerprint="t"))


def break_after(monkeypatch, epochs: int) -> None:
    """Raise inside epoch number ``epochs`` + 1, counted over all phases."""
    done = {"n": 0}
    real = loop._PhaseRun.epoch

    def epoch(self):
        if done["n"] == epochs:
            raise Interrupted
        done["n"] += 1
        return real(self)

    monkeypatch.setattr(loop._PhaseRun, "epoch", epoch)


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


def test_train_epoch_takes_the_place_of_loss_and_optimiser():
    rates = []

    class WholeEpochs(Toy):
        def loss(self, batch):
            raise AssertionError("a model that trains whole epochs has no use for batches")

        def phases(self) -> list[Phase]:
            return [
                Phase(
                    "own",
                    self.loss,
                    [self.items],
                    0.5,
                    schedule=by_epoch(lambda e: 0.5**e),
                    epochs=3,
                    train_epoch=self.own,
                )
            ]

        def own(self, lr, rng):
            rates.append(lr)
            with torch.no_grad():
                self.items += lr
            return {"loss": float(rng.random()), "steps": 7.0}

    state = run(WholeEpochs())
    assert rates == [0.5, 0.25, 0.125]
    assert [record["steps"] for record in state.history] == [7.0] * 3
    assert len({record["loss"] for record in state.history}) == 3


def test_a_whole_epoch_that_diverges_is_named():
    class Diverging(Toy):
        def phases(self) -> list[Phase]:
            return [Phase("own", self.loss, [self.items], 0.5, train_epoch=lambda lr, rng: {"loss": float("nan")})]

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

    monkeypatch.setattr(match, "validate", judged)
    model = Toy(epochs=50, patience=3)
    state = run(model)
    assert len(kept) == 5, "patience 3 after the best, which is the first of equals"
    assert torch.equal(model.users.detach(), kept[1])
    assert [record.get("valid") for record in state.history] == [None, None, 0.1, 0.4, 0.3, 0.4, 0.2]


def test_phases_run_in_order_and_train_their_parameters_only(monkeypatch):
    torch.manual_seed(0)
    model = Toy(epochs=3)
    model.setup(toy_view(), RunContext())
    start = model.users.detach().clone()
    after: dict[str, torch.Tensor] = {}
    real = loop._PhaseRun.run_phase

    def watched(self):
        real(self)
        after[self.phase.name] = self.model.users.detach().clone()

    monkeypatch.setattr(loop._PhaseRun, "run_phase", watched)
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
    write_checkpoint(path, "me", Progress(1, 4, 9, 0.25, 3, 2, [{"loss": 0.1}]), weights, state, None)
    assert read_checkpoint(path, "you") is None
    progress, model, optimiser, best = read_checkpoint(path, "me")
    assert progress == Progress(1, 4, 9, 0.25, 3, 2, [{"loss": 0.1}]) and not best
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


def test_a_negative_validation_score_can_be_the_best(monkeypatch):
    scores = iter([-7.0, -5.0, -6.0, -6.5])
    monkeypatch.setattr(match, "validate", lambda scorer, queries, metric: next(scores))
    state = run(Toy(epochs=4, patience=2))
    assert state.history[3]["valid"] == -5.0 and len(state.history) == 6


def test_lower_is_better_keeps_the_lowest(monkeypatch):
    scores = iter([3.0, 2.0, 2.5, 2.6])
    weights: list[torch.Tensor] = []

    def judged(scorer, queries, metric):
        weights.append(scorer.users.clone())
        return next(scores)

    monkeypatch.setattr(match, "validate", judged)
    monkeypatch.setattr(match.MatchTask, "lower_is_better", frozenset({"recall"}))
    model = Toy(epochs=4, patience=2)
    run(model)
    assert torch.equal(model.users.detach(), weights[1])


def test_steps_can_be_limited_and_validated_inside_an_epoch(monkeypatch):
    scores = iter([0.1, 0.3, 0.2, 0.25, 0.1, 0.1, 0.1, 0.1])
    monkeypatch.setattr(match, "validate", lambda scorer, queries, metric: next(scores))

    class Small(Toy):
        Config = TrainedConfig

    model = Small(epochs=9, max_steps=5, validate_every_steps=2)
    model.config = TrainedConfig(batch_size=64)
    state = run(model)
    per_epoch = -(-len(toy_view()) // 64)
    assert per_epoch == 4
    records = [record for record in state.history if record["phase"] == "all"]
    assert [r["valid"] for r in records[0]["valid_inside"]] == [0.1, 0.3] and records[0]["valid"] == 0.2
    assert len(records) == 2, "five steps of four an epoch end in the second"


def test_the_seed_decides_the_order_of_batches_and_the_negatives():
    def drawn(seed):
        seen = []

        class Watching(Toy):
            def loss(self, batch):
                seen.append((batch.users.tolist(), batch.items.tolist(), batch.negatives.flatten().tolist()))
                return super().loss(batch)

        torch.manual_seed(0)
        model = Watching(epochs=1)
        model.setup(toy_view(), RunContext())
        train(model, toy_view(), RunContext(seed=seed))
        return seen

    first, again, other = drawn(0), drawn(0), drawn(1)
    assert first == again
    assert first[0][:2] != other[0][:2], "another order of the pairs"

    def negatives(found):
        return {
            pair: n for users, items, ns in found[:1] for *pair, n in zip(users, items, ns) for pair in [tuple(pair)]
        }

    mine, theirs = negatives(first), negatives(other)
    shared = mine.keys() & theirs.keys()
    assert shared and any(mine[pair] != theirs[pair] for pair in shared), "other negatives of the same pairs"


def test_the_seed_decides_what_a_batch_that_may_be_prepared_elsewhere_draws():
    class Drawing:
        sequential = False

        def __len__(self):
            return 6

        def collate(self, rows, rng):
            return rng.integers(0, 1 << 30, len(rows))

    def drawn(seed):
        return [s.batch.tolist() for s in prefetch.steps(Drawing(), 3, prefetch.Epoch(seed, 0, 0), rng_for(0), "cpu")]

    assert drawn(0) == drawn(0) != drawn(1)


def test_a_short_last_batch_can_be_left_out():
    class Rows:
        sequential = False

        def __len__(self):
            return 10

        def collate(self, rows, rng):
            return rows

    def cut(size, whole, epoch=0):
        where = prefetch.Epoch(0, 0, epoch)
        found = prefetch.steps(Rows(), size, where, rng_for(0, epoch), "cpu", whole)
        return [step.batch.tolist() for step in found]

    assert [len(part) for part in cut(4, False)] == [4, 4, 2] and sorted(np.concatenate(cut(4, False))) == [*range(10)]
    assert cut(4, True) == cut(4, False)[:2]
    assert [len(part) for part in cut(5, True)] == [5, 5] and [len(part) for part in cut(20, True)] == [10]
    left = {tuple(sorted(set(range(10)) - {*np.concatenate(cut(4, True, epoch))})) for epoch in range(5)}
    assert len(left) > 1, "other rows each epoch"


def test_accumulated_gradients_are_their_mean_and_large_ones_are_clipped(monkeypatch):
    norms: list[float] = []
    real = torch.optim.Adam.step

    def step(self, *args, **kwargs):
        total = sum(float(p.grad.square().sum()) for group in self.param_groups for p in group["params"])
        norms.append(total**0.5)
        return real(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", step)

    class Small(Toy):
        Config = TrainedConfig

    for accumulate, steps in ((1, 4), (2, 2), (3, 2), (9, 1)):
        norms.clear()
        model = Small(epochs=1, accumulate=accumulate, clip=1e-3)
        model.config = TrainedConfig(batch_size=64)
        run(model)
        mine = norms[-steps:]
        assert len(norms) == 2 * 4 + steps and max(mine) <= 1e-3 * 1.001


@pytest.mark.parametrize("accumulate", [2, 3, 9])
def test_a_step_of_several_batches_has_the_mean_of_their_gradients(accumulate, monkeypatch):
    parts, steps = [], []
    monkeypatch.setattr(torch.optim.SGD, "step", lambda self: steps.append((model.items.grad.clone(), parts.copy())))
    model = Toy(epochs=1, accumulate=accumulate, optimizer="sgd")
    model.config = TrainedConfig(batch_size=64)
    torch.manual_seed(0)
    model.setup(toy_view(), RunContext())
    model.items.register_hook(lambda grad: parts.append(grad.clone()))
    train(model, toy_view(), RunContext())
    first_phase = 2 * 4
    sizes = [len(so_far) - before for before, (_, so_far) in zip([first_phase, *(len(p) for _, p in steps)], steps)]
    assert max(sizes) == min(accumulate, 4) and sizes[-1] == (4 - 1) % accumulate + 1
    for size, (found, so_far) in zip(sizes, steps):
        torch.testing.assert_close(found, torch.stack(so_far[len(so_far) - size :]).mean(0))


def test_parameter_groups_have_rates_and_decays_of_their_own():
    class Grouped(Toy):
        def phases(self) -> list[Phase]:
            groups = [ParamGroup([self.users], 0.0), ParamGroup([self.items], 1.0, weight_decay=0.1)]
            return [Phase("all", self.loss, groups, 0.05, optimizer="adamw", epochs=1)]

    torch.manual_seed(0)
    model = Grouped()
    model.setup(toy_view(), RunContext())
    start = model.users.detach().clone(), model.items.detach().clone()
    train(model, toy_view(), RunContext())
    assert torch.equal(model.users, start[0]) and not torch.equal(model.items, start[1])


def test_an_optimizer_can_be_a_function():
    made: list[tuple[float, float]] = []

    def factory(groups, lr, weight_decay):
        made.append((lr, weight_decay))
        return torch.optim.SGD(groups, lr=lr, weight_decay=weight_decay, momentum=0.9)

    run(Toy(epochs=1, optimizer=factory, weight_decay=0.01))
    assert made == [(0.05, 0.01)]


@pytest.mark.parametrize("name", ["linear", "cosine", "constant"])
def test_schedules_warm_up_and_decay_by_step(name):
    factor = schedule_of(name, warmup_steps=4)
    values = [factor(StepInfo(step, 0, 12)) for step in range(13)]
    assert values[:4] == [0.25, 0.5, 0.75, 1.0] and values[4] == 1.0
    assert values[12] == pytest.approx(1.0 if name == "constant" else 0.0)
    assert schedule_of("constant") is None


def test_checkpoints_leave_out_frozen_parameters_but_keep_moving_averages(tmp_path):
    class Frozen(Toy):
        def build(self, shape: InputSpec) -> None:
            super().build(shape)
            self.large = nn.Linear(100, 100).requires_grad_(False)
            self.average = nn.Linear(4, 4).requires_grad_(False)
            self.average.moves_without_gradient = True

    run(Frozen(epochs=1), tmp_path / "c.safetensors")
    with safe_open(str(tmp_path / "c.safetensors"), framework="pt") as file:
        names = set(file.keys())
    assert "model/average.weight" in names and "best/users" in names
    assert not [name for name in names if "large" in name]


def test_bf16_is_used_where_the_device_has_it(monkeypatch):
    kinds: list[torch.dtype] = []

    class Watching(Toy):
        def loss(self, batch):
            kinds.append((self.users[:1] @ self.items[:1].T).dtype)
            return super().loss(batch)

    run(Watching(epochs=1, precision="bf16"))
    assert set(kinds) == {torch.float32}
    monkeypatch.setattr(optim, "supports_bf16", lambda device: True)
    kinds.clear()
    run(Watching(epochs=1, precision="bf16"))
    assert kinds[-1] == torch.bfloat16


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_do_not_change_a_bit(workers):
    view = toy_view()
    source = SequenceBatches(view, longest=4, negatives=2)
    rng = np.random.default_rng(0)
    taken = list(prefetch.steps(source, 16, prefetch.Epoch(0, 0, 0, workers=workers), rng, "cpu"))
    assert sum(step.rows for step in taken) == len(source)
    digest = sum(float((step.batch.negatives * torch.arange(1, 3)).sum()) * (n + 1) for n, step in enumerate(taken))
    known = DRAWS.setdefault("first", digest)
    assert digest == known


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_nearly_the_same_losses():
    from palate.contracts import models
    from palate.training.fit import fit

    runs = []
    for device in ("cpu", "cuda"):
        model = models.get("bpr")(dim=8, batch_size=64, epochs=3)
        runs.append([r["loss"] for r in fit(model, small(), seed=1, device=device).deployment.log.history])
    np.testing.assert_allclose(runs[0], runs[1], rtol=1e-3)
