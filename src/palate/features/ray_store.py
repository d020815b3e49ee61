"""A feature store whose missing content is encoded by Ray Data, in processes of one machine or of several."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from palate.core.encoder import Encoder, Raw
from palate.core.errors import ConfigError, MissingDependencyError
from palate.core.files import TEMP_PREFIX
from palate.core.progress import progress
from palate.features.saved import load_encoder, save_encoder
from palate.features.store import EncoderSegments, FeatureStore

ADDRESS = "RAY_ADDRESS"
"""Environment variable of Ray: a running cluster to join; without it one is started on this machine."""


class RayStore(FeatureStore):
    """Like :class:`FeatureStore`; what is missing is divided among processes, a segment each time.

    The segments are those that one process would make. Ray is started with the first of them, without a dashboard and
    without reports to its makers, and ends with this process.

    Args:
        folder: where files go; all machines must see it, and the media, under the same path.
        workers: processes that encode at once, each on one core.
        dtype, ram: as in :class:`FeatureStore`.
    """

    def __init__(
        self,
        folder: str | Path,
        workers: int = 2,
        dtype: Literal["float32", "float16"] = "float32",
        ram: int = 2**30,
    ) -> None:
        super().__init__(Path(folder).resolve(), dtype, ram)
        if workers < 1:
            raise ConfigError(f"at least 1, not {workers}", key="workers")
        self.workers = workers

    def _fill(
        self,
        shelf: EncoderSegments,
        name: str,
        encoder: Encoder,
        sources: Sequence[Raw],
        keys: Sequence[str | None],
        lacking: Sequence[int],
        batch_size: int,
    ) -> None:
        assert self.folder is not None
        ray = _started(self.workers)
        parts = [
            Part([_whole(sources[row]) for row in lacking[start : start + batch_size]])
            for start in range(0, len(lacking), batch_size)
        ]
        # a name that is swept away should this process be killed
        with TemporaryDirectory(prefix=TEMP_PREFIX, dir=self.folder / name) as aside:
            save_encoder(Path(aside) / "encoder", encoder)
            pool = ray.data.ActorPoolStrategy(size=min(self.workers, len(parts)))
            given = (self.folder, self.dtype.name, Path(aside) / "encoder")
            done = ray.data.from_items(parts, override_num_blocks=len(parts)).map(
                Worker, fn_constructor_args=given, compute=pool, num_cpus=1
            )
            with progress(f"encode {encoder.modality} ({encoder.name})", len(lacking)) as advance:
                for row in done.iter_rows():
                    advance(int(row["encoded"]))
        self._opened(name, encoder)


@dataclass(frozen=True)
class Part:
    """Content of one segment."""

    raws: list[Raw]


class Worker:
    """One process: takes a part at a time and leaves its vectors in the store."""

    def __init__(self, folder: Path, dtype: Literal["float32", "float16"], encoder: Path) -> None:
        self.store, self.encoder = FeatureStore(folder, dtype), load_encoder(encoder)

    def __call__(self, row: dict[str, Any]) -> dict[str, int]:
        """How much of a row ``{"item": Part}`` was encoded; its failures are in the store, for who asked to report."""
        raws = row["item"].raws
        self.store.encode(self.encoder, raws, batch_size=len(raws), failures=[])
        return {"encoded": len(raws)}


def _whole(raw: Raw) -> Raw:
    """Workers are at home in another folder."""
    return raw.resolve() if isinstance(raw, Path) else raw


def _started(workers: int) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingDependencyError("ray", extra="distributed") from error
    # else it says of every data set how it will run, and that parts are no table
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    if not ray.is_initialized():
        here = {} if os.environ.get(ADDRESS) else {"address": "local", "num_cpus": workers, "include_dashboard": False}
        ray.init(logging_level=logging.WARNING, **here)
    return ray
