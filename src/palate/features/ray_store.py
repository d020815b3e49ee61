"""A feature store that encodes missing content by Ray Data, in processes of one machine or of several."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from palate.core.asides import aside_of, remove
from palate.core.encoder import Encoder, Raw
from palate.core.errors import ConfigError, MissingDependencyError
from palate.core.progress import progress
from palate.features.saved import load_encoder, save_encoder
from palate.features.store import EncoderSegments, FeatureStore, MissingContent

ADDRESS = "RAY_ADDRESS"
"""Environment variable of Ray: a running cluster to join; without it one is started on this machine."""


class RayStore(FeatureStore):
    """A :class:`FeatureStore` that divides missing content among processes, a segment at a time.

    The segments are those that one process would make. Ray is started with the first of them, without a dashboard and
    without usage reports, and ends with this process.

    Args:
        folder: where files go; all machines must see it, and the media, under the same path.
        workers: processes that encode at once, each on one core.
        dtype: as in :class:`FeatureStore`.
        ram: as in :class:`FeatureStore`.

    Raises:
        ConfigError: for fewer than one worker.
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

    def _fill(self, stored: EncoderSegments, name: str, encoder: Encoder, missing: MissingContent) -> None:
        assert self.folder is not None
        ray = _start_ray(self.workers)
        parts = [Part([_absolute(raw) for raw in raws]) for _, raws in missing.batches()]
        # under such a name the next writer removes it if this process is killed
        temporary = aside_of(self.folder / name / "ray")
        try:
            save_encoder(temporary / "encoder", encoder)
            pool = ray.data.ActorPoolStrategy(size=min(self.workers, len(parts)))
            arguments = (self.folder, self.dtype.name, temporary / "encoder")
            encoded = ray.data.from_items(parts, override_num_blocks=len(parts)).map(
                Worker, fn_constructor_args=arguments, compute=pool, num_cpus=1
            )
            with progress(f"encode {missing.label} ({encoder.name})", len(missing)) as advance:
                for row in encoded.iter_rows():
                    advance(int(row["encoded"]))
        finally:
            remove(temporary)
        self._read_segments(name, encoder)


@dataclass(frozen=True)
class Part:
    """Content of one segment."""

    raws: list[Raw]


class Worker:
    """One process, which encodes a part at a time into the store.

    Args:
        folder: of the store.
        dtype: of the store.
        encoder: folder of a saved encoder.
    """

    def __init__(self, folder: Path, dtype: Literal["float32", "float16"], encoder: Path) -> None:
        self.store, self.encoder = FeatureStore(folder, dtype), load_encoder(encoder)

    def __call__(self, row: dict[str, Any]) -> dict[str, int]:
        """Encode one part; failures are kept in the store.

        Args:
            row: ``{"item": Part}``.

        Returns:
            ``{"encoded": number of entities}``.
        """
        raws = row["item"].raws
        self.store.encode(self.encoder, raws, batch_size=len(raws), failures=[])
        return {"encoded": len(raws)}


def _absolute(raw: Raw) -> Raw:
    """Paths that workers, which run in another folder, can open."""
    return raw.resolve() if isinstance(raw, Path) else raw


def _start_ray(workers: int) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingDependencyError("ray", extra="distributed") from error
    # otherwise it logs the plan of every data set
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    if not ray.is_initialized():
        options = (
            {} if os.environ.get(ADDRESS) else {"address": "local", "num_cpus": workers, "include_dashboard": False}
        )
        ray.init(logging_level=logging.WARNING, **options)
    return ray
