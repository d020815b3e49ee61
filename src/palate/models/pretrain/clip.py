"""CLIP (Radford et al., ICML 2021): picture and text of one thing are each other's label among the batch's.

L = 1/2 [CE(rows) + CE(columns)] of exp(s) cos(image, text), s learnt from log(1/.07) and clipped at log 100.

Our choices: towers of a size that a catalogue of thousands can train (residual convolutions, two Transformer layers,
mean of tokens instead of [EOS]); Adam with early stopping on held-out retrieval.
"""

from __future__ import annotations

from palate.core.model import pretrainers
from palate.models.pretrain.shared.contrastive import Contrastive


@pretrainers.register("clip")
class CLIP(Contrastive):
    """Pictures and texts in one space."""

    name = "clip"
    paper = "Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021"
    pairs = (("image", "text"),)
