"""Columns of a log that have no role and still say that items were not liked: returns, dislikes, states of orders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import polars as pl

from palate.data.column_names import name_words
from palate.data.feedback import NO, is_negative
from palate.data.issues import DataIssue
from palate.data.numbers_in_text import number_column

_MAX_KINDS = 30
_SAMPLE = 100_000
_AMOUNTS = frozenset(
    [
        *("amount", "quantity", "qty", "total", "revenue", "sales", "units", "value", "price", "paid", "count"),
        *("menge", "anzahl", "betrag", "umsatz", "cantidad", "importe", "quantite", "montant", "quantita", "aantal"),
    ]
)


def unused_feedback(frame: pl.DataFrame, roles: Mapping[str, str]) -> list[DataIssue]:
    """Warnings on columns without a role whose names or values speak of dislike, with a rule that leaves it out.

    Args:
        frame: the log.
        roles: role -> column.
    """
    issues = list[DataIssue]()
    for column in (column for column in frame.columns if column not in roles.values()):
        values = frame[column]
        if is_negative("_".join(name_words(column))):
            issues += _flag(values, column, roles)
        elif set(name_words(column)) & _AMOUNTS:
            read = number_column(values) if values.dtype == pl.String else None
            numbers = values if read is None else read.values
            issues += _amounts(numbers, column, roles) if numbers.dtype.is_numeric() else ()
        elif values.dtype == pl.String:
            issues += _kinds(values, column, roles)
    return issues


def _flag(values: pl.Series, column: str, roles: Mapping[str, str]) -> Iterator[DataIssue]:
    """A column such as ``returned``, ``is_hate`` or ``deleted_at``, by the rows in which it is set."""
    if values.dtype.is_nested():
        return
    hint = "leave these rows out of the table, if they do not mean that the item was liked"
    if values.dtype.is_numeric() or values.dtype == pl.Boolean:
        numbers = values.cast(pl.Float64)
        count = int((numbers > 0).sum())
        if numbers.max() == 1.0 and numbers.min() == 0.0 and "label" not in roles:
            hint = f"in palate.yaml: interactions: {{label: {column}}} and positive: {{label: '<1'}}"
    elif values.dtype == pl.String:
        words = values.drop_nulls().str.strip_chars().str.to_lowercase()
        count = int((~words.is_in(list(NO))).sum())
    else:
        count = len(values) - values.null_count()
    if 0 < count < len(values):
        message = f"is set in {count} of {len(values)} events, which count as positives"
        yield DataIssue("negative_events", "warning", message, column=column, count=count, hint=hint)


def _kinds(values: pl.Series, column: str, roles: Mapping[str, str]) -> Iterator[DataIssue]:
    """A column of a few words, such as the states of orders, some of which are negative."""
    if values.head(_SAMPLE).n_unique() > _MAX_KINDS:
        return
    counts = {str(word): int(n) for word, n in values.drop_nulls().value_counts(sort=True).iter_rows()}
    negative = [word for word in counts if is_negative(word)]
    rest = [word for word in counts if word not in negative]
    if not negative or not rest or len(counts) > _MAX_KINDS:
        return
    total = sum(counts[word] for word in negative)
    message = f"{', '.join(negative)} look negative and count as positives ({total} of {len(values)})"
    hint = "leave these rows out of the table"
    if "event" not in roles:
        hint = f"in palate.yaml: interactions: {{event: {column}}} and positive: {{event: [{', '.join(rest)}]}}"
    yield DataIssue("negative_events", "warning", message, column=column, count=total, hint=hint)


def _amounts(values: pl.Series, column: str, roles: Mapping[str, str]) -> Iterator[DataIssue]:
    """A column of amounts, such as ``amount``, that is below 0 in some rows, as it is where something is given back."""
    count = int((values < 0).sum())
    if not 0 < count <= 0.5 * len(values):
        return
    message = f"is below 0 in {count} of {len(values)} events, which count as positives"
    hint = "leave these rows out of the table"
    if "weight" not in roles:
        hint = f"in palate.yaml: interactions: {{weight: {column}}} and positive: {{weight: '>0'}}"
    yield DataIssue("weight_not_positive", "warning", message, column=column, count=count, hint=hint)
