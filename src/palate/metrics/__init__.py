"""Pure functions: ranking, rating and diversity metrics, paired tests."""

from .bootstrap import PairedResult, compare_all, compare_paired, holm, mean_interval
from .lists import Evaluated, evaluate_lists, hits_of
from .ranking import METRICS

__all__ = [
    "METRICS",
    "Evaluated",
    "PairedResult",
    "compare_all",
    "compare_paired",
    "evaluate_lists",
    "hits_of",
    "holm",
    "mean_interval",
]
