"""Checks of facts: claims of a text against the item's columns and the evidence, and their repair."""

from palate.generation.facts.check import FactChecker
from palate.generation.facts.claims import Claim, FactReport, Verifier
from palate.generation.facts.lexicon import Lexicon
from palate.generation.facts.scorer import FactualScorer, history_evidence
from palate.generation.facts.sheet import FactSheet

__all__ = [
    "Claim",
    "FactChecker",
    "FactReport",
    "FactSheet",
    "FactualScorer",
    "Lexicon",
    "Verifier",
    "history_evidence",
]
