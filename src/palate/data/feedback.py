"""What a log says of dislike: the rule where a label says it, warnings and a proposal where other columns do."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from palate.core.errors import DataError, did_you_mean
from palate.data.interactions import PositiveRule, RuleError
from palate.data.issues import DataIssue

_NEGATIVE = re.compile(
    r"dis_?like|unlike|refund|return(?!ing)|remov|skip|hid(?:e|den)|cancel|down_?vot|thumbs?_?down|not_?interest|"
    r"uninstall|delet|reject|block|report|complain|bounce|un_?(?:follow|favou?rite|subscrib|star|save|bookmark|wish)|"
    r"^un[-_ ]|negativ|abandon|hate|mute|ignor|\bban\b|churn|close_?ad|spam|"
    r"^not[-_ ]|^neg$|fail|declin|chargeback|\bvoid|"
    r"retour|storn|r[üu]ckgabe|entfern|gel[öo]scht|abgebroch|reklam|devol|eliminad|rechaz|annul|supprim|rembours|"
    r"\breso\b|rimoss|rimbors|geannul|verwijder|removid|reembols|возврат|отмен|удал|返品|キャンセル|削除|退货|退款|取消|"
    r"删除|👎"
)
NO = frozenset(
    [
        *("no", "n", "not", "false", "f", "none", "0", "-1", "off", "bad", "down", "poor", "neg", "-"),
        *("nein", "non", "falsch", "nee", "não", "нет", "いいえ", "否", "👎"),
    ]
)
"""Words of refusal, in lower case."""
_MISSING = frozenset([-1.0, -99.0, 98.0, 99.0, 999.0, 9999.0, -999.0])

_STRONG = re.compile(
    r"purchas|transaction|\bbuy|bought|order|checkout|cart|basket|favou?r|\blike|save|wish|download|subscrib|follow|rent|book|play|install|shar"
)
_WEAK = re.compile(r"view|click|impress|brows|detail|expos|show|seen|open|visit|pv\b|hover|scroll|search")


def is_negative(word: str) -> bool:
    """Whether a kind of event, a state of an order or the name of a column speaks of dislike or of giving back.

    Args:
        word: the word or words.
    """
    return _NEGATIVE.search(word.strip().lower()) is not None


def parse_rule(positive: PositiveRule | Mapping[str, Any] | None, roles: Mapping[str, str]) -> PositiveRule | None:
    """A rule as given, in which columns may be called by their own names; None if none is given.

    Args:
        positive: the rule.
        roles: role -> column of the log.

    Raises:
        RuleError: for an unknown key or a value of the wrong type.
    """
    if positive is None or isinstance(positive, PositiveRule) or not isinstance(positive, Mapping):
        return None if positive is None else PositiveRule.parse(positive)
    own = {column: role for role, column in roles.items() if role in PositiveRule.model_fields}
    known = PositiveRule.model_fields
    unknown = [str(key) for key in positive if key not in known and key not in own]
    if unknown:
        names = list(dict.fromkeys([*known, *own]))
        guess = did_you_mean(unknown[0], names)
        hint = f"a rule may name {', '.join(names)}" if guess.startswith("known") else guess
        raise RuleError("the rule for positives names no role or column of the log", key=unknown[0], hint=hint)
    return PositiveRule.parse({key if key in known else own.get(key, key): rule for key, rule in positive.items()})


def default_rule(table: pl.DataFrame) -> PositiveRule:
    """``label>=1`` for a log whose label is 1 or else 0 or -1, else every event.

    Args:
        table: the log, one column a role.
    """
    if "label" not in table.columns or not (table["label"].dtype.is_numeric() or table["label"].dtype == pl.Boolean):
        return PositiveRule()
    values = set(table["label"].drop_nulls().cast(pl.Float64).unique().to_list())
    signs = {-1.0, 0.0, 1.0}
    return PositiveRule(label=">=1") if values <= signs and values & {-1.0, 0.0} else PositiveRule()


def feedback_issues(
    table: pl.DataFrame, rule: PositiveRule, roles: Mapping[str, str], defaulted: bool
) -> list[DataIssue]:
    """Events that look like dislike and count as positives, with the rule that would leave them out.

    Args:
        table: the log, one column a role.
        rule: the rule for positives.
        roles: role -> column, for the messages.
        defaulted: whether the rule was not given.
    """
    issues: list[DataIssue] = []
    if defaulted and rule.label is not None:
        values = table["label"].cast(pl.Float64)
        message = f"only events with label 1 are positives ({int((values == 1).sum())} of {len(table)})"
        hint = "every event counts with --positive all, in palate.yaml positive: {}"
        issues.append(DataIssue("label_rule", "note", message, column=roles.get("label"), hint=hint))
    if not defaulted and rule.accepts_all:
        return issues
    try:
        positive = rule.mask(table)
    except DataError:
        # a rule that cannot be applied is reported where it is used
        return issues
    for role, find in (("rating", _ratings), ("event", _events), ("label", _labels), ("weight", _weights)):
        if role in table.columns and getattr(rule, role) is None and not (role != "weight" and rule.label):
            issues += find(table.filter(positive)[role], roles.get(role, role))
    return issues


def _ratings(values: pl.Series, column: str) -> Iterator[DataIssue]:
    known = values.drop_nulls().drop_nans() if values.dtype.is_float() else values.drop_nulls()
    if not len(known) or not known.dtype.is_numeric():
        return
    known, code = _without_code(known.cast(pl.Float64))
    if code is not None:
        message = f"{code[0]:g} stands in {code[1]} of {len(values)} events, far from all others: it may mean no rating"
        hint = f"if so, list it in palate.yaml: absent: ['{code[0]:g}', ...]"
        yield DataIssue("rating_code", "warning", message, column=column, count=code[1], hint=hint)
    low, high = float(known.min()), float(known.max())  # type: ignore[arg-type]
    scale = min(low, 1.0) if high > 1 else low
    bound = math.ceil(scale + 0.75 * (high - scale))
    below = int((known < bound).sum())
    if low < high and below:
        message = (
            f"values from {low:g} to {high:g}: {below} of {len(values)} events are below {bound} and count as positives"
        )
        hint = f"if a low value is a dislike: --positive '{column}>={bound}'"
        yield DataIssue("low_ratings", "warning", message, column=column, count=below, hint=hint)


def _without_code(known: pl.Series) -> tuple[pl.Series, tuple[float, int] | None]:
    """Ratings without a number that stands for none, and that number with its count."""
    distinct = sorted(known.unique().to_list())
    for at, other in ((0, 1), (-1, -2)):
        value = distinct[at]
        if len(distinct) > 2 and value in _MISSING and abs(value - distinct[other]) >= min(2.0, distinct[-1] / 4):
            rest = known.filter(known != value)
            wide = float(rest.max()) - float(rest.min()) <= abs(value - distinct[other]) * 10  # type: ignore[arg-type]
            if wide:
                return rest, (value, len(known) - len(rest))
    return known, None


def _events(values: pl.Series, column: str) -> Iterator[DataIssue]:
    counts = values.cast(pl.String).drop_nulls().value_counts(sort=True)
    kinds = {str(kind): int(count) for kind, count in counts.iter_rows()}
    negative = [kind for kind in kinds if is_negative(kind)]
    if len(kinds) > 1 and all(kind.lstrip("-").isdigit() for kind in kinds):
        listed = ", ".join(f"{kind} {count}" for kind, count in list(kinds.items())[:12])
        message = f"kinds of events are numbers, and all count as positives ({listed})"
        hint = f"to leave one out: --positive {column}={','.join(list(kinds)[1:])}"
        yield DataIssue("event_codes", "warning", message, column=column, hint=hint)
        return
    strong = [kind for kind in kinds if kind not in negative and _STRONG.search(kind.lower())]
    weak = [kind for kind in kinds if kind not in negative and kind not in strong and _WEAK.search(kind.lower())]
    listed = ", ".join(f"{kind} {count}" for kind, count in list(kinds.items())[:12])
    rest = [kind for kind in kinds if kind not in negative and not (strong and kind in weak)]
    propose = f"--positive {column}={','.join(rest)}" if rest else f"name the positive kinds: --positive {column}=KIND"
    if negative:
        total = sum(kinds[kind] for kind in negative)
        message = (
            f"{', '.join(negative)} look negative and count as positives ({total} of {len(values)}; all: {listed})"
        )
        yield DataIssue("negative_events", "warning", message, column=column, count=total, hint=propose)
    elif strong and weak:
        total = sum(kinds[kind] for kind in weak)
        message = (
            f"{', '.join(weak)} count as positives beside {', '.join(strong)} ({total} of {len(values)}; all: {listed})"
        )
        yield DataIssue(
            "weak_events", "note", message, column=column, count=total, hint=f"to leave them out: {propose}"
        )


def _labels(values: pl.Series, column: str) -> Iterator[DataIssue]:
    if values.dtype != pl.String:
        return
    counts = {str(word): int(count) for word, count in values.drop_nulls().value_counts(sort=True).iter_rows()}
    negative = [word for word in counts if word.strip().lower() in NO or is_negative(word)]
    if not negative:
        return
    total = sum(counts[word] for word in negative)
    rest = [word for word in counts if word not in negative]
    message = f"{', '.join(negative)} look negative and count as positives ({total} of {len(values)})"
    hint = (
        f"in palate.yaml: interactions: {{event: {column}, label: null}} and positive: {{event: [{', '.join(rest)}]}}"
    )
    yield DataIssue("negative_events", "warning", message, column=column, count=total, hint=hint)


def _weights(values: pl.Series, column: str) -> Iterator[DataIssue]:
    rows = (values <= 0).fill_null(False).arg_true().to_list()
    if rows:
        message = f"{len(rows)} of {len(values)} events have a weight of 0 or less and count as positives"
        hint = f"to leave them out: --positive '{column}>0'"
        yield DataIssue("weight_not_positive", "warning", message, column=column, count=len(rows), hint=hint)
