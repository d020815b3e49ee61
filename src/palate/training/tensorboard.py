"""Curves of training as TensorBoard event files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from palate.core.errors import MissingDependencyError


class TensorBoard:
    """A callback of ``fit`` that writes every number of an epoch's record; look with ``tensorboard --logdir FOLDER``.

    Curves are called ``model/phase/name``. What a model counts as epochs counts on from phase to phase and from
    selection to refit.

    Args:
        folder: where event files go; created at the first epoch.

    Raises:
        MissingDependencyError: without the package ``tensorboard``.
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingDependencyError("tensorboard", "track") from error
        self._open, self._folder = SummaryWriter, Path(folder)
        self._writer: Any = None
        self._steps: dict[str, int] = {}

    def __call__(self, record: Mapping[str, Any]) -> None:
        """Write one record.

        Args:
            record: what ``fit`` gives to callbacks.
        """
        if self._writer is None:
            self._writer = self._open(str(self._folder))
        curve = f"{record['model']}/{record['phase']}"
        step = self._steps[curve] = self._steps.get(curve, -1) + 1
        for name, value in record.items():
            if name not in ("epoch", "phase") and isinstance(value, (int, float)):
                shown = f"valid {record.get('metric', '')}".strip() if name == "valid" else name
                self._writer.add_scalar(f"{curve}/{shown}", value, step)
        self._writer.flush()
