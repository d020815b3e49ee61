"""Biases of logged feedback by name: position (examination) and duration, estimated and corrected.

| bias | estimate | correction |
|---|---|---|
| position | ``examination_by_propensity``, ``fit_position_model`` | ``unbiased_auc``, ``unbiased_log_loss`` |
| duration | ``DurationQuantiles.fit`` | ``DurationQuantiles.labels`` instead of watch time |
"""

from palate.metrics.bias.duration import DurationQuantiles
from palate.metrics.bias.examination import PositionModel, examination_by_propensity, fit_position_model
from palate.metrics.bias.inverse_propensity import unbiased_auc, unbiased_log_loss

__all__ = [
    "DurationQuantiles",
    "PositionModel",
    "examination_by_propensity",
    "fit_position_model",
    "unbiased_auc",
    "unbiased_log_loss",
]
