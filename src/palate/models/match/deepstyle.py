"""DeepStyle (Liu et al., SIGIR 2017): the style of an item is what it looks like beyond its category.

score = e_u . e_i + t_u . (E f_i - l_cat(i)); BPR. What a picture shows most is what kind of thing it is; the vector l
of the category takes that away, and what is left is style. ``subtract=false`` is VBPR. Items that nobody took score
through the second half alone; one without a category keeps E f_i. As in our VBPR there are no bias terms.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import InputSpec, models
from palate.models.match.shared.categorised import CategorisedConfig, CategorisedVBPR


@models.register("deepstyle")
class DeepStyle(CategorisedVBPR):
    """Visual vectors without what the category explains."""

    name = "deepstyle"
    paper = "Liu et al., DeepStyle: Learning User Preferences for Visual Recommendation, SIGIR 2017"

    class Config(CategorisedConfig):
        """Settings."""

        subtract: bool = Field(True, description="take the vector of the category from the visual vector")

    config: Config

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        sizes = self.categories.sizes.values() if self.config.subtract else []
        self.levels = nn.ParameterList(torch.randn(size, self.config.dim) * 0.1 for size in sizes)

    def describe(self, rows: Tensor) -> Tensor:
        visual = super().describe(rows)
        some = torch.stack([self.content.present(name)[rows] for name in self.content.names]).any(0)
        for name, table in zip(self.categories.sizes, self.levels):
            visual = visual - (self.categories.of(name, rows) @ table) * some[:, None]
        return visual
