"""Numbers with a unit: `$1,234.50`, `5 cm`, `2 1/2 hours`, `20%`, `3 million`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from weak2wise_core.answers.rationals import rational

_SCALES: Mapping[str, int] = {
    "dozen": 12, "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9,
    "trillion": 10**12,
}  # fmt: skip
_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"
)
_TENS = "thirty forty fifty sixty seventy eighty ninety"
NUMBER_WORDS: Mapping[str, Fraction] = {
    **{word: Fraction(value) for value, word in enumerate(_SMALL.split())},
    **{word: Fraction(10 * value) for value, word in enumerate(_TENS.split(), start=3)},
    "half": Fraction(1, 2),
}
_SAME_UNIT: Mapping[str, str] = {
    "¤": "dollar", "usd": "dollar", "buck": "dollar", "€": "euro", "eur": "euro", "£": "pound",
    "lb": "pound", "lbs": "pound", "metre": "m", "meter": "m", "centimeter": "cm",
    "centimetre": "cm", "kilometer": "km", "kilometre": "km", "millimeter": "mm",
    "millimetre": "mm", "foot": "ft", "feet": "ft", "inches": "in", "inch": "in", "gram": "g",
    "kilogram": "kg", "kilo": "kg", "ounce": "oz", "hour": "h", "hr": "h", "minute": "min",
    "second": "s", "sec": "s", "liter": "l", "litre": "l", "people": "person",
    "children": "child", "mph": "mile per h",
}  # fmt: skip
_SHORT = "m g s h l L J N W V A K C F ft in cm mm km kg mg ml mL lb oz am pm"
_SHORT_UNITS = frozenset(_SHORT.split())
_CHANGES_THE_NUMBER = (
    "and or to pi sqrt root e i sin cos tan log ln exp plus minus over factorial choose mod "
    "squared cubed infinity below less negative loss fewer not half halves third thirds quarter "
    "quarters fourth fourths fifth fifths sixth sixths seventh eighth eighths ninth tenth tenths "
    "hundredth hundredths thousandth thousandths if when where for with base"
)
_NO_UNIT = frozenset(_CHANGES_THE_NUMBER.split())
_NUMERIC = re.compile(r"(?:[\d\s+*/^!(){}.,-]|\\(?:frac|cdot|times|div)(?![A-Za-z]))*")
_SCIENTIFIC = re.compile(r"(?<![\w.])([-+]?(?:\d+(?:\.\d*)?|\.\d+))[eE]([-+]?\d{1,4})(?![\w.])")
_THOUSANDS = re.compile(r"([-+]?)(\d{1,3}(?:[, ]\d{3})+)(\.\d+)?")
_CURRENCY = re.compile(r"([-+]?)\s*([¤€£¥₹])\s*([-+]?)")
_UNIT = re.compile(
    r"[A-Za-z][A-Za-z. ]*(?:\^\{?-?\d\}?)?(?: ?(?:/|per) ?[A-Za-z]+(?:\^\{?-?\d\}?)?)?"
)
_TRAILING = re.compile(r"(.*[\d)}\]]) ?([A-Za-z]{2}[A-Za-z. /]{0,30}(?:\^\{?\d\}?)?|°)", re.DOTALL)
_ABOUT = re.compile(
    r"^(?:\\approx|about|approximately|roughly|exactly|only)\s*(?=[\d.+¤€£-])", re.IGNORECASE
)
_DECIMAL = re.compile(r"[-+]?\d*\.(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A number with what stands behind it."""

    value: Fraction
    unit: str = ""
    """Empty, `%`, or the unit in one spelling."""
    scale: int = 1
    """1,000 where the unit begins with "thousand"; not part of `value`."""
    decimals: int | None = None
    """Digits after the point, None where the number is no plain decimal."""


def quantity(text: str) -> Quantity | None:
    """Read a plain answer as one number with an optional unit.

    Args:
        text: An answer in the form that `plain` returns.

    Returns:
        The quantity, or None where the text says anything else, or says it in a way that could
        change the number ("5 below zero", "2 thirds").
    """
    text = _ABOUT.sub("", text)
    currency = _CURRENCY.match(text)
    unit = currency.group(2) if currency else ""
    if currency:
        text = currency.group(1) + currency.group(3) + text[currency.end() :]
    body, rest = _divided(_SCIENTIFIC.sub(r"\1*10^{\2}", text))
    behind = _unit(rest, touching=bool(body) and not body[-1].isspace())
    value = _number(body.strip(" ,"))
    if behind is None or value is None or (unit and behind[0] not in {"", "dollar"}):
        return None
    decimal = _DECIMAL.fullmatch(without_thousands(body.strip(" ,")))
    return Quantity(
        value=value,
        unit=_SAME_UNIT.get(unit, unit) or behind[0],
        scale=behind[1],
        decimals=len(decimal.group(1)) if decimal else None,
    )


def _divided(text: str) -> tuple[str, str]:
    word, _, rest = text.partition(" ")
    if word.lower() in NUMBER_WORDS:
        return word.lower() + " ", rest
    matched = _NUMERIC.match(text)
    end = matched.end() if matched else 0
    return text[:end], text[end:].strip()


def _number(body: str) -> Fraction | None:
    return NUMBER_WORDS[body] if body in NUMBER_WORDS else rational(without_thousands(body))


def without_thousands(text: str) -> str:
    """`1,234,567.5` and `1 234 567.5` as `1234567.5`; every other text unchanged."""
    match = _THOUSANDS.fullmatch(text) if len(text) < 100 else None
    if match is None:
        return text
    sign, whole, decimals = match.groups()
    return f"{sign}{re.sub('[, ]', '', whole)}{decimals or ''}"


def without_unit(text: str) -> tuple[str, str]:
    r"""An expression without the unit behind it, and the unit: `10\sqrt{3} cm`.

    A single letter is left where it stands: it may be a symbol.
    """
    match = _TRAILING.fullmatch(text)
    unit = _unit(match.group(2), touching=False) if match else None
    if match is None or unit is None or unit[1] != 1:
        return text, ""
    if unit[0] == "°" and re.search("[A-Za-z]", match.group(1)):
        return text, ""  # the sine of 45 degrees, not the sine of 45 in degrees
    return match.group(1), unit[0]


def _unit(text: str, *, touching: bool) -> tuple[str, int] | None:
    """The unit in one spelling and its scale, or None where the text is no unit."""
    if text.startswith("°"):
        scale = text[1:].strip().lower()[:1]
        return ("°" + scale, 1) if scale in {"", "c", "f"} else None
    if text in {"", "%", "¤", "€", "£"}:
        return _SAME_UNIT.get(text, text), 1
    words = re.split(r"[ /.^]+", text.lower().rstrip("."))
    if len(text) > 40 or _UNIT.fullmatch(text) is None or not _NO_UNIT.isdisjoint(words):
        return None
    if len(words[0]) < 3 and re.split(r"[ /.^]", text)[0] not in _SHORT_UNITS and "." not in text:
        return None
    if touching and len(words[0]) < 2:
        return None
    return _one_spelling(text)


def _one_spelling(text: str) -> tuple[str, int]:
    text = re.sub(r"\s*\^\s*\{?(-?\d)\}?", r"^\1", text.lower().replace(".", ""))
    text = re.sub(r"\b(?:sq|square) (\w+)", r"\1^2", re.sub(r"\bcubic (\w+)", r"\1^3", text))
    words = text.replace("/", " per ").split()
    words = [
        _singular(word) for word in words if word not in {"of", "the", "a", "an", "in", "total"}
    ]
    scale = _SCALES.get(words[0], 1) if words else 1
    return " ".join(words[1:] if scale > 1 else words), scale


def _singular(word: str) -> str:
    word, hat, power = word.partition("^")
    many = len(word) > 3 and word.endswith("s") and not word.endswith("ss")
    single = word[:-1] if many and word not in _SAME_UNIT else word
    return _SAME_UNIT.get(single, single) + hat + power
