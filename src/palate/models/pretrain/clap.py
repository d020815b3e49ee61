"""CLAP (Elizalde et al., ICASSP 2023): CLIP's objective between sound and text.

L = 1/2 [CE(rows) + CE(columns)] of exp(s) cos(sound, text), s learnt, see :mod:`palate.models.pretrain.clip`.

Our choices: convolutions over time of log-mel maps instead of CNN14, two Transformer layers instead of BERT.
"""

from __future__ import annotations

from palate.contracts import pretrainers
from palate.models.pretrain.shared.contrastive import ContrastivePretrainer


@pretrainers.register("clap")
class CLAP(ContrastivePretrainer):
    """Sounds and texts in one space."""

    name = "clap"
    paper = "Elizalde et al., CLAP: Learning Audio Concepts from Natural Language Supervision, ICASSP 2023"
    pairs = (("audio", "text"),)
