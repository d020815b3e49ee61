"""What to do with a list when a user says something: filter, rerank or explore, chosen from a closed set of actions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from palate.contracts import Constraint, Prompt, Sampling, TextBackend
from palate.generation.flows.facets import FacetTable
from palate.generation.flows.item_values import contains, words

ActionName = Literal["keep", "only", "without", "more", "explore"]
MEANING: Mapping[str, str] = {
    "keep": "leave the list as it is",
    "only": "show only items with an attribute",
    "without": "remove items with an attribute",
    "more": "put items with an attribute first",
    "explore": "show something different",
}
EXAMPLES: tuple[tuple[Mapping[str, str], str], ...] = (
    ({"user says": "can I see westerns and nothing besides"}, "only"),
    ({"user says": "please leave out anything with musicals"}, "without"),
    ({"user says": "a thriller could be good today"}, "more"),
    ({"user says": "I know all of these, try other things"}, "explore"),
    ({"user says": "great, I will take one of them"}, "keep"),
)
"""Requests that were solved, for a language model."""
_EXPLORE = re.compile(
    r"\b(?:surprise|something (?:else|new|different)|anything (?:else|different)|explore|bored|discover|other things)\b"
)
_WITHOUT = re.compile(r"\b(?:no|not|without|except|never|hate|don't|remove|hide|dislike|less)\b")
_ONLY = re.compile(r"\b(?:only|just|must|nothing but|has to be|exclusively|strictly)\b")
_MORE = re.compile(r"\b(?:more|prefer|rather|like|love|want|mood|show|give|into|fan)\b")


@dataclass(frozen=True)
class Action:
    """What is done with a list.

    Attributes:
        name: of the action.
        column: attribute that it is about; None for ``keep`` and ``explore``.
        value: of the attribute.
    """

    name: ActionName
    column: str | None = None
    value: str | None = None


class Controller:
    """Chooses actions from requests in words. The words are data: whatever they say, only these actions exist.

    Args:
        items: id and columns of the list that is shown.
        backend: a language model that keeps ``choices``; None takes rules.
        columns: attributes that actions may be about; those whose values can be named by default.
        examples: show a language model solved requests.
    """

    def __init__(
        self,
        items: Sequence[Mapping[str, Any]],
        backend: TextBackend | None = None,
        columns: Sequence[str] | None = None,
        *,
        examples: bool = True,
    ) -> None:
        self.table, self.backend, self.examples = FacetTable(items, columns), backend, examples

    def mentioned(self, request: str) -> list[tuple[str, str]]:
        """(column, value) pairs of the list that a request names, the longest value first.

        Args:
            request: the user's words.
        """
        said = words(request)
        found = [
            (column, value)
            for column, values in self.table.rows.items() for value in values if contains(said, words(value))
        ]  # fmt: skip
        return sorted(found, key=lambda pair: (-len(words(pair[1])), pair))

    def choose(self, request: str, *, seed: int = 0) -> Action:
        """The action that a request asks for.

        Args:
            request: the user's words.
            seed: of the language model.
        """
        found = self.mentioned(request)
        if self.backend is None:
            name = _by_rule(request.casefold(), bool(found))
        else:
            # without a value there is nothing to filter or to prefer
            able = get_args(ActionName) if found else ("keep", "explore")
            name = self._chosen(request, able, seed)
        if name in ("keep", "explore"):
            return Action(name)
        column, value = found[0]
        return Action(name, column, value)

    def apply(self, action: Action, scores: NDArray[np.floating]) -> NDArray[np.int64]:
        """The list after an action.

        ``explore`` shows in turn the best item of values that are not shown yet (of the column that divides the list
        best), then the others.

        Args:
            action: as chosen.
            scores: [items], the higher the better.

        Returns:
            int64 rows, the best first; fewer than there are items after ``only`` and ``without``.
        """
        order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
        if action.name == "keep":
            return order
        if action.name == "explore":
            return self._explored(order)
        assert action.column is not None and action.value is not None
        has = self.table.holds(action.column, action.value)[order]
        if action.name == "only":
            return order[has]
        return order[~has] if action.name == "without" else np.concatenate([order[has], order[~has]])

    def _chosen(self, request: str, able: Sequence[ActionName], seed: int) -> ActionName:
        assert self.backend is not None
        meanings = "; ".join(f"{name}: {MEANING[name]}" for name in able)
        task = f"Choose what to do with the list of recommendations, as the user wishes. Actions: {meanings}."
        sampling = Sampling(max_tokens=8, constraint=Constraint(choices=tuple(able)))
        shots = tuple(shot for shot in EXAMPLES if shot[1] in able) if self.examples else ()
        answer = self.backend.complete([Prompt(task, {"user says": request}, shots)], sampling, seed=seed)[0].text
        return answer if answer in able else "keep"  # type: ignore[return-value]

    def _explored(self, order: NDArray[np.int64]) -> NDArray[np.int64]:
        facets = self.table.best(np.ones(self.table.n_items), n=1)
        if not facets:
            return order
        values = self.table.rows[facets[0].column]
        first = {value: next(int(row) for row in order if row in set(rows.tolist())) for value, rows in values.items()}
        top = set(values) - {value for value, rows in values.items() if int(order[0]) in rows}
        place = {int(row): at for at, row in enumerate(order)}
        lead = list(dict.fromkeys(sorted((first[value] for value in top), key=place.__getitem__)))
        rest = [int(row) for row in order if int(row) not in set(lead)]
        return np.array([*lead, *rest], np.int64)


def _by_rule(request: str, mentions: bool) -> ActionName:
    if _EXPLORE.search(request):
        return "explore"
    if not mentions:
        return "keep"
    if _ONLY.search(request):
        return "only"
    if _WITHOUT.search(request):
        return "without"
    return "more" if _MORE.search(request) or len(words(request)) <= 3 else "keep"
