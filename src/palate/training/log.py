"""What happened in fitting: learning curves, what was chosen, how long each stage took."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass
class FitLog:
    """What happened in fitting.

    Attributes:
        history: one record an epoch of the selection stage.
        selected: settings chosen on validation.
        valid: the selected model's validation metric; None without validation questions.
        valid_units: the same of each unit, such as a user, where the task tells; not saved with the model.
        metric: which metric that is.
        seconds: stage -> wall-clock seconds.
        trained: number of parameters that had gradients.
        content_bytes: bytes of content that training read.
        members: member of a composed model -> one record an epoch of its selection stage.
    """

    history: list[dict[str, Any]] = field(default_factory=list)
    selected: dict[str, Any] = field(default_factory=dict)
    valid: float | None = None
    valid_units: NDArray[np.float64] | None = field(default=None, repr=False, compare=False)
    metric: str = "recall@20"
    seconds: dict[str, float] = field(default_factory=dict)
    trained: int = 0
    content_bytes: int = 0
    members: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
