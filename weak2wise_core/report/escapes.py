"""Characters that would not be seen, or would turn a line around, as escapes that are seen."""

import unicodedata
from typing import Final

_UNSEEN: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
"""Unicode categories: controls, formats (direction marks among them), private, line separators."""
_PLAIN: Final = frozenset("\t\n")


def visible(text: str) -> str:
    r"""The text with every unseen character written as `[U+202E]`.

    Example:
        >>> visible("a\u202eb")
        'a[U+202E]b'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(f"[U+{ord(char):04X}]" if is_unseen(char) else char for char in text)


def is_unseen(char: str) -> bool:
    """Whether a character has no form of its own on a page."""
    return char not in _PLAIN and unicodedata.category(char) in _UNSEEN
