"""The feature store: every piece of content is encoded once per encoder; an interrupted run keeps what it encoded."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from palate.core.asides import sweep_leftovers
from palate.core.content import Features
from palate.core.encoder import Encoder, Raw
from palate.core.errors import ArtefactError, ConfigError, FeatureError
from palate.core.files import digest, write_json
from palate.core.progress import progress
from palate.features.assemble import assemble
from palate.features.encoders.base import ContentEncoder, EncodingFailure
from palate.features.encoders.derived import DerivedEncoder
from palate.features.encoders.tower import Tower
from palate.features.keys import keys_of
from palate.features.segment import SUFFIX, Segment

log = logging.getLogger("palate")
OnBad = Literal["absent", "error"]
BATCH = 128


@dataclass(eq=False)
class EncoderSegments:
    """All segments of one encoder.

    Attributes:
        segments: in the order in which they were read.
        place: content hash -> number of its segment, and row in it.
        files: names of the files that were read.
    """

    segments: list[Segment] = field(default_factory=list)
    place: dict[str, tuple[int, int]] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)

    def add(self, segment: Segment) -> None:
        """Append a segment; content that an earlier one holds stays where it is."""
        number = len(self.segments)
        self.segments.append(segment)
        for row, key in enumerate(segment.keys):
            self.place.setdefault(key, (number, row))


@dataclass(frozen=True, eq=False)
class MissingContent:
    """Content that is to be encoded.

    Attributes:
        raws: of a batch, in its order; only some of it is missing.
        keys: content hash of each row.
        rows: rows of content that no segment holds, each content once.
        batch_size: rows in one segment.
        label: what is encoded, for progress.
    """

    raws: Sequence[Raw]
    keys: Sequence[str | None]
    rows: Sequence[int]
    batch_size: int
    label: str

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self) -> Iterator[tuple[list[str], list[Raw]]]:
        """Hashes and content of each segment that is to be made."""
        for start in range(0, len(self.rows), self.batch_size):
            rows = self.rows[start : start + self.batch_size]
            yield [str(self.keys[row]) for row in rows], [self.raws[row] for row in rows]


class FeatureStore:
    """Vectors by content hash and encoder identity, in a folder (or in memory).

    Each batch is one append-only file that appears complete or not at all; an interrupted run continues after its last
    batch. Several processes may write at once: they see each other's finished batches, and at worst encode a batch
    twice, to the same bits.

    Args:
        folder: where files go; None keeps everything in memory.
        dtype: ``float32`` or ``float16``; part of the key.
        ram: bytes that one result may take in memory; larger ones are written once and memory-mapped.

    Attributes:
        damaged: files that failed their check; their content is encoded again.

    Raises:
        ConfigError: for another dtype.
    """

    def __init__(
        self,
        folder: str | Path | None,
        dtype: Literal["float32", "float16"] = "float32",
        ram: int = 2**30,
    ) -> None:
        if dtype not in ("float32", "float16"):
            raise ConfigError(f"float32 or float16, not {dtype!r}", key="dtype")
        self.folder = None if folder is None else Path(folder)
        self.dtype, self.ram = np.dtype(dtype), ram
        self.damaged: list[Path] = []
        self._segments: dict[str, EncoderSegments] = {}

    def encode(
        self,
        encoder: Encoder,
        raws: Sequence[Raw],
        *,
        root: str | Path | None = None,
        batch_size: int = BATCH,
        on_bad: OnBad = "absent",
        failures: list[EncodingFailure] | None = None,
        label: str | None = None,
    ) -> Features:
        """Encode content that the store lacks, and return the vectors of all rows.

        Args:
            encoder: fitted, where it needs fitting.
            raws: content of the encoder's modality, None where it is absent.
            root: folder that media paths are relative to and may not leave; None trusts them.
            batch_size: entities in one segment, the most that an interruption can lose.
            on_bad: unusable content becomes ``absent``, or is an ``error``.
            failures: receives one :class:`EncodingFailure` for every row with unusable content, in row order.
            label: what is encoded, for progress; the modality if not given.

        Returns:
            Features aligned with ``raws``; values may be a read-only memory map.

        Raises:
            ConfigError: for a batch size below 1.
            FeatureError: for unusable content with ``on_bad="error"``, and for an encoder that gives non-finite values.
            ArtefactError: if the folder cannot be used.
        """
        if batch_size < 1:
            raise ConfigError(f"at least 1, not {batch_size}", key="batch_size")
        sources, keys, invalid = keys_of(raws, encoder.modality, root)
        if invalid and on_bad == "error":
            raise _error(invalid[0])
        name = self._name(encoder)
        with self._writing(name):
            stored = self._read_segments(name, encoder)
            missing = MissingContent(sources, keys, _missing_rows(keys, stored), batch_size, label or encoder.modality)
            if len(missing):
                self._fill(stored, name, encoder, missing)
        invalid += [
            EncodingFailure(row, reason, _file(sources[row]))
            for row, key in enumerate(keys)
            if key and (reason := _reason(stored, key))
        ]
        invalid.sort(key=lambda failure: failure.row)
        if invalid and on_bad == "error":
            raise _error(invalid[0])
        if failures is not None:
            failures += invalid
        elif invalid:
            log.warning("%s: %d unusable, treated as absent; first: %s", encoder.name, len(invalid), _error(invalid[0]))
        identity = encoder.identity + ("" if self.dtype == np.float32 else f":{self.dtype.name}")
        places = [stored.place[key] if key else None for key in keys]
        empty = np.zeros((0, encoder.dim), self.dtype)
        blank = Features(empty, np.zeros(0, bool), encoder.kind, np.zeros(0, np.int64), identity, encoder.fitted_on)
        folder = None if self.folder is None else self.folder / name
        return assemble(stored.segments, places, blank, self.ram, folder)

    def _fill(self, stored: EncoderSegments, name: str, encoder: Encoder, missing: MissingContent) -> None:
        """Encode missing content, batch by batch, into new segments."""
        with progress(f"encode {missing.label} ({encoder.name})", len(missing)) as advance:
            for keys, raws in missing.batches():
                features, failures = self._encode_batch(encoder, raws)
                _check_range(features, self.dtype, encoder.name)
                reasons = {failure.row: failure.reason for failure in failures}
                segment = Segment.of(keys, features, reasons, self.dtype)
                if self.folder is not None:
                    path = segment.write(self.folder / name)
                    stored.files.add(path.name)
                    segment = Segment.read(path)
                stored.add(segment)
                advance(len(keys))

    def _encode_batch(self, encoder: Encoder, raws: list[Raw]) -> tuple[Features, list[EncodingFailure]]:
        """Encoders over others that are worth keeping read the vectors of those from the store."""
        failures: list[EncodingFailure] = []
        if isinstance(encoder, Tower) and encoder.preprocessor.worth_keeping:
            return encoder.encode_inputs(self.encode(encoder.preprocessor, raws, failures=failures)), failures
        if isinstance(encoder, DerivedEncoder):
            found = [self.encode(part, raws, failures=failures) for part in encoder.parts]
            return encoder.encode_parts(found), [*{failure.row: failure for failure in failures}.values()]
        if isinstance(encoder, ContentEncoder):
            return encoder.encode_valid(raws)
        return encoder.encode(raws), []

    def _read_segments(self, name: str, encoder: Encoder) -> EncoderSegments:
        """Segments of ``encoder``, those that other processes wrote meanwhile included."""
        stored = self._segments.setdefault(name, EncoderSegments())
        if self.folder is None:
            return stored
        folder = self.folder / name
        if not (folder / "encoder.json").exists():
            write_json(folder / "encoder.json", {"identity": encoder.identity, "settings": encoder.settings})
        # Names are random, so sorting them gives every process the same choice where two hold the same content.
        for path in sorted(folder.glob(f"[!.]*{SUFFIX}")):
            if path.name in stored.files:
                continue
            stored.files.add(path.name)
            try:
                stored.add(Segment.read(path))
            except ArtefactError as error:
                self.damaged.append(path)
                log.warning("%s; its content is encoded again", error)
                _set_aside(path)
        return stored

    @contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        """Hold a shared lock; the only writer removes the temporary files of interrupted ones."""
        if self.folder is None:
            yield
            return
        folder = self.folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            if not folder.is_dir():
                raise ArtefactError(
                    f"the feature store cannot be used ({error.strerror})",
                    file=folder,
                    hint="name another with --store or PALATE_CACHE",
                ) from error
            # a read-only store can still be read
            yield
            return
        try:
            _lock_and_sweep(handle, folder)
            yield
        finally:
            os.close(handle)

    def _name(self, encoder: Encoder) -> str:
        plain = "".join(c if c.isalnum() or c in "-_" else "-" for c in encoder.name)
        return f"{plain}-{digest(encoder.identity, encoder.kind, self.dtype.name)[:16]}"


def _lock_and_sweep(handle: int, folder: Path) -> None:
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        sweep_leftovers(folder)
    except OSError:
        log.debug("another process writes to %s, or the file system has no locks", folder)
    with suppress(OSError):
        # without locks nothing is swept, and nothing else depends on them
        fcntl.flock(handle, fcntl.LOCK_SH)


def _missing_rows(keys: Sequence[str | None], stored: EncoderSegments) -> list[int]:
    """The first row of each content that the segments lack."""
    seen: set[str] = set()
    rows = []
    for row, key in enumerate(keys):
        if key is not None and key not in stored.place and key not in seen:
            seen.add(key)
            rows.append(row)
    return rows


def _check_range(features: Features, dtype: np.dtype, name: str) -> None:
    values = features.values
    if not np.isfinite(values).all():
        raise FeatureError("gave non-finite values", key=name)
    if dtype == np.float16 and values.size and float(np.abs(values).max()) > float(np.finfo(np.float16).max):
        raise FeatureError("values do not fit float16", key=name, hint="use a store of float32")


def _reason(stored: EncoderSegments, key: str) -> str:
    number, row = stored.place[key]
    return stored.segments[number].absent.get(row, "")


def _file(raw: Raw) -> str | None:
    return str(raw) if isinstance(raw, Path) else None


def _error(failure: EncodingFailure) -> FeatureError:
    return FeatureError(failure.reason, file=failure.file, row=failure.row + 1)


def _set_aside(path: Path) -> None:
    try:
        os.replace(path, path.with_name(f"damaged-{path.stem}.bin"))
    except OSError:
        log.debug("%s stays where it is", path)
