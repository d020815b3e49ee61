"""Ratings: which content of a pair a person found better, one JSON object a line, or a CSV file made elsewhere.

Columns are ``pair``, ``rater`` and ``choice`` (``a``, ``b`` or ``tie``, as the file of pairs has them), and optionally
``left`` (which was shown on the left), ``seconds`` and ``time`` (seconds since 1970). Where a person rated a pair twice
the later rating counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from palate.core.errors import DataError, did_you_mean
from palate.core.json_lines import append_json_line, read_json_lines
from palate.core.seeding import rng_for
from palate.evaluation.rating.pairs import RatingPair, csv_rows, is_json_lines

Choice = Literal["a", "b", "tie"]
CHOICES: tuple[str, ...] = get_args(Choice)
COLUMNS = ("pair", "rater", "choice", "left", "seconds", "time")
MAX_RATER = 80


@dataclass(frozen=True)
class Rating:
    """An answer.

    Attributes:
        pair: id of the pair.
        rater: name of the person, as the person chose it.
        choice: ``a``, ``b`` or ``tie``.
        left: which was shown on the left; empty where that is not known.
        seconds: the person took; nan where that is not known.
        time: seconds since 1970; nan where that is not known.
    """

    pair: str
    rater: str
    choice: Choice
    left: str = ""
    seconds: float = math.nan
    time: float = math.nan


def read_ratings(file: str | Path, pairs: Sequence[RatingPair]) -> list[Rating]:
    """Read ratings; of several of a person for a pair the last.

    Args:
        file: ``.csv``, or ``.jsonl`` as the page writes it, in which a line that a killed server began is left out.
        pairs: what was rated.

    Raises:
        DataError: for a file that cannot be read, a column that is missing or unknown, an unknown pair, an empty
            rater, or a choice that is none.
        ArtefactError: for a file of JSON Lines that cannot be read.
    """
    path, known = Path(file), {pair.id for pair in pairs}
    if is_json_lines(path):
        if not path.is_file():
            raise DataError("cannot be read (no such file)", file=path)
        rows = read_json_lines(path)
    else:
        rows = list(csv_rows(path, ("pair", "rater", "choice"), COLUMNS))
    found = {}
    for number, row in rows:
        rating = _rating(path, number, row, known)
        found[rating.rater, rating.pair] = rating
    return list(found.values())


class RatingFile:
    """Ratings as they are given: on disk before the next pair is shown.

    Args:
        file: of JSON Lines.
        pairs: what is rated.
        seed: of the orders.

    Raises:
        DataError: for a file that is no file of ratings of these pairs.
    """

    def __init__(self, file: str | Path, pairs: Sequence[RatingPair], seed: int = 0) -> None:
        self.path, self.pairs, self.seed = Path(file), {pair.id: pair for pair in pairs}, seed
        if not is_json_lines(self.path):
            raise DataError("is no file of JSON Lines", file=self.path, hint="choose a name that ends in .jsonl")
        if self.path.exists():
            read_ratings(self.path, pairs)

    def add(self, rating: Rating) -> None:
        """Store a rating.

        Args:
            rating: of one of the pairs.
        """
        record = {name: value for name, value in asdict(rating).items() if value == value and value != ""}
        append_json_line(self.path, record)

    def of(self, rater: str) -> dict[str, Rating]:
        """Ratings of a person by pair.

        Args:
            rater: name of the person.
        """
        if not self.path.exists():
            return {}
        found = read_ratings(self.path, list(self.pairs.values()))
        return {one.pair: one for one in found if one.rater == rater}

    def order(self, rater: str) -> list[str]:
        """Ids of the pairs in the order in which a person is shown them.

        Args:
            rater: name of the person.
        """
        names = list(self.pairs)
        return [names[int(at)] for at in rng_for(self.seed, "order of pairs", rater).permutation(len(names))]

    def left(self, rater: str, pair: str) -> Literal["a", "b"]:
        """Which content of a pair a person is shown on the left.

        Args:
            rater: name of the person.
            pair: id of the pair.
        """
        return "a" if rng_for(self.seed, "left", rater, pair).random() < 0.5 else "b"


def check_rater(name: str) -> str:
    """A rater's name without surrounding spaces.

    Args:
        name: as it was typed.

    Raises:
        DataError: for an empty name, one that is too long, or one with control characters.
    """
    name = " ".join(name.split())
    if not name or len(name) > MAX_RATER or not name.isprintable():
        raise DataError(f"a name of 1 to {MAX_RATER} letters is needed", column="rater")
    return name


def _rating(path: Path, number: int, row: Any, known: set[str]) -> Rating:
    if not isinstance(row, Mapping):
        raise DataError("is no JSON object", file=path, row=number)
    for name in row:
        if name not in COLUMNS:
            hint = did_you_mean(str(name), COLUMNS)
            raise DataError("this column is unknown", file=path, row=number, column=str(name), hint=hint)
    pair, choice = str(row.get("pair", "")).strip(), str(row.get("choice", "")).strip()
    if pair not in known:
        raise DataError("no such pair", file=path, row=number, column="pair", key=pair, hint=did_you_mean(pair, known))
    try:
        rater = check_rater(str(row.get("rater") or ""))
    except DataError as error:
        raise DataError(error.message, file=path, row=number, column="rater") from error
    if choice not in CHOICES:
        raise DataError("no such choice", file=path, row=number, column="choice", key=choice, hint="a, b or tie")
    seconds, time = (_number(path, number, name, row.get(name)) for name in ("seconds", "time"))
    return Rating(pair, rater, choice, str(row.get("left") or ""), seconds, time)  # type: ignore[arg-type]


def _number(path: Path, number: int, column: str, value: Any) -> float:
    if value is None or value == "":
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise DataError("is no number", file=path, row=number, column=column, key=str(value)) from error
