"""Members of a blend: which of them the data allow, and how they are built."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from palate.contracts import Matcher, models
from palate.core.errors import ConfigError, UnsupportedError
from palate.models.match.shared.cost import fits_memory
from palate.ranking.scorer import PaddedScorer, Scorer

if TYPE_CHECKING:
    from palate.data.views import TrainView

log = logging.getLogger("palate")
MEMBERS = (
    "popularity@log",
    "ease_content",
    "freedom",
    "content_kernel",
    "content_kernel@raw",
    "content_kernel@aligned",
)
MATRICES = 4
"""Dense items x items matrices that a member with a closed form holds at its peak."""
DEFAULTS: dict[str, dict[str, Any]] = {"freedom": {"validate_every": 3, "patience": 5, "epochs": 120}}


def member_of(name: str, settings: Mapping[str, Any], dropout: float = 0.0) -> Matcher:
    """An unfitted member from ``name`` or ``name@preset``; ``settings`` win over the preset.

    Args:
        name: of the model, with or without a preset.
        settings: setting -> value.
        dropout: ``modality_dropout`` of members that have this setting.

    Raises:
        ConfigError: for an unknown model, preset or setting, a model that does not recommend items, or ``impute``,
            which is a setting of the blend.
    """
    base, _, preset = name.partition("@")
    kind = models.get(base)
    if preset and preset not in kind.presets:
        raise ConfigError(
            f"{base} has no such preset", key=preset, hint=f"presets: {', '.join(kind.presets) or 'none'}"
        )
    if settings.get("impute", "none") != "none":
        raise ConfigError("content is imputed for all members alike", key="impute", hint="set it on the blend")
    shared = {"modality_dropout": dropout} if dropout and "modality_dropout" in kind.Config.model_fields else {}
    member = kind(**{**shared, **DEFAULTS.get(name, {}), **kind.presets.get(preset, {}), **settings})
    if not isinstance(member, Matcher):
        raise ConfigError("only matchers can be members", key=name)
    return member


def members_for(train: TrainView) -> list[str]:
    """Default members that the data allow: content models need content, dense closed forms a catalogue of their size.

    Args:
        train: all that training may see.

    Returns:
        Names of models, with presets; never empty.
    """
    described = any(features.present.any() for features in train.features.values())
    content = described or bool(train.relations.edges)
    names = []
    for name in MEMBERS:
        kind = models.get(name.partition("@")[0])
        limit = kind.Config.model_fields.get("max_items")
        fits = limit is None or _closed_form_fits(name, train.n_items, limit.default)
        if fits and (content or not kind.requirements.content) and (described or not kind.requirements.dense):
            names.append(name)
    if not content:
        names.append("ease" if _closed_form_fits("ease", train.n_items, 25_000) else "lightgcn")
    return names


def _closed_form_fits(name: str, n_items: int, limit: int) -> bool:
    """Whether a catalogue is small enough for dense items x items matrices; said where only memory is lacking."""
    if n_items > limit:
        return False
    if fits_memory(n_items, MATRICES):
        return True
    log.warning("blend leaves out %s: its matrices of %s items do not fit into the memory that is free", name, n_items)
    return False


def scorers_of(names: Sequence[str], members: Sequence[Matcher], n_items: int = 0) -> list[Scorer]:
    """Scorers of fitted members, all over at least ``n_items`` items.

    Args:
        names: of the members.
        members: fitted.
        n_items: rows that a member which cannot take in new items is padded to.

    Raises:
        UnsupportedError: for a member that only lists.
    """
    scorers = [member.scorer() for member in members]
    for name, scorer in zip(names, scorers):
        if not scorer.can_score:
            raise UnsupportedError(
                f"{name} lists items without scores of single items, so its scores cannot be blended",
                key="members",
                hint="leave it out of the members",
            )
    return [PaddedScorer(s, n_items) if s.n_items < n_items else s for s in scorers]
