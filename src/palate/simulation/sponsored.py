"""Settings of sponsored worlds: campaigns, pages, queries, and a policy that puts its favourites at the top."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class SponsoredConfig(BaseModel):
    """What a world of advertisements has beyond a shop; all effects are in units of the click logit."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    ads_per_campaign: float = Field(5.0, ge=1, description="mean number of advertisements of a campaign")
    policy_last: tuple[float, float, float, float] = Field(
        (0.5, 0.15, 0.2, 0.15),
        description="components of the logging policy at the last position; `policy` is that of the first, and between "
        "them it changes evenly",
    )
    on_topic: float = Field(0.8, ge=0, le=1, description="probability that a page is of the category that is wanted")
    asks: float = Field(0.5, ge=0, le=1, description="share of sessions with a query")
    match_category: float = Field(0.8, description="effect of the category that is wanted")
    match_leaf: float = Field(0.7, description="further effect of the subcategory that is wanted")
    match_value: float = Field(0.9, description="further effect of the value that is wanted, within that category")
    context: float = Field(0.25, ge=0, description="spread of the effects of device, slot and hour")
    context_category: float = Field(0.35, ge=0, description="spread of their effects on each category")
    quality: float = Field(0.3, ge=0, description="spread of the advertisers' effects")
    component: float = Field(0.2, description="effect of each optional component of an advertisement")
    purchase_delay: float = Field(1.5, gt=0, description="mean days from a click to its purchase")
