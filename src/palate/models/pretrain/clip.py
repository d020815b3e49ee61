"""CLIP (Radford et al., ICML 2021): an item's picture and its text find each other among those of the batch.

L = 1/2 [CE(rows) + CE(columns)] of exp(s) cos(image, text), s learnt from log(1/.07) and clipped at log 100.

Our choices: towers of a size that a catalogue of thousands can train (residual convolutions, two Transformer layers,
mean of tokens instead of [EOS]); Adam with early stopping on held-out retrieval.
"""

from __future__ import annotations

from palate.contracts import pretrainers
from palate.models.pretrain.shared.contrastive import ContrastivePretrainer


@pretrainers.register("clip")
class CLIP(ContrastivePretrainer):
    """Pictures and texts in one space."""

    name = "clip"
    paper = "Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021"
    pairs = (("image", "text"),)
