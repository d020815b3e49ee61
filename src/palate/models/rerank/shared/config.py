"""Settings of every reranker."""

from __future__ import annotations

from pydantic import Field

from palate.core.config import ModelConfig


class RerankConfig(ModelConfig):
    """Settings of every reranker."""

    base: str = Field("bpr", description="matcher whose lists are reordered: name@preset:key=value")
    depth: int = Field(100, ge=2, description="candidates of a list at least")


class VectorRerankConfig(RerankConfig):
    """Settings of rerankers that compare items."""

    vectors: str = Field(
        "",
        description="content feature that items are compared by, such as text or image; empty takes the item vectors "
        "of the matcher",
    )
