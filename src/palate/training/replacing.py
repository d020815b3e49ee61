"""What a run is, and when another may take its place without being asked to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from palate.core.errors import ArtefactError
from palate.core.files import read_json
from palate.core.output import check_output, is_free, keep_others, link_or_copy

from .manifest import MANIFEST, erased_rows

REPORTS = ("report.html", "metrics.json", "log.txt")
"""Files for people that ``palate fit`` writes beside the run."""


def checkpoint_of(run: str | Path) -> Path:
    """The folder beside a run in which a fit that was killed goes on."""
    place = Path(os.path.realpath(run))
    return place.with_name(f".{place.name}.checkpoint")


@dataclass(frozen=True)
class RunIdentity:
    """What makes two runs the same fit.

    Attributes:
        model: name of the model.
        data: hash of the data.
        split: of the data, as text.
        seed: of the fit.
        settings: hash of all that was asked for: settings, encoders, positives, starting weights.
    """

    model: str
    data: str
    split: str
    seed: int
    settings: str

    @classmethod
    def of(cls, model: str, about: Mapping[str, Any]) -> RunIdentity:
        """The identity that a manifest or a deployment states.

        Args:
            model: name of the model.
            about: facts on data, split, seed and settings.
        """
        data, split, settings = (str(about.get(key, "")) for key in ("hash", "split", "fingerprint"))
        return cls(model, data, split, int(about.get("seed", -1)), settings)

    def difference(self, other: RunIdentity) -> str | None:
        """What differs, in words; None for the same fit.

        Args:
            other: the run that is there.
        """
        if self.model != other.model:
            return f"of {other.model}, not {self.model}"
        if self.data != other.data:
            return "of other data"
        if self.split != other.split:
            return f"of the split {other.split}, not {self.split}"
        if self.seed != other.seed:
            return f"of seed {other.seed}, not {self.seed}"
        return None if self.settings == other.settings else "with other settings"


def check_replacement(
    folder: Path, new: RunIdentity, items: pl.Series, users: pl.Series | None, overwrite: bool
) -> dict[str, Any]:
    """Refuse to replace another run, or to lose what was done to this one, unless told to overwrite.

    Args:
        folder: where the run is to be written.
        new: the run to write.
        items: its item ids.
        users: its user ids; None before it is fitted.
        overwrite: replace whatever run is there.

    Returns:
        The manifest of the run that is there, empty for none.

    Raises:
        ArtefactError: naming what would be lost.
    """
    check_output(folder, "run")
    if is_free(folder):
        return {}
    manifest: dict[str, Any] = read_json(folder / MANIFEST)
    if overwrite:
        return manifest
    hint = "nothing was changed; choose another folder, or --overwrite (overwrite=True)"
    other = RunIdentity.of(str(manifest["model"]), manifest["about"])
    if different := new.difference(other):
        raise ArtefactError(f"holds another run, {different}", file=folder, hint=hint)
    there = _ids(folder / "items" / "ids.parquet")
    if lost := len(set(there) - set(items.to_list())):
        raise ArtefactError(f"holds {lost} items that were added to the run since", file=folder, hint=hint)
    erased = erased_rows(manifest)
    ids = _ids(folder / "users.parquet") if erased else []
    if any(users is None or row >= len(users) or users[row] != ids[row] for row in erased):
        raise ArtefactError("users were erased from the run since, and would be back", file=folder, hint=hint)
    return manifest


def kept_facts(former: Mapping[str, Any], new: RunIdentity, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts of the former run that stay true of the new one.

    Args:
        former: manifest of the run that is replaced.
        new: the run to write.
        facts: further facts of the new run.
    """
    if not former:
        return dict(facts)
    other = RunIdentity.of(str(former["model"]), former["about"])
    out = dict(facts)
    if (new.data, new.split) == (other.data, other.split) and "openings_of_test" in {**former, **facts}:
        out["openings_of_test"] = max(int(one.get("openings_of_test", 0)) for one in (former, facts))
    if new.difference(other) is None:
        kept = ("added_items", "erased", "forgotten", "command", "seconds", "processes", "notes")
        out = {key: former[key] for key in kept if key in former} | out
    return out


def keep_rest(folder: Path, aside: Path, former: Mapping[str, Any], same: bool) -> list[str]:
    """Take over what others put into the folder, and the reports where they are still true.

    Args:
        folder: the run that is replaced.
        aside: the complete new run.
        former: manifest of the former.
        same: whether both are the same fit.

    Returns:
        Names of the reports in ``aside``.

    Raises:
        ArtefactError: if somebody else's file has the name of one that is written.
    """
    if former:
        reports = former.get("reports", REPORTS)
        ours = {MANIFEST, *former.get("files", ()), *reports}
        keep_others(folder, aside, ours)
        for name in reports if same else ():
            if os.path.lexists(folder / name) and not os.path.lexists(aside / name):
                link_or_copy(folder / name, aside / name)
    return [name for name in REPORTS if (aside / name).is_file()]


def _ids(file: Path) -> list[Any]:
    try:
        return pl.read_parquet(file)["id"].to_list()
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise ArtefactError(f"cannot be read ({error})", file=file, hint="choose another folder") from error
