r"""Final answers as the released code of weak-to-strong reasoning normalises them.

The rules are those that Lewkowycz et al. (2022, appendix D.1) list for MATH, applied in their
order: words and LaTeX that do not count are taken out wherever they stand, even inside of a word,
then the rest is unwrapped. Two answers agree where the results are the same text. So 3.0 is 3 and
75% is 75, but 0.5 differs from 0.50, and 1/2 from 0.5.

Source: arXiv 2407.13647, section 3.1, and its released code.
"""

import re

_REPLACED = (
    ("an ", ""),
    ("a ", ""),
    (".$", "$"),
    ("\\$", ""),
    ("\\ ", ""),
    ("\\%", "%"),
    (" ", ""),
    ("mbox", "text"),
    (",\\text{and}", ","),
    ("\\text{and}", ","),
    ("\\text{m}", "\\text{}"),
)
_UNITS = (
    "square ways integers dollars mph inches ft hours km units \\ldots sue points feet minutes "
    "digits cents degrees cm gm pounds meters meals edges students childrentickets multiples"
)
_LATEX = (
    "\\text{s}",
    "\\text{.}",
    "\\text{\ns}",
    "\\text{}^2",
    "\\text{}^3",
    "\\text{\n}",
    "\\text{}",
    "\\mathrm{th}",
    "^\\circ",
    "^{\\circ}",
    "\\;",
    ",\\!",
    "{,}",
    '"',
    "\\dots",
)
_REMOVED = (*_UNITS.split(), *_LATEX)
_FORMULA = re.compile(r".*?\$(.*?)\$.*")
_WRAPPERS = tuple(re.compile(rf"\\{name}\{{(.*?)\}}") for name in ("text", "textbf", "overline"))
_BOX = re.compile(r"\\boxed\{(.*)\}")
_BARE_FRACTION = re.compile(r"frac([^{])(.)")
_BARE_ROOT = re.compile(r"sqrt([^{])")
_ENDINGS = (".0", ".00", "%")
_CHOICES = frozenset("abcdefg")


def normalised(answer: str) -> str:
    r"""The normal form of a final answer; empty for an empty one.

    Example:
        >>> [normalised(text) for text in ("1,050", "3.0", "75%", "0.50", r"x = \frac12", "(A)")]
        ['1050', '3', '75', '0.50', '\\frac{1}{2}', '(A)']
    """
    text = answer.rpartition("=")[2]
    for old, new in _REPLACED:
        text = text.replace(old, new)
    for piece in _REMOVED:
        text = text.replace(piece, "")
    text = _unwrapped(text)
    text = _BARE_FRACTION.sub(r"frac{\1}{\2}", text)
    text = _BARE_ROOT.sub(r"sqrt{\1}", text)
    return _plain_value(text.replace("$", ""))


def _unwrapped(text: str) -> str:
    """What stands inside of dollar signs, text commands and boxes."""
    text = _FORMULA.sub(r"$\1$", text)
    for wrapper in _WRAPPERS:
        text = wrapper.sub(r"\1", text)
    return _BOX.sub(r"\1", text)


def _plain_value(text: str) -> str:
    if text.replace(",", "").isdigit():
        text = text.replace(",", "")
    for ending in _ENDINGS:
        if text.endswith(ending) and text.removesuffix(ending).isdigit():
            text = text.removesuffix(ending)
    return text.lower() if text.lower() in _CHOICES else text
