"""Scores of generated texts against a run: relevance, personal fit, factual support and fluency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from palate.contracts import Evidence, Generated, GenerationRequest
from palate.core.encoder import Encoder
from palate.core.seeding import rng_for
from palate.features.encoders.make import make_encoder
from palate.generation.facts import FactChecker, FactualScorer, Lexicon
from palate.generation.scoring.fluency import NgramModel
from palate.generation.scoring.personal import PersonalFit, describe
from palate.generation.scoring.text_scorer import TextScorer
from palate.serving.content_request import cells
from palate.serving.snapshot import ModelSnapshot

READ_ITEMS, OTHER_USERS, OTHER_ITEMS = 2000, 40, 8
"""Items whose texts and values are read; other users to whom a user is compared, and items of each."""
MEANINGS: Mapping[str, str] = {
    "relevance": "cosine of the text to the item's own values",
    "personal": "share of other users whose history is less close to the text",
    "factual": "share of the claims that item, history and evidence bear out",
    "fluency": "mean log probability of a word in the catalogue's own texts",
}
"""Score -> what it tells."""


def run_scorer(snapshot: ModelSnapshot, seed: int = 0) -> TextScorer:
    """The judge of texts of a run, learned from its catalogue and its users.

    Args:
        snapshot: the run.
        seed: of the items and users that are drawn where there are many.
    """
    rng = rng_for(seed, "content scores")
    rows = np.sort(rng.permutation(len(snapshot))[:READ_ITEMS])
    items = [cells(snapshot, int(row)) for row in rows]
    texts = [text for text in map(describe, items) if any(map(str.isalpha, text))]
    encoder = text_encoder(snapshot)
    others = _histories(snapshot, rng)
    return TextScorer(
        encoder,
        PersonalFit(others, encoder) if others else None,
        FactualScorer(FactChecker(Lexicon.learn(items))),
        NgramModel(texts) if texts else None,
    )


def text_encoder(snapshot: ModelSnapshot) -> Encoder:
    """The run's own encoder of whole texts; hashed words where it has none.

    Args:
        snapshot: the run.
    """
    for name, spec in snapshot.content.main_plan.items():
        encoder = snapshot.content.encoders.get(name)
        if spec.modality == "text" and encoder is not None and encoder.encode(["a"]).lengths is None:
            return encoder
    return make_encoder("hash", "text")


def judged(
    scorer: TextScorer, request: GenerationRequest, text: str, evidence: Sequence[Evidence] = ()
) -> dict[str, float]:
    """The four scores of a text.

    Args:
        scorer: of :func:`run_scorer`.
        request: item and history.
        text: what was generated.
        evidence: what it says, row by row.
    """
    made = Generated(text, evidence=[*request.evidence, *evidence])
    found = scorer.score(request.item, request.history, made)
    return {name: float(found[name]) for name in MEANINGS}


def _histories(snapshot: ModelSnapshot, rng: np.random.Generator) -> list[list[dict[str, Any]]]:
    users = [row for row in snapshot.users.values() if len(snapshot.deployment.seen[row])]
    drawn = [users[int(at)] for at in rng.permutation(len(users))[:OTHER_USERS]]
    return [[cells(snapshot, int(row)) for row in snapshot.deployment.seen[user][-OTHER_ITEMS:]] for user in drawn]
