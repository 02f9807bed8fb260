r"""Which value a sentence means: "Rosie can run a total of 50 miles in 7 hours." means 50."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from weak2wise_core.answers.quantities import NUMBER_WORDS
from weak2wise_core.answers.rationals import rational

_GROUPING = re.compile(r"(?<=\d)(?:,?\\[!,;:]|\{,\})\s?(?=\d{3}(?!\d))")
_NUMBER = re.compile(
    r"(?<![\w.^_/])(?P<minus>(?<![)\]}%*])[-\u2212]\s?)?(?P<money>\\?[$€£]\s?)?"
    r"(?P<number>(?:\d{1,3}(?:,\d{3})+|\d{1,40})(?:\.\d{1,40})?(?:\s?/\s?\d{1,20}(?![\d/]))?"
    r"|\.\d{1,40}|\\[dt]?frac\{\d{1,20}\}\{\d{1,20}\})(?!\d|\.\d|,\d{3}|:\d)"
    r"(?P<percent>\s?\\?%|\spercent\b)?"
    r"(?P<scale>\s(?:dozens?|hundred|thousand|million|billion|trillion)\b)?"
)
_UNIT_SUFFIX = re.compile(
    r"(?:[kcm]?m|k?g|ml|ft|in|lbs?|oz|mph|hrs?|min|[ap]m)(?:[²³]|\^\d)?(?!\w)"
)
_BOLD = re.compile(r"\*\*([^*\n]{1,200})\*\*")
_WORD_BEHIND = re.compile(r"[\s$*\\)\]},!]{0,6}(?:text\{\s{0,3})?([A-Za-z]{2,40})")
_RESULT = re.compile(r"(?:=|\\approx|≈)[\s$*\\([{&£€,]{0,12}$")
_OPERAND = re.compile(
    r"[\s$)\]}*]{0,4}(?:\\text\{[^{}]{0,40}\}\s?|\(?[A-Za-z]{1,20}\)?\s)?"
    r"[\s$)\]}*]{0,4}(?:[-+*/\u00d7÷^=]|\\(?:times|div|cdot|frac)|x\s?\d)"
)
_DENIED = re.compile(r"(?:\bnot|n't|\bnever|\bcannot be)(?: [a-z]{1,7})?\s$")
_BOUND = re.compile(r"\b(?:than|if)\s\\?\$?$")
_ENUMERATOR = re.compile(r"^[ \t>*-]{0,8}(?:\d{1,2}|[a-z])[.)]\s+", re.MULTILINE)
_ADJECTIVE = re.compile(r"-[A-Za-z]")
_SPELT = re.compile(r"\b(?:" + "|".join(NUMBER_WORDS) + r")\b", re.IGNORECASE)
_FORMULA = re.compile(
    r"\\\((.{1,400}?)\\\)|\\\[(.{1,400}?)\\\]|\$\$([^$]{1,400})\$\$|\$([^$\n]{1,400})\$(?!\d)",
    re.DOTALL,
)
_PROSE = re.compile(r"(?<![\\A-Za-z{])[A-Za-z]{3,}")
_BETWEEN = re.compile(r"\s*(?:,|;|,?\s?and|,?\s?or)\s*")
_CHOICE = re.compile(
    r"(?:\b(?:option|choice|answer)(?: is)?:?\s{0,3}[*(]{0,3}|\\text\{\(?|\()([A-J])(?![A-Za-z])"
    r"|^[*\s]{0,4}([A-J])(?:[.):*]|\s*$)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """The number that a statement seems to mean."""

    value: str
    others: tuple[str, ...] = ()
    """Every other number in the statement."""
    certain: bool = True
    """No other number in the statement could be meant as well."""
    evaluated: bool = True
    """The statement does not leave a sum or product to be worked out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Number:
    text: str
    value: Fraction
    start: int
    end: int
    kind: str
    """What is counted: the word behind the number, or `dollar`."""
    bound: bool
    """It is a limit or a condition, as in "less than 5"."""
    operand: bool
    """It is calculated with."""
    result: bool
    """It stands behind an equals sign and is no operand."""


def pick_number(statement: str, *, before: str = "", with_unit: bool = False) -> Pick | None:
    """The number that a statement means.

    Preferred are, in this order: the only number; the only one in bold type; the one behind the
    last equals sign; the last one that was computed in the text before. A pick is certain where no
    other number was computed too, and none counts the same kind of thing.

    Args:
        statement: A sentence, or a few.
        before: The text before it.
        with_unit: Keep the word behind each number as its unit.

    Returns:
        The number with its sign, percent sign and scale, or None where the statement holds none.
    """
    statement = _ENUMERATOR.sub("", _GROUPING.sub(",", statement))
    numbers = _numbers(statement, with_unit=with_unit)
    if not numbers:
        return _spelt(statement)
    if len({number.value for number in numbers}) == 1:
        return _pick(numbers[-1], numbers)
    bold = [number for span in _BOLD.finditer(statement) for number in numbers if _in(number, span)]
    if len({number.value for number in bold}) == 1:
        return _pick(bold[-1], numbers)
    computed = [number for number in numbers if number.result]
    if computed:
        chosen = computed[-1]
        stated = [number for number in numbers if not number.operand]
        return _pick(chosen, stated, rivals=[n for n in stated if n.start > chosen.start])
    return _by_results(numbers, _results(before))


def _by_results(numbers: Sequence[_Number], results: Sequence[Fraction]) -> Pick:
    known = [number for number in numbers if number.value in results]
    if not known:
        return _pick(numbers[-1], numbers, certain=False)
    last = [number for number in known if number.value == results[-1]]
    chosen = (last or known)[-1]
    alone = {number.value for number in known} == {chosen.value}
    return _pick(chosen, numbers, rivals=numbers, certain=alone)


def _pick(
    chosen: _Number,
    numbers: Sequence[_Number],
    *,
    rivals: Sequence[_Number] = (),
    certain: bool = True,
) -> Pick:
    others = [number for number in numbers if number.value != chosen.value]
    kinds = {number.kind for number in numbers if number.value == chosen.value}
    confused = any(rival in others and rival.kind in kinds for rival in rivals) or chosen.bound
    return Pick(
        value=chosen.text,
        others=tuple(dict.fromkeys(number.text for number in others)),
        certain=certain and not confused,
        evaluated=not any(number.operand for number in numbers),
    )


def _in(number: _Number, span: re.Match[str]) -> bool:
    return span.start() <= number.start and number.end <= span.end()


def _results(text: str) -> list[Fraction]:
    """What a text computes, in its order."""
    return [number.value for number in _numbers(_GROUPING.sub(",", text)) if number.result]


def _numbers(text: str, *, with_unit: bool = False) -> list[_Number]:
    """The numbers of a text; those in words such as `7-day` only where there are no others."""
    found: list[_Number] = []
    adjectives: list[_Number] = []
    for match in _NUMBER.finditer(text):
        number = _read(text, match, with_unit=with_unit)
        if number is not None:
            in_word = _ADJECTIVE.match(text, match.end()) is not None
            (adjectives if in_word else found).append(number)
    return found or adjectives


def _read(text: str, match: re.Match[str], *, with_unit: bool) -> _Number | None:
    end = match.end()
    if _DENIED.search(text, max(0, match.start() - 12), match.start()) is not None:
        return None
    if text[end : end + 1].isalpha() and _UNIT_SUFFIX.match(text, end) is None:
        return None
    digits = match.group("number").replace(",", "")
    value = rational(re.sub(r"\\[dt]frac", r"\\frac", digits))
    if value is None:
        return None
    sign = "-" if match.group("minus") else ""
    percent = "%" if match.group("percent") else ""
    behind = _WORD_BEHIND.match(text, end)
    operand = _OPERAND.match(text, end) is not None
    word = behind.group(1).lower() if behind else ""
    money = "¤" if match.group("money") else ""
    unit = f" {word}" if with_unit and not percent and not money else ""
    scale = (match.group("scale") or "").lower()
    return _Number(
        text=f"{sign}{money if with_unit else ''}{digits}{percent}{scale}{unit}",
        value=-value if sign else value,
        start=match.start(),
        end=end,
        kind=money or percent or word.rstrip("s"),
        bound=_BOUND.search(text, max(0, match.start() - 8), match.start()) is not None,
        operand=operand,
        result=not operand
        and _RESULT.search(text, max(0, match.start() - 16), match.start()) is not None,
    )


def _spelt(statement: str) -> Pick | None:
    words = [word.lower() for word in _SPELT.findall(statement)]
    if not words:
        return None
    certain = len(set(words)) == 1 and words[0] not in {"one", "half"}
    return Pick(value=words[-1], others=tuple(dict.fromkeys(words[:-1])), certain=certain)


def last_formula(statement: str) -> str | None:
    """The last formula between math delimiters, with those that it is listed with."""
    spans = [match for match in _FORMULA.finditer(statement) if _is_formula(match)]
    if not spans:
        return None
    first = len(spans) - 1
    while first and _BETWEEN.fullmatch(statement[spans[first - 1].end() : spans[first].start()]):
        first -= 1
    return ", ".join(_content(span) for span in spans[first:])


def formulas(statement: str) -> list[str]:
    """Every formula between math delimiters."""
    return [_content(match) for match in _FORMULA.finditer(statement) if _is_formula(match)]


def _content(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group is not None).strip()


def _is_formula(match: re.Match[str]) -> bool:
    """A text between two prices is no formula."""
    return match.group(4) is None or _PROSE.search(match.group(4)) is None


def pick_choice(statement: str) -> str | None:
    """The one letter of a multiple choice that a statement names."""
    letters = {first or second for first, second in _CHOICE.findall(statement)}
    return letters.pop() if len(letters) == 1 else None
