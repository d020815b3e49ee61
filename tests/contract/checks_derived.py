"""What a model computes from content once and keeps follows the content: under dropout and while content is trained."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from cases import Case, batch_for, check
from torch import Tensor, nn

from palate.contracts import Model
from palate.core.content import Features
from palate.core.context import RunContext
from palate.data.views import TrainView
from palate.models.match.shared.content_matcher import ContentMatcher

STALE = (
    "what the model keeps of content is not that of the content it reads, after {change}: parameters are equal, and so "
    "would losses be if it had been set up with this content"
)


def derives(kind: type[Model]) -> bool:
    return issubclass(kind, ContentMatcher) and not kind.graph_of_initial_content


def derives_trained(kind: type[Model]) -> bool:
    return derives(kind) and kind.capabilities.tuning


class Reweighted(nn.Module):
    """Stands for trained encoders: it weighs columns, so that other items become neighbours."""

    modality_fusion = None

    def makes(self, name: str) -> bool:
        return True

    def pretrained(self) -> list[nn.Parameter]:
        return []

    def encode(self, inputs: dict[str, Features]) -> dict[str, Features]:
        return {name: replace(found, values=reweighted(found.values)) for name, found in inputs.items()}

    def forward(self, inputs: dict[str, Features], rows: Tensor) -> dict[str, Tensor]:
        return {name: torch.from_numpy(reweighted(found.values[rows.numpy()])) for name, found in inputs.items()}


def reweighted(values: np.ndarray) -> np.ndarray:
    """float32 [n, d]: the first column counts most."""
    return values * (0.3 ** np.arange(values.shape[1], dtype=np.float32))


@dataclass
class Networks:
    """Stand-in networks and what they read."""

    network: nn.Module
    inputs: dict[str, Features]
    vectors: dict[str, Features]


def view_of(case: Case) -> TrainView:
    data = case.data()
    return data.select_view().with_features(dict(data.items.given))


def set_up(case: Case, view: TrainView, **settings: Any) -> ContentMatcher:
    raw = {"standardise": False} if "standardise" in case.kind.Config.model_fields else {}
    model = case.new(**raw, **settings)
    assert isinstance(model, ContentMatcher)
    torch.manual_seed(0)
    model.setup(view, RunContext())
    return model


def losses(model: ContentMatcher, case: Case, view: TrainView) -> dict[str, Tensor]:
    torch.manual_seed(2)
    return {name: term.detach() for name, term in model.loss(batch_for(case.kind, view)).items()}


def same_losses(model: ContentMatcher, wanted: ContentMatcher, case: Case, view: TrainView, change: str) -> None:
    """Equal parameters and content give equal losses."""
    for name, parameter in wanted.named_parameters():
        parameter.data.copy_(model.get_parameter(name))
    a, b = losses(model, case, view), losses(wanted, case, view)
    assert a.keys() == b.keys()
    for name in a:
        assert torch.allclose(a[name], b[name], rtol=1e-4, atol=1e-6), f"{name}: {STALE.format(change=change)}"


@check(derives)
def what_is_kept_of_content_follows_dropout(case: Case) -> None:
    """With modalities dropped, losses are those of a model that was set up without them."""
    view = view_of(case)
    model = set_up(case, view, modality_dropout=0.5)
    torch.manual_seed(1)
    model.train()
    kept = {name: model.content.present(name).numpy() for name in model.content.names}
    assert any((view.features[name].present & ~kept[name]).any() for name in kept)
    thinned = {name: found.mask_rows(kept[name]) for name, found in view.features.items()}
    wanted = set_up(case, replace(view, features=thinned))
    wanted.train()
    same_losses(model, wanted, case, view, "modalities were dropped (model.train())")


@check(derives_trained)
def what_is_kept_of_content_follows_training(case: Case) -> None:
    """With vectors that were trained, losses are those of a model that was set up with them."""
    view = view_of(case)
    model = set_up(case, view)
    inputs = dict(view.features)
    network = Reweighted()
    model.attach_encoders(Networks(network, inputs, inputs))  # type: ignore[arg-type]
    model.content.encode_batch(torch.arange(2))
    model.eval()
    model.train()
    trained = network.encode(inputs)
    wanted = set_up(case, replace(view, features=trained))
    wanted.train()
    same_losses(model, wanted, case, view, "encoders were trained (content.network is set)")
