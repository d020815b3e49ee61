"""CB2CF (Barkan et al., RecSys 2019): all that is known of an item's content predicts its collaborative vector.

L = mean_i ||f(content_i) - v_i||^2, f a net over the concatenation of one view a modality.

Our choices: v are factors of a weighted factorisation of the training positives (the paper's are of item2vec); views
are the small towers. A modality that an item lacks is left out of the first layer's sum, which is scaled to what is
there; modalities are hidden at random in training so that each can be exported as an encoder of its own.
"""

from __future__ import annotations

from typing import Any

from palate.core.model import pretrainers

from ._factors import FactorRegression


@pretrainers.register("cb2cf")
class CB2CF(FactorRegression):
    """From content to collaborative vectors."""

    name = "cb2cf"
    paper = "Barkan et al., CB2CF: A Neural Multiview Content-to-Collaborative Filtering Model, RecSys 2019"

    def combination(self) -> dict[str, Any]:
        return {"kind": "perceptron", "dim": self.config.dim, "width": self.config.width}
