"""Pure functions: ranking, rating and diversity metrics, the one exact chunked top-k, bootstrap."""

from .bootstrap import PairedResult, compare_all, compare_paired, holm, mean_interval
from .lists import Evaluated, evaluate_lists, hits_of
from .ranking import METRICS
from .topk import ItemVectors, TopK, topk, topk_dot

__all__ = [
    "METRICS",
    "Evaluated",
    "ItemVectors",
    "PairedResult",
    "TopK",
    "compare_all",
    "compare_paired",
    "evaluate_lists",
    "hits_of",
    "holm",
    "mean_interval",
    "topk",
    "topk_dot",
]
