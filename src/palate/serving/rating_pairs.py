"""Pairs to be rated, made of a run: a text for nobody in particular beside one for the user."""

from __future__ import annotations

import numpy as np
import torch

from palate.contracts import Generator
from palate.contracts.generator import MEDIA, ContentKind
from palate.core.errors import DataError, UnsupportedError
from palate.core.seeding import rng_for
from palate.evaluation.rating.pairs import RatingPair
from palate.serving.content_request import ContentOptions, content_request
from palate.serving.offline import OfflineRun

RECENT, BEST = 8, 10
"""Items of a history that the rater is told of, and recommendations among which the item is drawn."""


def personal_pairs(
    run: OfflineRun, model: Generator, kind: ContentKind, number: int, language: str = "en", seed: int = 0
) -> list[RatingPair]:
    """Pairs of a plain and a personal text for the same item, where they differ.

    Args:
        run: the run.
        model: generates both.
        kind: kind of text.
        number: pairs, at most.
        language: language to write in.
        seed: of users, items and texts.

    Raises:
        UnsupportedError: for a kind that is no text.
        DataError: if no user of the run has a history, or all texts are the same.
    """
    if MEDIA[kind] != "text":
        known = ", ".join(one for one, medium in MEDIA.items() if medium == "text")
        raise UnsupportedError(f"pairs are made of texts, not of kind {kind!r}", key="kind", hint=known)
    rng, snapshot = rng_for(seed, "pairs to rate", kind), run.snapshot
    titles, seen = snapshot.stats.titles, snapshot.deployment.seen
    users = [user for user, row in snapshot.users.items() if len(seen[row])]
    pairs: list[RatingPair] = []
    for user in (users[int(at)] for at in rng.permutation(len(users))):
        if len(pairs) == number:
            break
        best = _recommended(run, user)
        if not best:
            continue
        row = best[int(rng.integers(len(best)))]
        options, texts = ContentOptions(language=language), []
        for who in (None, user):
            request = content_request(run.resolved, kind, row, run.user(who), who, options)
            texts.append(model.generate([request], seed=seed)[0].text or "")
        if all(texts) and texts[0] != texts[1]:
            taken = "; ".join(titles[int(at)] for at in seen[snapshot.users[user]][-RECENT:][::-1])
            context = f"Somebody took these: {taken}\nNow it is about: {titles[row]}"
            name = f"{len(pairs) + 1}"
            question = f"Which {kind.replace('_', ' ')} suits this person better?"
            pairs.append(RatingPair(name, texts[0], texts[1], "plain", "personal", question, context))
    if not pairs:
        raise DataError("no pair of texts that differ", key=kind, hint="users need a history, and items attributes")
    return pairs


def _recommended(run: OfflineRun, user: str) -> list[int]:
    """Rows of the best items for a user that the user has not taken."""
    snapshot, state = run.snapshot, run.user(user)
    batch = snapshot.user_batch(snapshot.users[user], state.history, False)
    with torch.inference_mode():
        scores = run.resolved.model.scorer.matcher.score(batch)[0].numpy().astype(np.float64)
    scores[state.history] = -np.inf
    scores[~snapshot.active] = -np.inf
    return [int(row) for row in np.argsort(-scores, kind="stable")[:BEST] if np.isfinite(scores[row])]
