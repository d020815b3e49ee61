"""Pure functions: ranking, rating and diversity metrics, paired tests."""

from palate.metrics.bootstrap import PairedResult, compare_all, compare_paired, holm, mean_interval
from palate.metrics.lists import Evaluated, evaluate_lists, hits_of
from palate.metrics.ranking import METRICS

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
