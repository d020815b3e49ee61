"""Numbers written as text: prices with a currency, thousands separators, decimal points or commas."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

import polars as pl

from palate.data.invisible import trim
from palate.data.units import UNITS

_CODES = (
    "usd|eur|gbp|jpy|cny|rmb|inr|rub|krw|try|uah|vnd|ils|ngn|php|thb|brl|mxn|cad|aud|nzd|chf|sek|nok|dkk|isk|pln|czk|"
    "huf|ron|bgn|zar|sgd|hkd|twd|idr|myr|aed|sar|egp|clp|cop|pen|ars"
)
_CURRENCY = (
    rf"(?:(?:us|ca|au|nz|hk|nt|mx|r|s|c|a)?\$|[€£¥₹₽₩₺₴₫₪₦₱฿₡₲₵₸¢￥円元]|\b(?:{_CODES})\b|kr\.?|zł|kč|ft|lei|лв\.?|"
    r"руб\.?|р\.|rs\.?|rp\.?|rm|fr\.|euro?s?|dollars?)"
)
_MONEY = re.compile(
    rf"({_CURRENCY})?\s*([+\-−]?)\s*({_CURRENCY})?\s*(\d[\d.,'’\s]*|[.,]\d+)(?:[.,]?[-–—]+)?\s*({_CURRENCY})?", re.I
)
_RANGE = re.compile(r"\s*(?:–|—|(?<=[\d\s])-|\bto\b|\bbis\b|~)\s*", re.I)
_NEGATIVE = re.compile(r"\(([^()-]*\d[^()-]*)\)|([^-]*\d)[-−]")
"""Brackets as accountants write them, and a minus behind the number; ``5,-`` is no minus."""
_WITH_UNIT = re.compile(r"(.*[\d.,])\s*([^\W\d_]+\.?|[%°+]c?)", re.I)
_PHRASE = re.compile(
    r"^(?:from|only|now|ab|nur|dès|à partir de|desde|da|vanaf|от)\s+"
    r"|\s*\(?(?:inkl?|incl|zzgl|excl?|plus)\.?\s*(?:mwst|ust|vat|tax|tva|iva|btw)\.?\)?$",
    re.I,
)
_CLOCK = re.compile(r"(\d{1,3}):([0-5]\d):([0-5]\d)")
_DIGIT_MARKS = {0x066B: ".", 0x066C: ","}
_GROUPED = re.compile(r"\d{1,3}(?:[\s'’]\d{3})+(?:[.,]\d+)?")
_EXPONENT = re.compile(r"[+-]?\d+(?:\.\d*)?[eE][+-]?\d{1,3}")
SHARE = 0.9
"""Share of the values that must be numbers for the column to be one of numbers."""
SAMPLE = 1000


@dataclass(frozen=True)
class TextNumber:
    """One number as it is written.

    Attributes:
        digits: digits and separators, without spaces and currency.
        negative: whether it has a minus.
        currency: whether it names one.
        decimal: the decimal sign that the spelling shows, ``?`` if it could be either, empty without a separator.
        unit: as written, in lower case.
    """

    digits: str
    negative: bool
    currency: bool
    decimal: str
    unit: str = ""

    def value(self, decimal: str) -> float | None:
        """The number.

        Args:
            decimal: the decimal sign of the column, for spellings that could be either.
        """
        sign = decimal if self.decimal in ("?", "") else self.decimal
        other = "," if sign == "." else "."
        whole, _, fraction = self.digits.replace(other, "").partition(sign)
        try:
            number = float(f"{whole or '0'}.{fraction or '0'}")
        except ValueError:
            return None
        return -number if self.negative else number


def parse_number(text: str) -> TextNumber | None:
    """A text as a number, maybe with a unit; None for other texts. Of a range ``$5 - $9`` it is the lower end.

    Args:
        text: one value.
    """
    text = trim(text).removeprefix("'").translate(_DIGIT_MARKS)
    if not text or len(text) > 60:
        return None
    bare = _PHRASE.sub("", text)
    if bare != text:
        price = _parse_plain(bare)
        return price if price is not None and price.currency else None
    if clock := _CLOCK.fullmatch(text):
        hours, minutes, seconds = map(int, clock.groups())
        return TextNumber(str(3600 * hours + 60 * minutes + seconds), False, False, "", "s")
    plain = _parse_plain(text)
    if plain is None and (match := _WITH_UNIT.fullmatch(text)) and match[2].lower() in UNITS:
        plain = _parse_plain(match[1])
        return None if plain is None or plain.currency else replace(plain, unit=match[2].lower())
    return plain


def _parse_plain(text: str) -> TextNumber | None:
    """A text as a number without a unit."""
    if _EXPONENT.fullmatch(text):
        return TextNumber(f"{abs(float(text)):.17f}".rstrip("0"), text[0] == "-", False, ".")
    negative = _NEGATIVE.fullmatch(text)
    match = _MONEY.fullmatch(text if negative is None else negative[1] or negative[2])
    if match is None:
        ends = _RANGE.split(text)
        prices = [_MONEY.fullmatch(end.strip()) for end in ends]
        match = prices[0]
        # 18-24 is a group of ages, $18 - $24 a range of prices
        if (
            len(ends) != 2
            or match is None
            or prices[1] is None
            or not any(one and (one[1] or one[5]) for one in prices)
        ):
            return None
    digits = match[4].strip()
    if re.search(r"[\s'’]", digits):
        if not _GROUPED.fullmatch(digits):
            return None
        digits = re.sub(r"[\s'’]", "", digits)
        grouped = True
    else:
        grouped = False
    digits = digits.rstrip(".,") if len(digits) > 1 else digits
    decimal = _decimal(digits, grouped)
    if decimal is None:
        return None
    return TextNumber(
        digits, negative is not None or match[2] in ("-", "−"), any(match[at] for at in (1, 3, 5)), decimal
    )


def _decimal(digits: str, grouped: bool) -> str | None:
    """The decimal sign that the spelling shows, None where it is no number."""
    marks = [mark for mark in digits if mark in ".,"]
    if not marks:
        return ""
    last = marks[-1]
    if len(set(marks)) == 2:
        whole, _, fraction = digits.rpartition(last)
        return last if last not in whole and _groups(whole, marks[0]) and fraction else None
    other = "," if last == "." else "."
    if len(marks) > 1:
        return other if _groups(digits, last) else None
    whole, fraction = digits.split(last)
    if grouped or len(fraction) != 3 or len(whole) > 3 or whole in ("", "0"):
        return last
    return "?"


def _groups(digits: str, mark: str) -> bool:
    first, *rest = digits.split(mark)
    if not 1 <= len(first) <= 3 or len(rest[-1]) != 3:
        return False
    # thousands, or as in India thousands and then hundreds: 12,34,567
    sizes = {len(group) for group in rest[:-1]}
    return sizes <= {3} or (sizes == {2} and len(first) <= 2)


@dataclass(frozen=True)
class NumberColumn:
    """A column of text read as numbers.

    Attributes:
        values: float64 [n], null where absent or no number.
        unread: bool [n]: values that are present and no number.
        decimal: the decimal sign.
        ambiguous: whether the spelling alone did not show which sign is the decimal one.
        currency: whether a currency is named.
        unit: the unit of the values; empty without one.
        converted: whether other units of the same kind were converted to it.
    """

    values: pl.Series
    unread: pl.Series
    decimal: str
    ambiguous: bool
    currency: bool
    unit: str = ""
    converted: bool = False


def number_column(
    values: pl.Series, decimal: str | None = None, share: float = SHARE, unit: str = ""
) -> NumberColumn | None:
    """A text column as numbers; the decimal sign and the unit belong to the column.

    Args:
        values: text; absent values are null.
        decimal: the decimal sign where it is known, else the spellings decide.
        share: of the values that must be numbers.
        unit: that of the column where it is known, else the most frequent one.

    Returns:
        The numbers; None if fewer are numbers, if whole numbers have leading zeros as codes do, or if units are not of
        one kind. Where both signs are used as the decimal one, spellings that could be either stay unread.
    """
    sample = values.drop_nulls().head(SAMPLE)
    if not len(sample) or sum(parse_number(value) is not None for value in sample) < share * len(sample):
        return None
    distinct = values.drop_nulls().unique()
    parsed = {text: parse_number(text) for text in distinct.to_list()}
    read = {text: number for text, number in parsed.items() if number is not None}
    if all(text.strip().startswith("(") for text in read):
        # a column of brackets alone holds counts such as (123)
        read = {text: replace(number, negative=False) for text, number in read.items()}
    known = values.is_in(pl.Series(list(read), dtype=pl.String).implode()).fill_null(False)
    unread = values.is_not_null() & ~known
    if known.sum() < share * (len(values) - values.null_count()):
        return None
    if any(len(n.digits) > 1 and n.digits[0] == "0" and not n.decimal and not n.currency for n in read.values()):
        return None
    units = Counter(number.unit for number in read.values() if number.unit)
    if len({UNITS[one][0] for one in (*units, unit) if one}) > 1:
        return None
    unit = unit or (units.most_common(1)[0][0] if units else "")
    shown = {number.decimal for number in read.values()} - {"", "?"}
    if decimal is None and len(shown) == 2:
        # both signs occur as the decimal one: what could be either is not guessed
        read = {text: number for text, number in read.items() if number.decimal != "?"}
        unread = values.is_not_null() & ~values.is_in(pl.Series(list(read), dtype=pl.String).implode())
    currency = any(number.currency for number in read.values())
    doubtful = any(number.decimal == "?" for number in read.values())
    sign = decimal or min(shown, default=None) or _usual(read.values(), currency)
    factors = {one: UNITS[one][1] / UNITS[unit][1] for one in units}
    numbers = {text: _scaled(number.value(sign), factors.get(number.unit, 1.0)) for text, number in read.items()}
    out = values.replace_strict(numbers, default=None, return_dtype=pl.Float64).alias(values.name)
    converted = any(factor != 1.0 for factor in factors.values())
    return NumberColumn(out, unread, sign, doubtful and not shown and decimal is None, currency, unit, converted)


def _scaled(value: float | None, factor: float) -> float | None:
    return value if value is None or factor == 1.0 else value * factor


def _usual(numbers: Iterable[TextNumber], currency: bool) -> str:
    """The decimal sign where every separator has three digits behind it: a comma then groups thousands."""
    marks = {mark for number in numbers for mark in number.digits if mark in ".,"}
    return "," if currency and marks == {"."} else "."
