"""Search by a text: words and content vectors, fused by rank (reciprocal rank fusion, Cormack et al., SIGIR 2009).

An item's relevance is sum_l w_l / (60 + rank_l) over the list by words and the list by vectors. Items whose title is
the query come before all others, then those whose title begins with it, then those with an attribute value that is the
query; among these, popularity and the score by words count alike.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from palate.core.errors import ArtefactError, FeatureError, MissingDependencyError, UnsupportedError
from palate.serving.content_similarity import text_cosines
from palate.serving.limited_log import LimitedLog
from palate.serving.snapshot import ModelSnapshot
from palate.serving.stages.stage import Relevance

RANK_OFFSET = 60.0
VECTOR_ITEMS = 100
"""Items that the list by vectors holds."""
MIN_COVERAGE = 0.45
"""Share of the query's words, by rarity, that the best item must match if no vector is close."""
MIN_COSINE = 0.35
"""Cosine above which a text counts as close to the query."""
MIN_ITEM_COVERAGE = 0.5
"""Share of the best coverage that an item must reach to be listed by its words."""
TIERS = {"exact": 4.0, "begins": 2.0, "value": 1.0}
WITHIN_TIER = 0.4
"""Weight of popularity and of the score by words among items that the same rule prefers; tiers stay apart."""
WORDS_ALONE = "text: found by its words alone, because the run's text encoder cannot be loaded here"
FAULTS = LimitedLog(600.0)


def text_relevance(snapshot: ModelSnapshot, text: str) -> Relevance:
    """Relevance of every item to a text.

    Args:
        snapshot: the catalogue, with its word index and vectors.
        text: the text.
    """
    match = snapshot.stats.words.match(text)
    popularity = snapshot.stats.interaction_counts
    cosines, by_words_alone = _cosines(snapshot, text)
    covered = match.coverage * (match.scores > 0)
    best = float(covered[snapshot.active].max(initial=0.0))
    preferred = match.exact | match.begins | match.value
    by_words = (covered >= max(MIN_ITEM_COVERAGE * best, 1e-6)) | preferred
    by_vectors = _nearest(cosines, snapshot.active)
    clear = best >= MIN_COVERAGE or bool(preferred.any())
    if not clear:
        by_words[:] = False
    scores = np.zeros(len(snapshot), np.float32)
    for rows, values, weight in ((by_words, match.scores, 1.0 + best), (by_vectors, cosines, 1.0)):
        listed = np.flatnonzero(rows)
        order = listed[np.lexsort((-popularity[listed], -values[listed]))]
        scores[order] += weight / (RANK_OFFSET + 1 + np.arange(len(order), dtype=np.float32))
    share = np.log1p(popularity) / max(float(np.log1p(popularity.max(initial=1))), 1e-9)
    within = WITHIN_TIER * (share + match.scores / max(float(match.scores.max(initial=0.0)), 1e-9))
    for mask, name in ((match.exact, "exact"), (match.begins & ~match.exact, "begins"), (match.value, "value")):
        scores[mask] += TIERS[name] + within[mask]
    fits = by_words | by_vectors
    notes = [by_words_alone, "" if fits.any() else f"no good match for {text!r}"]
    return Relevance(np.where(fits, scores, -np.inf).astype(np.float32), "; ".join(filter(None, notes)))


def _cosines(snapshot: ModelSnapshot, text: str) -> tuple[NDArray[np.float32], str]:
    """Cosine of each item's vector and the text's, float32 [items], NaN where there is none; and what is to be said."""
    note = ""
    try:
        return text_cosines(snapshot, text), note
    except (UnsupportedError, FeatureError):
        # the run reads no texts, or knows no word of this one
        pass
    except (ArtefactError, MissingDependencyError) as error:
        FAULTS.warning(str(error), "texts are searched by their words alone in the run %s: %s", snapshot.run, error)
        note = WORDS_ALONE
    return np.full(len(snapshot), np.nan, np.float32), note


def _nearest(cosines: NDArray[np.float32], active: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The closest items, none of them far from the query."""
    close = np.where(active & (cosines >= MIN_COSINE), cosines, -np.inf)
    out = np.zeros(len(close), bool)
    if len(close):
        out[np.argpartition(-close, min(VECTOR_ITEMS, len(close) - 1))[:VECTOR_ITEMS]] = True
    return out & np.isfinite(close)
