"""Working models with one planted defect each."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from pydantic import ConfigDict
from torch import Tensor

from palate.contracts import Capabilities
from palate.core.batch import UserBatch
from palate.core.config import TrainedConfig
from palate.core.content import Features
from palate.core.context import RunContext
from palate.core.files import write_text
from palate.core.item_features import ItemFeatures
from palate.models.match.bpr import BPR
from palate.models.match.ease import EASE, ItemItemScorer
from palate.models.match.lattice import LATTICE
from palate.models.match.lgmrec import LGMRec
from palate.models.match.lightgcn import LightGCN
from palate.models.match.shared.item_graph import item_graph
from palate.models.match.vbpr import VBPR
from palate.modules.propagate import propagate
from palate.ranking.scorer import Scorer, VectorScorer

PLANTED: list[tuple[type[Any], type[Any], str]] = []
"""(broken class, the sound class it was made from, the check that must catch it)."""


def plant(check: str) -> Any:
    """Register a defect under the check that must fail on it."""

    def add(kind: type[Any]) -> type[Any]:
        kind.name = f"broken_{kind.__name__.lower()}"
        PLANTED.append((kind, kind.__mro__[1], check))
        return kind

    return add


@plant("test_rows_do_not_change_the_model")
class LeaksTest(EASE):
    """Counts the test answers as if they were training rows."""

    def fit(self, data: Any, **options: Any) -> Any:
        held = data.test_queries()
        self.leak = held.users.rows[held.relevant.owners()], held.relevant.items
        return super().fit(data, **options)

    def solve(self, train: Any, run: Any) -> bool:
        super().solve(train, run)
        self.get_buffer("weights")[torch.from_numpy(self.leak[1])] += 0.1
        return True


@plant("content_of_cold_items_does_not_change_the_fit")
class LeaksColdContent(VBPR):
    """Takes column statistics over items that should be hidden."""

    def setup(self, train: Any, run: RunContext) -> None:
        super().setup(train, run)
        everything = {name: train.all_features[name] for name in self.content.names}
        self.content.fit(ItemFeatures.of(everything, train.n_items))


@plant("dropout_changes_what_is_learned")
class DeafToDropout(VBPR):
    """Takes the setting and does nothing with it."""

    def setup(self, train: Any, run: RunContext) -> None:
        super().setup(train, run)
        self.content.dropout = 0.0


@plant("training_positives_score_above_the_rest")
class ShiftedIds(BPR):
    """Item row r holds the vector of item r + 1."""

    def vectors(self) -> tuple[Tensor, Tensor]:
        users, items = super().vectors()
        return users, items.roll(-1, 0)


@plant("an_item_with_neither_content_nor_behaviour_is_not_scorable")
class ZerosForMissing(VBPR):
    """Takes an absent vector for a vector of zeros."""

    def update_items(self, features: ItemFeatures) -> None:
        super().update_items(features)
        self.known = torch.ones(features.n_items, dtype=torch.bool)


@plant("values_of_absent_rows_are_never_read")
class ReadsAbsentRows(VBPR):
    """Takes whatever the file holds in a row that is marked as absent."""

    def setup(self, train: Any, run: RunContext) -> None:
        super().setup(train, run)
        everything = {n: Features(train.features[n].values, np.ones(train.n_items, bool)) for n in self.content.names}
        self.content.fit(ItemFeatures.of(everything, train.n_items))


class CentredScorer(VectorScorer):
    def user_vectors(self, users: UserBatch) -> Tensor:
        found = super().user_vectors(users)
        return found - found.mean(0, keepdim=True)


@plant("scores_do_not_depend_on_the_batch")
class DependsOnBatch(BPR):
    """Normalises over whoever happens to be asked for together."""

    def scorer(self) -> Scorer:
        base = super().scorer()
        return CentredScorer(base.users, base.items, base.fold_in, base.known)


@plant("same_seed_gives_the_same_bits")
class Unseeded(BPR):
    """Starts from a generator that nobody seeded."""

    def build(self, shape: Any) -> None:
        super().build(shape)
        rng = np.random.default_rng()
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.add_(torch.from_numpy(rng.normal(0, 0.1, parameter.shape).astype(np.float32)))


@plant("a_model_called_deterministic_reads_no_seed")
class SeedSaidToBeUnused(EASE):
    """Chooses its settings on users drawn with the seed, and says that the seed changes nothing."""

    def solve(self, train: Any, run: RunContext) -> bool:
        return super().solve(train.sampled(1_000, run.seed), run)


@plant("global_generators_do_not_matter")
class GlobalSeed(BPR):
    """Draws from Python's global generator."""

    def build(self, shape: Any) -> None:
        super().build(shape)
        with torch.no_grad():
            next(iter(self.parameters())).mul_(1 + random.random())


@plant("unknown_setting_is_refused")
class SwallowsSettings(BPR):
    """A typo changes nothing and is not mentioned."""

    class Config(TrainedConfig):
        """reg, penalty: as in BPR."""

        model_config = ConfigDict(frozen=True, extra="ignore")
        reg: float = 1e-4
        penalty: str = "norm"

    def __init__(self, config: Any = None, **settings: Any) -> None:
        super().__init__(config or self.Config(**settings))


@plant("inputs_are_not_changed")
class MutatesInput(VBPR):
    """Standardises the caller's array in place."""

    def setup(self, train: Any, run: RunContext) -> None:
        for found in train.features.values():
            found.values[found.present] *= 1.01
        super().setup(train, run)


class NoisyScorer(VectorScorer):
    def user_vectors(self, users: UserBatch) -> Tensor:
        return torch.nn.functional.dropout(super().user_vectors(users), 0.3, training=True)


@plant("repeated_scores_are_equal")
class DropoutLeftOn(BPR):
    """Dropout stays on when scoring."""

    def scorer(self) -> Scorer:
        base = super().scorer()
        return NoisyScorer(base.users, base.items, base.fold_in, base.known)


@plant("fitting_again_forgets_the_past")
class RemembersThePast(EASE):
    """Adds to statistics that survive from the previous fit."""

    past: Any = None

    def solve(self, train: Any, run: Any) -> bool:
        super().solve(train, run)
        weights = self.get_buffer("weights")
        if type(self).past is not None:
            weights += 0.1 * type(self).past
        type(self).past = weights.clone()
        return True


@plant("an_appended_item_is_scored_or_refused")
class NewItemsAreNaN(VBPR):
    """Divides by a norm that new items do not have yet."""

    def update_items(self, features: ItemFeatures) -> None:
        super().update_items(features)
        if self.final_items is not None and self.input_spec is not None:
            self.final_items[self.input_spec.n_items :] = torch.nan


@plant("an_appended_item_is_scored_or_refused")
class ClaimsNewItems(BPR):
    """Says it can score new items and cannot."""

    capabilities = Capabilities(new_items=True, new_users=True, content=True)


@plant("content_matters_exactly_with_the_ability")
class ClaimsContent(BPR):
    """Says it reads content and never does."""

    capabilities = Capabilities(new_users=True, content=True)


class DeafScorer(VectorScorer):
    def topk(self, users: UserBatch, k: int, exclude: Any = None, allowed: Any = None) -> Any:
        return super().topk(users, k, None, allowed)


@plant("topk_respects_exclude")
class IgnoresExclude(BPR):
    """Recommends what was ruled out."""

    def scorer(self) -> Scorer:
        base = super().scorer()
        return DeafScorer(base.users, base.items, base.fold_in, base.known)


class HastyScorer(VectorScorer):
    def topk(self, users: UserBatch, k: int, exclude: Any = None, allowed: Any = None) -> Any:
        some = np.arange(self.n_items) % 3 != 0
        return super().topk(users, k, exclude, some if allowed is None else some & allowed)


@plant("topk_equals_brute_force")
class InexactTopk(BPR):
    """Looks at two thirds of the catalogue."""

    def scorer(self) -> Scorer:
        base = super().scorer()
        return HastyScorer(base.users, base.items, base.fold_in, base.known)


class DoubleScorer(ItemItemScorer):
    def score(self, users: UserBatch, items: Any = None) -> Tensor:
        return super().score(users, items).double()


@plant("scores_are_finite_float32")
class DoublePrecision(EASE):
    """Scores in float64."""

    def scorer(self) -> Scorer:
        base = super().scorer()
        return DoubleScorer(base.weights, base.known)


class InfiniteScorer(ItemItemScorer):
    def score(self, users: UserBatch, items: Any = None) -> Tensor:
        found = super().score(users, items)
        return found.masked_fill(found < found.mean(), -torch.inf)


@plant("scores_are_finite_float32")
class InfiniteScores(EASE):
    """An item below the mean scores minus infinity."""

    def scorer(self) -> Scorer:
        base = super().scorer()
        return InfiniteScorer(base.weights, base.known)


@plant("restored_model_scores_the_same_bits")
class SavesIncompletely(EASE):
    """A part of what scoring needs is not saved."""

    def on_fit_end(self) -> None:
        self.scale = 3.0

    def scorer(self) -> Scorer:
        base = super().scorer()
        return ItemItemScorer(base.weights * getattr(self, "scale", 1.0), base.known)


@plant("a_run_holds_no_pickle")
class SavesAPickle(EASE):
    """Leaves a pickle in the run folder."""

    def save(self, folder: Any) -> Any:
        path = super().save(folder)
        write_text(path / "extra.pkl", "x")
        return path


class AllKnown(ItemItemScorer):
    def score(self, users: UserBatch, items: Any = None) -> Tensor:
        found = super().score(users)
        return found[:, : len(items)] if items is not None else found


@plant("some_items_score_as_among_all")
class WrongSubset(EASE):
    """Asked for some items, it gives the first ones."""

    def scorer(self) -> Scorer:
        base = super().scorer()
        return AllKnown(base.weights, base.known)


@plant("fit_returns_the_model_itself")
class ReturnsACopy(EASE):
    """``fit`` trains another object than the one it was called on."""

    def fit(self, data: Any, **options: Any) -> Any:
        return EASE.fit(type(self)(self.config), data, **options)


@plant("tensors_with_a_row_a_user_are_named")
class UnnamedUsers(LightGCN):
    """Has a row for each user in its table and does not say so."""

    user_parameters = ()


@plant("an_erased_user_is_in_no_tensor")
class DoubledUsers(LightGCN):
    """Keeps the users' vectors a second time, where nobody erases them."""

    def on_fit_end(self) -> None:
        super().on_fit_end()
        users = self.get_buffer("final_users")
        self.register_buffer("doubled", torch.cat([2 * users, users.new_zeros(1, users.shape[1])]))

    def setup(self, train: Any, run: RunContext) -> None:
        super().setup(train, run)
        self.register_buffer("doubled", torch.zeros(0))


@plant("what_is_kept_of_content_follows_dropout")
@plant("what_is_kept_of_content_follows_training")
class GraphBuiltOnce(VBPR):
    """Smooths items over a content graph that stays as it was when the model was set up."""

    def setup(self, train: Any, run: RunContext) -> None:
        super().setup(train, run)
        self.hop = item_graph(train, self.content, 3)

    def loss(self, batch: Any) -> dict[str, Tensor]:
        terms = super().loss(batch)
        smooth = (propagate(self.hop, self.items) - self.items).square().mean()
        return {**terms, "loss": terms["loss"] + smooth, "smooth": smooth}


@plant("what_is_kept_of_content_follows_dropout")
class DerivesOnce(LGMRec):
    """Derives what it keeps of content a single time."""

    def derive(self) -> None:
        if not hasattr(self, "smooth"):
            super().derive()


@plant("what_is_kept_of_content_follows_training")
class KeepsUntrainedVectors(LGMRec):
    """Reads what it kept also where vectors are trained."""

    def _smooth_content(self) -> list[Tensor]:
        return self.smooth


@plant("what_is_kept_of_content_follows_training")
class NeighboursOfUntrainedContent(LATTICE):
    """Keeps the neighbours that items had before their vectors were trained."""

    graph_of_trained_content = False
