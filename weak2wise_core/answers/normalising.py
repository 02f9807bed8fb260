r"""Normal forms of answers: one spelling for what is written in many ways.

Only the spelling changes: whatever could change the meaning is left as it is.
"""

import re

_CHARACTERS = str.maketrans(
    {
        "\u2212": "-", "\u2013": "-", "\u2010": "-", "\u2011": "-", "\u00d7": r"\times ",
        "·": r"\cdot ", "⋅": r"\cdot ",
        "÷": r"\div ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "≈": r"\approx ", "∞": r"\infty ",
        "π": r"\pi ", "√": r"\sqrt ", "±": r"\pm ", "\u222a": r"\cup ", "∈": r"\in ",
        "°": r"^\circ ",
        "²": "^2", "³": "^3", "½": r"\frac{1}{2}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}",
        "\u2044": "/", "\u2019": "'", "\u2018": "'", "“": '"', "”": '"', "\u00a0": " ",
        "\u202f": " ", "\u2009": " ", "\u200b": "", "\uff05": "%",
    }
)  # fmt: skip
_SIZES = re.compile(
    r"\\(?:left|right|[bB]igg?[lrm]?|displaystyle|textstyle|limits|nolimits)(?![A-Za-z])\.?"
)
_DOUBLED = re.compile(r"\\\\(?=[A-Za-z()\[\]{}$%])")
_NEGATIVE_SPACE = re.compile(r"\\!\s*")
_GROUPING_SPACE = re.compile(r"(?<=\d)\\[,;:] ?(?=\d{3}(?!\d))")
_THIN_SPACE = re.compile(r"\\[,;:>]")
_WIDE_SPACE = re.compile(r"\\(?:quad|qquad|enspace|hspace\{[^{}]{0,9}\})(?![A-Za-z])|(?<!\\)\\ |~")
_SPACING = (
    (_NEGATIVE_SPACE, ""),
    (_GROUPING_SPACE, ""),
    (_SIZES, ""),
    (_THIN_SPACE, " "),
    (_WIDE_SPACE, " "),
)
_DELIMITERS = re.compile(r"\$|\\[()\[\]]")
_FRACTIONS = re.compile(r"\\[dtc]frac(?![A-Za-z])")
_BARE_FRACTION = re.compile(r"\\frac\s*(\d|\{[^{}]*\})\s*(\d|[A-Za-z]|\{[^{}]*\})")
_BARE_ROOT = re.compile(r"\\sqrt\s*(\d|[A-Za-z])")
_TEXT = re.compile(
    r"\\(?:text(?:bf|it|rm|sf|tt|normal)?|math(?:rm|bf|it|sf|tt)|mbox|operatorname\*?|emph)"
    r"\s*\{([^{}]*)\}"
)
_EMPHASIS = re.compile(r"\*\*|__|`")
_PERCENT = re.compile(r"\\%|(?<=[\d}\s])\s*\b(?:percent(?:age)?|per cent|pct)\b\.?", re.IGNORECASE)
_DEGREES = re.compile(r"\^\s*\{?\s*\\circ\s*\}?|(?<=\d)\s*\bdegrees?\b", re.IGNORECASE)
_SPACES = re.compile(r"\s+")
_RELATIONS = (
    (re.compile(r"\\leq(?:slant)?(?![A-Za-z])|<="), r"\\le "),
    (re.compile(r"\\geq(?:slant)?(?![A-Za-z])|>="), r"\\ge "),
    (re.compile(r"\\neq(?![A-Za-z])|!="), r"\\ne "),
    (re.compile(r"\\(?:dots|ldots|cdots)(?![A-Za-z])"), "..."),
)


def plain(text: str) -> str:
    r"""The same answer without dress: math delimiters, spacing, text commands, markdown.

    A dollar sign that means money becomes `¤`, a percent sign `%`, a degree sign `°`.

    Example:
        >>> plain(r"$\left( \dfrac12,\; 5\text{ cm} \right)$.")
        '( \\frac{1}{2}, 5 cm )'
    """
    text = _dollars(_SPACES.sub(" ", text.translate(_CHARACTERS)))
    if "\\begin{" not in text:
        text = _DOUBLED.sub(r"\\", text)
    text = text.replace("{,}", ",").replace("\\{", "⦃").replace("\\}", "⦄")
    for pattern, put in _SPACING:
        text = pattern.sub(put, text)
    text = _EMPHASIS.sub("", _TEXT.sub(r" \1 ", _DELIMITERS.sub("", text)))
    text = _BARE_ROOT.sub(r"\\sqrt{\1}", _braced_fractions(_FRACTIONS.sub(r"\\frac", text)))
    text = _DEGREES.sub("°", _PERCENT.sub("%", text))
    for pattern, put in _RELATIONS:
        text = pattern.sub(put, text)
    return (
        _SPACES.sub(" ", text)
        .replace("⦃", "\\{")
        .replace("⦄", "\\}")
        .lstrip(" ,;:")
        .rstrip(" .,;:")
    )


def _dollars(text: str) -> str:
    text = text.replace("\\$", "¤")
    if text.count("$") % 2:
        text = re.sub(r"\$(?=\s?[\d.])", "¤", text, count=1)
    return text


def _braced_fractions(text: str) -> str:
    def braced(match: re.Match[str]) -> str:
        above, below = (part.strip("{}") for part in match.groups())
        return f"\\frac{{{above}}}{{{below}}}"

    return _BARE_FRACTION.sub(braced, text)


def squeezed(text: str) -> str:
    """The text without any blank, for a comparison letter by letter."""
    return _SPACES.sub("", text)
