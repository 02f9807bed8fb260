r"""Exact arithmetic on what an answer writes: `\frac{3}{4}`, `2^{10}-1`, `1.5\times 10^3`.

Answers come from models and are not trusted: length, nesting and the size of every number are
bounded, and whatever lies outside is simply not a rational number here.
"""

import re
from fractions import Fraction
from math import factorial

MAX_CHARS = 300
MAX_NESTING = 20
MAX_BITS = 20_000
MAX_FACTORIAL = 500

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d*)?|\.\d+)|(?P<command>\\(?:frac|cdot|times|div)(?![A-Za-z]))"
    r"|(?P<sign>[-+*/^!(){}]))"
)
_MIXED = re.compile(r"([-+]?)\s*(\d{1,18})\s+(\d{1,18})\s*/\s*(\d{1,18})")
_SCIENTIFIC = re.compile(r"(\d|\.)[eE]([-+]?\d{1,4})(?![\w.])")
_BRACKETS = {"(": ")", "{": "}"}
_SAME_AS = {"\\cdot": "*", "\\times": "*", "\\div": "/"}


class _NotRationalError(Exception):
    """The text is no bounded rational expression."""


def rational(text: str) -> Fraction | None:
    r"""The exact value of a number or of plain arithmetic on numbers.

    Args:
        text: Digits, a decimal, a fraction (`a/b` or `\frac{a}{b}`), a mixed number, scientific
            notation, whole powers, factorials, and sums, products and quotients of these.
            Thousands separators must be gone.

    Returns:
        The value, or None where the text says anything else or its value would be huge.

    Example:
        >>> rational(r"2 1/2"), rational(r"\frac{10}{4}"), rational("2.5e0")
        (Fraction(5, 2), Fraction(5, 2), Fraction(5, 2))
    """
    if len(text) > MAX_CHARS:
        return None
    mixed = _MIXED.fullmatch(text.strip())
    if mixed is not None:
        sign, whole, above, below = mixed.groups()
        text = f"{sign}({whole}+{above}/{below})"
    try:
        return _Reader(_tokens(_SCIENTIFIC.sub(r"\1*10^{\2}", text))).whole()
    except (_NotRationalError, ZeroDivisionError):
        return None


def _tokens(text: str) -> list[str]:
    tokens: list[str] = []
    at = 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _NotRationalError
        token = match.group().strip()
        tokens.append(_SAME_AS.get(token, token))
        at = match.end()
    return tokens


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise _NotRationalError
    return value


class _Reader:
    """Recursive descent over tokens; each method reads one level of precedence."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0
        self._nesting = 0

    def whole(self) -> Fraction:
        value = self._sum()
        if self._at != len(self._tokens):
            raise _NotRationalError
        return value

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self, *wanted: str) -> str:
        piece = self._peek()
        if not piece or (wanted and piece not in wanted):
            raise _NotRationalError
        self._at += 1
        return piece

    def _sum(self) -> Fraction:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise _NotRationalError
        value = self._product()
        while self._peek() in {"+", "-"}:
            sign = 1 if self._take() == "+" else -1
            value = _bounded(value + sign * self._product())
        self._nesting -= 1
        return value

    def _product(self) -> Fraction:
        value = self._signed()
        while True:
            if self._peek() == "*":
                self._take()
                value = _bounded(value * self._signed())
            elif self._peek() == "/":
                self._take()
                value = _bounded(value / self._signed())
            elif self._peek() in {"(", "\\frac"}:
                value = _bounded(self._joined(value))
            else:
                return value

    def _joined(self, value: Fraction) -> Fraction:
        r"""`3\frac{1}{2}` is a mixed number, every other neighbour a factor."""
        mixed = self._peek() == "\\frac" and self._tokens[self._at - 1].isdigit()
        factor = self._power()
        if mixed and value.denominator == 1 and 0 < factor < 1:
            return value + factor
        return value * factor

    def _signed(self) -> Fraction:
        sign = 1
        while self._peek() in {"+", "-"}:
            sign *= 1 if self._take() == "+" else -1
        if sign > 0:
            return self._power()
        return -self._mixed_or_power()

    def _mixed_or_power(self) -> Fraction:
        r"""Read the size after a minus: in `-2\frac{1}{2}` the sign stands for the whole."""
        value = self._power()
        if self._peek() == "\\frac":
            value = self._joined(value)
        return value

    def _power(self) -> Fraction:
        base = self._atom()
        while self._peek() == "!":
            self._take()
            if base.denominator != 1 or not 0 <= base <= MAX_FACTORIAL:
                raise _NotRationalError
            base = Fraction(factorial(int(base)))
        if self._peek() == "^":
            self._take()
            return _raised(base, self._exponent())
        return base

    def _exponent(self) -> Fraction:
        if self._peek() == "{":
            return self._group("{", "}")
        sign = -1 if self._peek() == "-" and self._take() else 1
        return sign * self._atom()

    def _atom(self) -> Fraction:
        piece = self._peek()
        if piece == "\\frac":
            self._take()
            return _bounded(self._group("{", "}") / self._group("{", "}"))
        if piece in _BRACKETS:
            return self._group(piece, _BRACKETS[piece])
        if not piece or not (piece[0].isdigit() or piece[0] == "."):
            raise _NotRationalError
        return Fraction(self._take())

    def _group(self, opening: str, closing: str) -> Fraction:
        self._take(opening)
        value = self._sum()
        self._take(closing)
        return value


def _raised(base: Fraction, exponent: Fraction) -> Fraction:
    size = max(base.numerator.bit_length(), base.denominator.bit_length())
    if exponent.denominator != 1 or abs(exponent) * size > MAX_BITS:
        raise _NotRationalError
    if base == 0 and exponent < 0:
        raise _NotRationalError
    return _bounded(base ** int(exponent))
