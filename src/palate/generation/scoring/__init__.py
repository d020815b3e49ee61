"""Scores of generated texts: overlap with references, variety, meaning, fluency, relevance and personal fit."""

from palate.generation.scoring.consensus import consensus
from palate.generation.scoring.fluency import NgramModel, model_fluency, reading_ease
from palate.generation.scoring.overlap import bleu, chrf, meteor, rouge
from palate.generation.scoring.personal import PersonalFit, history_words, preference_share
from palate.generation.scoring.semantic import bertscore_minilm, embedding_similarity
from palate.generation.scoring.text_scorer import TextScorer
from palate.generation.scoring.variety import (
    distinct,
    feature_coverage,
    feature_diversity,
    feature_matching,
    unique_sentence_ratio,
)

__all__ = [
    "NgramModel", "PersonalFit", "TextScorer", "bertscore_minilm", "bleu", "chrf", "consensus", "distinct",
    "embedding_similarity", "feature_coverage", "feature_diversity", "feature_matching", "history_words", "meteor",
    "model_fluency", "preference_share", "reading_ease", "rouge", "unique_sentence_ratio",
]  # fmt: skip
