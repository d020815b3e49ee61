"""Settings of the content kernel."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from palate.core.config import ContentConfig
from palate.core.tuning import Fusion


class KernelConfig(ContentConfig):
    """Settings of the content kernel; None chooses on items held out as if new.

    The preset ``raw`` leaves behaviour out of the profile, which complements EASE on items that have behaviour.
    With ``modality_dropout``, at any rate, items that lack modalities are scored by a regression on the features
    that they have (see :mod:`palate.models.match.content_kernel.reduced`), which is what dropout would approach.
    """

    fusion: Fusion = Field("intermediate", description="where the modalities of an item are fused")
    sharpness: float | None = Field(
        None, description="weight of words and attributes in the kernel (or of its only group)"
    )
    ridge: float | None = Field(None, description="regularisation of the kernel regression")
    l2: float | None = Field(
        None,
        description="regularisation of EASE, which smooths profiles",
        json_schema_extra={"search": "10..2000:log"},
    )
    mix: float | None = Field(None, description="m, weight of the raw history in a profile")
    popularity: float | None = Field(None, description="c, weight of popularity in a profile")
    media: dict[str, float] | None = Field(
        None, description="group of features -> weight in the kernel; with kernel aligned, directions -> a"
    )
    features: tuple[str, ...] | None = Field(
        None, description="beginnings of the names of features to read; None reads all"
    )
    sharpness_grid: tuple[float, ...] = Field((2.0, 1.0, 4.0), description="values of sharpness tried")
    ridge_grid: tuple[float, ...] = Field((0.3, 0.1, 0.03), description="values of ridge tried")
    l2_grid: tuple[float, ...] = Field((300.0, 100.0, 1000.0), description="values of l2 tried")
    mix_grid: tuple[float, ...] = Field((0.3, 0.1, 0.0), description="values of mix tried")
    popularity_grid: tuple[float, ...] = Field((0.15, 0.0, 0.3), description="values of popularity tried")
    media_grid: tuple[float, ...] = Field(
        (0.0, 0.15, 0.3, 0.6, 1.2, 2.4),
        description="weights tried for each group of media; the first one leaves it out",
    )
    judge: Literal["cold", "warm"] = Field(
        "cold", description="choose on items held out as if new (cold), or on validation as it is (warm)"
    )
    kernel: Literal["product", "aligned"] = Field(
        "product",
        description="product of the similarities of blocks, or aligned: a sum of products that behaviour weighs",
    )
    max_items: int = Field(12_000, description="larger catalogues are refused")
    select_users: int = Field(2_000, description="users that settings are chosen on, at most")
