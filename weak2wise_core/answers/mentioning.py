r"""Where an answer stands in a text: `1,260` and `\$1260.00` mention 1260, 12604 does not."""

import re
from collections.abc import Iterator
from functools import lru_cache

from weak2wise_core.answers.comparison import named
from weak2wise_core.answers.normalising import plain
from weak2wise_core.answers.quantities import Quantity, quantity
from weak2wise_core.answers.ruling import gold_answer

MAX_GOLD = 500
MAX_DECIMALS = 8

_GAP = r"(?:\s|\\[,;:! ]|\\(?:left|right|quad)(?![A-Za-z])|~|\$){0,6}+"
_GROUPS = r"(?:,|\{,\}|,?\\[,!;: ]|[ \u00a0\u202f\u2009])?"
_BEFORE = (  # no digit, sign or command that would make the number a part of something
    r"(?<![\w/^\\.\u2212-])(?<!\d,)(?<!\d:)(?<![\^_]\{)(?<!frac\{)(?<!sqrt\{)(?<!\}\{)"
)
_UNITS = r"(?:[kcm]?m|k?g|ml|ft|in|lbs?|oz|mph|hrs?|h|min|s|[ap]m)(?:[²³]|\^\d)?(?!\w)"
_AFTER = (
    rf"(?!\d|\.\d|,\d{{3}}|\{{,\}}\d|:\d|\s?/\s?\d|\s?\^(?!\{{?\\circ)|\s?\\(?:pi|sqrt|frac)"
    rf"|(?!{_UNITS})\w)"
)
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\d+(?:\.\d+)?|[^\W\d_]+|\S")
_SPELLINGS = {
    "\\frac": r"\\[dtc]?frac", "\\le": r"(?:\\leq?(?:slant)?|≤|<=)", "\\cdot": r"(?:\\cdot|·|\*)?",
    "\\ge": r"(?:\\geq?(?:slant)?|≥|>=)", "\\times": r"(?:\\times|\u00d7|\*)",
    "\\pm": r"(?:\\pm|±)",
    "\\ne": r"(?:\\neq?|≠|!=)", "\\infty": r"(?:\\infty|∞)", "\\pi": r"(?:\\pi|π)",
    "\\sqrt": r"(?:\\sqrt|√)", "\\cup": r"(?:\\cup|\u222a)", "\\in": r"(?:\\in|∈)", "{": r"\{?",
    "}": r"\}?", "\\{": r"\\?\{", "\\}": r"\\?\}", "-": r"[-\u2212\u2013]",
    "°": r"(?:\^\{?\\circ\}?|°|degrees)",
    ",": r"(?:[,;]|(?:and|or)\b)", "¤": r"\\?\$", "%": r"(?:\\?%|percent)",
}  # fmt: skip
_LABEL = re.compile(
    r"\b(?:step|case|part|equation|line|question|problem|section|method|option|example|figure)s?"
    r"[\s*]{0,3}[#(]?$",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"[.)](?:\*\*)?[ \t]+\S|\s?:")
_LINE_START = re.compile(r"(?:^|\n)[ \t#*>(]{0,8}$")


def mentions(text: str, gold: str) -> bool:
    """Whether an answer stands somewhere in a text, by itself; see `find_mentions`."""
    return next(find_mentions(text, gold), None) is not None


def find_mentions(text: str, gold: str) -> Iterator[tuple[int, int]]:
    r"""Where an answer stands in a text by itself, in the order of the text.

    A number stands by itself when it is no part of a longer number, of a fraction, power or product
    (`5/3`, `x^5`, `5x`) and numbers no line or step. Thousands separators, zeros at the end of a
    decimal, fractions for decimals, and LaTeX's spacing and sizes make no difference.

    Args:
        text: Any text; the time is linear in its length.
        gold: The ground-truth answer, or a solution that ends with it.

    Yields:
        Start and end of each mention, in code points.

    Example:
        >>> list(find_mentions("Step 18: $17 + 1 = 18.0$, not 180.", "18"))
        [(19, 23)]
    """
    gold = gold_answer(gold).strip()
    if len(gold) > MAX_GOLD:
        yield from _literally(text, gold)
        return
    pattern = _pattern(gold)
    if pattern is None:
        return
    for match in pattern.finditer(text):
        if not _is_label(text, match):
            yield match.span()


def _literally(text: str, gold: str) -> Iterator[tuple[int, int]]:
    at = text.find(gold)
    while at >= 0:
        yield at, at + len(gold)
        at = text.find(gold, at + len(gold))


def _is_label(text: str, match: re.Match[str]) -> bool:
    """`Step 5` and a line that begins with `5.` count, they do not answer."""
    if not match.group().isdigit():
        return False
    start, end = match.span()
    if _LABEL.search(text, max(0, start - 16), start):
        return True
    at_line_start = _LINE_START.search(text, max(0, start - 9), start) is not None
    return at_line_start and _NUMBERED.match(text, end) is not None


@lru_cache(maxsize=512)
def _pattern(gold: str) -> re.Pattern[str] | None:
    value = named(plain(gold))[1]
    if not value:
        return None
    if re.fullmatch(r"\(?[A-J]\)?", value):
        return _choice(value.strip("()"))
    number = quantity(value)
    if number is not None:
        return re.compile(_BEFORE + "(?:" + "|".join(_spellings(number)) + ")" + _AFTER)
    return _phrase(value)


def _choice(letter: str) -> re.Pattern[str]:
    """A bare `A` is a word or a name: only brackets, or words for a choice, make it an answer."""
    return re.compile(
        rf"(?:\(|\\text\{{\(?|\\boxed\{{|\*\*\(?|\b(?:option|choice|answer|choose)(?: is)?:?\s\(?)"
        rf"{letter}(?![\w'])"
    )


def _spellings(number: Quantity) -> Iterator[str]:
    value = number.value * number.scale
    sign = r"[-\u2212]\s?(?:\\?\$\s?)?" if value < 0 else ""
    above, below = abs(value.numerator), value.denominator
    if number.scale != 1:
        yield (
            sign
            + _decimal(abs(number.value.numerator), number.value.denominator)
            + r"\s?(?:\w+illion|thousand|hundred|dozen)"
        )
    decimal = _decimal(above, below)
    if decimal:
        yield sign + decimal
    if below != 1:
        short = rf"|{above}{below}" if above < 10 and below < 10 else ""
        yield (
            sign
            + rf"(?:{above}\s?/\s?{below}|\\[dtc]?frac(?:\s?\{{{above}\}}\s?\{{{below}\}}{short}))"
        )


def _decimal(above: int, below: int) -> str:
    places = next((n for n in range(MAX_DECIMALS + 1) if 10**n % below == 0), None)
    if places is None:
        return ""
    digits = str(above * 10**places // below).rjust(places + 1, "0")
    whole = digits[: len(digits) - places]
    grouped = _GROUPS.join(re.findall(r"\d{1,3}(?=(?:\d{3})*$)", whole))
    if not places:
        return grouped + r"(?:\.0+)?"
    return (grouped if whole != "0" else "0?") + rf"\.{digits[len(digits) - places :]}0*"


def _phrase(value: str) -> re.Pattern[str]:
    tokens = _TOKEN.findall(value)
    body = _GAP.join(_SPELLINGS.get(token, re.escape(token)) for token in tokens)
    before = r"(?<![\w.])(?<!\d,)" if tokens[0][0].isalnum() else ""
    after = r"(?!\w|\.\d)" if tokens[-1][-1].isalnum() else ""
    return re.compile(before + body + after, re.IGNORECASE)
