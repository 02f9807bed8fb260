"""What a rule can say about two answers that are one thing each: a number, a choice, a word."""

import re
from enum import StrEnum
from fractions import Fraction

from weak2wise_core.answers.normalising import squeezed
from weak2wise_core.answers.quantities import Quantity, quantity

_CHOICE = re.compile(r"\(?([A-J])(?:\)|(?=[.:])|$)[.:]?(?:\s+(\S.*))?")
_BASE = re.compile(r"(\d+)(?:_\{?(\d+)\}?)?")
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?: ?([ap])\.?m\.?)?", re.IGNORECASE)
_RATIO = re.compile(r"(\d{1,18}) ?: ?(\d{1,18})")
_DECIMAL_COMMA = re.compile(r"(?<![\d,])(\d+),(\d{1,2}|\d{4,})(?![\d,])")
_WORD = re.compile(r"[^\W\d_]{2,}")
_NO_WORDS = re.compile(r"[\\+*/=<>^_{}()\[\]|]")
_OPPOSITES = tuple(
    frozenset(pair.split())
    for pair in ("yes no", "true false", "even odd", "positive negative", "finite infinite")
)


class Agreement(StrEnum):
    """What a rule can say about two answers."""

    AGREE = "agree"
    DISAGREE = "disagree"
    UNDECIDED = "undecided"


AGREE, DISAGREE, UNDECIDED = Agreement.AGREE, Agreement.DISAGREE, Agreement.UNDECIDED


def compare_single(gold: str, answer: str) -> Agreement | None:
    """Compare two plain answers as choices, quantities, numerals, ratios, times or words.

    Args:
        gold: The ground truth, in the form that `normalising.plain` returns.
        answer: The answer of an attempt, in the same form.

    Returns:
        The outcome of the first rule that knows both, None where none does.
    """
    for rule in (_choices, _quantities, _numerals, _ratios, _words):
        outcome = rule(gold, answer)
        if outcome is not None:
            return outcome
    return None


def _choices(gold: str, answer: str) -> Agreement | None:
    """Letters of a multiple choice: `B`, `(B)`, `B. 12`."""
    ours, theirs = _CHOICE.fullmatch(gold), _CHOICE.fullmatch(answer)
    if ours is None or theirs is None:
        return None
    if ours.group(1) != theirs.group(1):
        return DISAGREE
    return UNDECIDED if ours.group(2) and theirs.group(2) else AGREE


def _quantities(gold: str, answer: str) -> Agreement | None:
    ours, theirs = quantity(gold), quantity(answer)
    if ours is None or theirs is None:
        return _decimal_commas(gold, answer)
    if "%" in {ours.unit, theirs.unit} and ours.unit != theirs.unit:
        return _percentages(ours, theirs)
    if not _units_fit(ours.unit, theirs.unit):
        return UNDECIDED
    if ours.value * ours.scale == theirs.value * theirs.scale:
        return AGREE
    return _numbers(ours, theirs) if ours.scale == theirs.scale else _scaled(ours, theirs)


def _units_fit(ours: str, theirs: str) -> bool:
    return not ours or not theirs or ours == theirs or "°" in {ours, theirs} == {ours[0], theirs[0]}


def _decimal_commas(gold: str, answer: str) -> Agreement | None:
    """`1,22` may be a decimal or a list: only agreement with the decimal is certain."""
    ours, theirs = (quantity(_DECIMAL_COMMA.sub(r"\1.\2", text)) for text in (gold, answer))
    if ours is None or theirs is None or ours.value != theirs.value:
        return None
    return AGREE if _units_fit(ours.unit, theirs.unit) else UNDECIDED


def _percentages(ours: Quantity, theirs: Quantity) -> Agreement:
    """`20%` is `0.2`; a bare `20` is read as `20%`, but a bare `0.2` not as `0.2%`."""
    percent, bare = (ours, theirs) if ours.unit == "%" else (theirs, ours)
    if bare.unit or bare.scale != 1:
        return UNDECIDED
    if percent.value == 100 * bare.value:
        return AGREE
    if percent.value == bare.value:
        return AGREE if abs(bare.value) > 1 else UNDECIDED
    return _numbers(ours, theirs)


def _scaled(ours: Quantity, theirs: Quantity) -> Agreement:
    """A dozen is also a thing to count, a million is not; the question may say which is meant."""
    if ours.value == theirs.value:
        return AGREE if {ours.scale, theirs.scale} == {1, 12} else UNDECIDED
    return DISAGREE


def _numbers(ours: Quantity, theirs: Quantity) -> Agreement:
    if ours.value == theirs.value or _printed(ours, theirs) or _printed(theirs, ours):
        return AGREE
    if _rounded(ours, theirs) or _rounded(theirs, ours):
        return UNDECIDED
    whole = ours.value.denominator == theirs.value.denominator == 1
    if not whole and (ours.value == 100 * theirs.value or theirs.value == 100 * ours.value):
        return UNDECIDED
    return DISAGREE


def _printed(shown: Quantity, exact: Quantity) -> bool:
    """A decimal of 12 or more digits is a machine's print of the exact value."""
    if shown.decimals is None or _digits(shown) < 12:
        return False
    return abs(shown.value - exact.value) < Fraction(1, 10**shown.decimals)


def _rounded(shown: Quantity, exact: Quantity) -> bool:
    """The one could be the other, rounded or cut off: at 3 digits, at 4 where they are whole."""
    if shown.decimals is None and shown.value.denominator != 1:
        return False
    if exact.value.denominator == 1 or _digits(shown) < (3 if shown.decimals else 4):
        return False
    return abs(shown.value - exact.value) < Fraction(1, 10 ** (shown.decimals or 0))


def _digits(shown: Quantity) -> int:
    return len(str(int(abs(shown.value) * 10 ** (shown.decimals or 0)))) if shown.value else 0


def _numerals(gold: str, answer: str) -> Agreement | None:
    """`2516_8`: the base may be left out, never changed."""
    ours, theirs = _BASE.fullmatch(squeezed(gold)), _BASE.fullmatch(squeezed(answer))
    if ours is None or theirs is None:
        return None
    same_base = ours.group(2) == theirs.group(2)
    if ours.group(1) != theirs.group(1):
        return DISAGREE if same_base else UNDECIDED
    return AGREE if same_base or None in {ours.group(2), theirs.group(2)} else UNDECIDED


def _ratios(gold: str, answer: str) -> Agreement | None:
    """Times of day, and ratios; a ratio may also be written as a fraction."""
    clocks = [_CLOCK.fullmatch(text) for text in (gold, answer)]
    if clocks[0] is not None and clocks[1] is not None:
        return _times(clocks[0], clocks[1])
    ratios = [_RATIO.fullmatch(text) for text in (gold, answer)]
    shares = [_share(text) for text in (gold, answer)]
    if None in shares or ratios == [None, None]:
        return None
    if None in ratios:
        return AGREE if shares[0] == shares[1] else UNDECIDED
    return UNDECIDED if shares[0] == shares[1] else DISAGREE


def _share(text: str) -> Fraction | None:
    ratio = _RATIO.fullmatch(text)
    if ratio is not None:
        return Fraction(int(ratio.group(1)), int(ratio.group(2)) or 1)
    read = quantity(text) if "/" in text or "\\frac" in text else None
    return read.value if read is not None and not read.unit else None


def _times(ours: re.Match[str], theirs: re.Match[str]) -> Agreement:
    halves = [clock.group(3).lower() if clock.group(3) else "" for clock in (ours, theirs)]
    if [int(part) for part in ours.group(1, 2)] == [int(part) for part in theirs.group(1, 2)]:
        return AGREE if halves[0] == halves[1] or "" in halves else DISAGREE
    one_ratio = int(ours[1]) * int(theirs[2]) == int(theirs[1]) * int(ours[2]) != 0
    return UNDECIDED if one_ratio or halves.count("") == 1 else DISAGREE


def _words(gold: str, answer: str) -> Agreement | None:
    """Plain words, without regard to case, articles and punctuation."""
    if _NO_WORDS.search(gold + answer) or not (_WORD.search(gold) and _WORD.search(answer)):
        return None
    ours, theirs = _spoken(gold), _spoken(answer)
    if ours == theirs:
        return AGREE
    return DISAGREE if {" ".join(ours), " ".join(theirs)} in _OPPOSITES else UNDECIDED


def _spoken(text: str) -> list[str]:
    words = (word.lstrip("'\"").rstrip(".,;:!?'\"").casefold() for word in text.split())
    return [word for word in words if word not in {"", "a", "an", "the"}]
