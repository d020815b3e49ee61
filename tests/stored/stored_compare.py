"""Compare outputs with those that are stored: every difference with its place, the old and the new value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

SUMS = ("absolute", "mixed", "sum")


@dataclass(frozen=True)
class Tolerance:
    """What counts as equal.

    Attributes:
        value: absolute, and relative to the larger of two values.
        tensor: of the sums over a tensor, relative to the sum of its absolute values (at least 1).
    """

    value: float = 1e-6
    tensor: float = 1e-6


SAME_MACHINE = Tolerance()
OTHER_MACHINE = Tolerance(value=2e-5, tensor=1e-3)
"""Other processors and versions round differently: training multiplies it, eigenvectors of close eigenvalues turn."""


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """One line for each difference between stored and present outputs; none where they agree."""
    same = old.get("machine") == new.get("machine")
    old, new = ({key: value for key, value in record.items() if key != "machine"} for record in (old, new))
    return _Comparison(SAME_MACHINE if same else OTHER_MACHINE).of(old, new, ())


def report(name: str, lines: list[str], limit: int = 12) -> str:
    """What a failing comparison says."""
    shown = [*lines[:limit], *([f"... and {len(lines) - limit} more"] if len(lines) > limit else [])]
    return "\n".join(
        (
            f"{name}: {len(lines)} outputs differ from tests/stored/outputs/{name}.json",
            *(f"  {name}: {line}" for line in shown),
            "If the change is intended, record it with",
            f"  python tests/stored/record.py {name}",
            "and explain it in the commit message.",
        )
    )


@dataclass(frozen=True)
class _Comparison:
    tolerance: Tolerance

    def of(self, old: Any, new: Any, place: tuple[str, ...]) -> list[str]:
        if isinstance(old, dict) and isinstance(new, dict):
            if old.keys() == new.keys() == {"items", "scores"}:
                return self.of_ranked(old, new, place)
            return self.of_entries(old, new, place)
        if isinstance(old, list) and isinstance(new, list):
            if len(old) != len(new):
                return [_line(place, f"{len(old)} values", f"{len(new)} values")]
            pairs = enumerate(zip(old, new, strict=True))
            return [line for at, (a, b) in pairs for line in self.of(a, b, (*place, str(at)))]
        return [] if self.same(old, new) else [_line(place, old, new)]

    def of_entries(self, old: dict[str, Any], new: dict[str, Any], place: tuple[str, ...]) -> list[str]:
        lines = [_line((*place, key), old[key], "absent") for key in old if key not in new]
        lines += [_line((*place, key), "absent", new[key]) for key in new if key not in old]
        for key in (key for key in old if key in new):
            if key in SUMS and "absolute" in old and "absolute" in new:
                close = self.tolerance.tensor * max(1.0, old["absolute"], new["absolute"])
                lines += [] if abs(old[key] - new[key]) <= close else [_line((*place, key), old[key], new[key])]
            else:
                lines += self.of(old[key], new[key], (*place, key))
        return lines

    def of_ranked(self, old: dict[str, Any], new: dict[str, Any], place: tuple[str, ...]) -> list[str]:
        """Scores place by place; items may change places only where their scores tie."""
        lines = self.of(old["scores"], new["scores"], (*place, "scores"))
        if lines or len(old["items"]) != len(new["items"]):
            return lines or [_line((*place, "items"), old["items"], new["items"])]
        scores = dict(zip(old["items"], old["scores"], strict=True))
        last = old["scores"][-1] if old["scores"] else None
        for at, (a, b) in enumerate(zip(old["items"], new["items"], strict=True)):
            # an item from beyond the end of the stored list had at most the last score
            if a != b and not self.same(scores.get(b, last), new["scores"][at]):
                lines.append(_line((*place, "items", str(at)), a, b))
        return lines

    def same(self, old: Any, new: Any) -> bool:
        if isinstance(old, float) and isinstance(new, float):
            return math.isclose(old, new, rel_tol=self.tolerance.value, abs_tol=self.tolerance.value)
        return type(old) is type(new) and bool(old == new)


def _line(place: tuple[str, ...], old: Any, new: Any) -> str:
    return f"{' / '.join(place)}: stored {_short(old)}, now {_short(new)}"


def _short(value: Any) -> str:
    text = f"{value:.9g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
