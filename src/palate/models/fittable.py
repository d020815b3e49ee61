"""A model that users fit, save and look at, whatever its task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from palate.contracts import Model
from palate.core.boundary import public
from palate.core.config import ModelConfig
from palate.core.context import Callback
from palate.data.dataset import Dataset
from palate.features.plan import ContentPlan
from palate.training.deployment import deployment_of
from palate.training.fit import fit
from palate.training.saving import save

REPR = 200
"""Characters of changed settings that ``repr`` shows."""


class FittableModel(Model):
    """A model that is fitted to a dataset and saved as a run."""

    @public
    def __init__(self, config: ModelConfig | None = None, **settings: Any) -> None:
        super().__init__(config, **settings)

    def get_params(self) -> dict[str, Any]:
        """All settings: name -> value."""
        return self.config.model_dump()

    def __repr__(self) -> str:
        changed = self.config.model_dump(exclude_defaults=True)
        shown = ", ".join(f"{name}={value!r}" for name, value in changed.items())
        shown = shown if len(shown) <= REPR else f"{shown[:REPR]}..."
        fitted = "not fitted"
        if self.deployment is not None:
            known = deployment_of(self)
            score = f", valid {known.log.metric} {known.log.valid:.4f}" if known.log and known.log.valid else ""
            fitted = f"fitted on {known.about.get('data')}{score}"
        return f"<{type(self).__name__}({shown}), {fitted}>"

    def __dir__(self) -> list[str]:
        kinds = [kind for kind in type(self).__mro__ if kind.__module__.partition(".")[0] not in ("torch", "builtins")]
        return sorted({name for kind in kinds for name in vars(kind) if not name.startswith("_")} | {"config"})

    @public
    def fit(
        self,
        data: Dataset,
        *,
        seed: int = 0,
        content: ContentPlan | None = None,
        checkpoint: str | Path | None = None,
        device: str = "auto",
        metric: str | None = None,
        refit: bool = True,
        init_from: str | Path | None = None,
        artifacts: Mapping[str, str | Path] | None = None,
        checkpoint_seconds: float = 30.0,
        workers: int = 0,
        callbacks: Sequence[Callback] = (),
    ) -> Self:
        """Train on ``data``: encode, select on validation, refit where the protocol says so. Test is never read.

        Args:
            data: dataset with a split, see :func:`palate.load`.
            seed: same seed, same bits on a CPU.
            content: encoders by feature name and where vectors are kept; planned from the data if not given.
            checkpoint: folder; training that was killed resumes from it to the same bits.
            device: ``auto`` takes CUDA when present.
            metric: what validation selects on; the headline of the task if not given.
            refit: False stops after selection also where the protocol would train again.
            init_from: a run whose weights training starts from, wherever name and shape agree.
            artifacts: name -> run that holds it, for models that require artifacts of other runs.
            checkpoint_seconds: at least this many seconds between two writes of a checkpoint.
            workers: processes that prepare batches, for models whose batches allow it.
            callbacks: called after every epoch with its record: ``model``, ``phase``, ``epoch``, the losses,
                ``seconds``, ``metric``, and ``valid`` where the epoch was validated. A closed form has no epochs.

        Returns:
            The model itself, fitted.

        Raises:
            ConfigError: when the data lack what the model requires, or no weight of ``init_from`` fits.
            TrainingError: when the loss is not finite.
        """
        return fit(
            self,
            data,
            seed=seed,
            content=content,
            checkpoint=checkpoint,
            device=device,
            metric=metric,
            refit=refit,
            init_from=init_from,
            artifacts=artifacts,
            checkpoint_seconds=checkpoint_seconds,
            workers=workers,
            callbacks=callbacks,
        )

    @public
    def save(self, folder: str | Path, overwrite: bool = False) -> Path:
        """Write a run folder that works on any machine.

        Args:
            folder: a new or empty folder, or one that holds the same fit, which is replaced as a whole.
            overwrite: replace another run, too.

        Returns:
            The folder.

        Raises:
            NotFittedError: before :meth:`fit`.
            ArtefactError: for a folder that is not a run or holds another one, which stays as it is.
        """
        return save(self, folder, overwrite=overwrite)
