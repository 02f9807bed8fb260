r"""Answers of several parts: `(1, 2)`, `\{3, 5\}`, `x = 1 or x = 2`, `1 \pm \sqrt{2}`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_ITEMS = 30

_OPENING = {"(": ")", "[": "]", "{": "}", "\\{": "\\}"}
_CLOSING = {")", "]", "}", "\\}"}
_TOKEN = re.compile(
    r"\\[{}]|\\(?:cup|pm|mp)(?![A-Za-z])|(?<![A-Za-z\\])(?:and|or)(?![a-z])|[()\[\]{},;]"
)
_THOUSANDS = re.compile(r"(?<![\d.])\d{1,3}(?:,\d{3})+(?![\d])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Enumeration:
    """Several answers in one."""

    opening: str
    r"""`(`, `[`, `\{` or nothing."""
    closing: str
    items: tuple[str, ...]
    in_any_order: bool = False
    r"""Joined by "or", `\cup` or `\pm`, so that their order means nothing."""

    @property
    def brackets(self) -> str:
        """Both brackets, such as `[)`; empty for a bare list."""
        return self.opening + self.closing

    @property
    def is_set(self) -> bool:
        """The order of the items certainly means nothing."""
        return self.opening == "\\{" or self.in_any_order


def enumeration(text: str) -> Enumeration | None:
    """Take apart an answer that lists two or more parts, or one part in set braces.

    Args:
        text: An answer in the form that `normalising.plain` returns.

    Returns:
        The parts, or None where the text is one thing, or its brackets do not match.
    """
    opening, inner, closing = _unwrapped(text)
    cut = _cut(_ungrouped(inner))
    if cut is None or len(cut[0]) > MAX_ITEMS:
        return None
    items, joints = cut
    if opening in {"{", ""}:
        opening = closing = ""
    if len(items) < 2 and opening != "\\{":
        return None
    return Enumeration(
        opening=opening,
        closing=closing,
        items=tuple(items),
        in_any_order=bool(joints & {"or", "\\cup", "\\pm", "\\mp"}),
    )


def _ungrouped(text: str) -> str:
    """`1,234, 5,678` lists two numbers; `1,234` alone could be a list of two."""
    if ", " in text and _THOUSANDS.search(text):
        return _THOUSANDS.sub(lambda match: match.group().replace(",", ""), text)
    return text


def _unwrapped(text: str) -> tuple[str, str, str]:
    """Outer brackets that belong together, and what they hold; mixed ones make an interval."""
    for opening in ("\\{", "(", "[", "{"):
        if text.startswith(opening):
            end = _partner(text)
            if end is not None and end[1] == len(text):
                return opening, text[len(opening) : end[0]].strip(), text[end[0] : end[1]]
    return "", text, ""


def _partner(text: str) -> tuple[int, int] | None:
    """Where the bracket that opens the text is closed."""
    depth = 0
    for match in _TOKEN.finditer(text):
        if match.group() in _OPENING:
            depth += 1
        elif match.group() in _CLOSING:
            depth -= 1
            if depth == 0:
                return match.span()
    return None


def _cut(text: str) -> tuple[list[str], set[str]] | None:
    """Cut at the joints outside all brackets; None where brackets do not match."""
    items: list[str] = []
    joints: set[str] = set()
    start = 0
    for match in _joints(text):
        if match is None:
            return None
        items.append(text[start : match.start()].strip())
        joints.add(match.group())
        start = match.end()
    items.append(text[start:].strip())
    if joints & {"\\pm", "\\mp"}:
        return _both_signs(items) if joints <= {"\\pm", "\\mp"} else None
    return [item for item in items if item], joints


def _joints(text: str) -> Iterator[re.Match[str] | None]:
    depth = 0
    for match in _TOKEN.finditer(text):
        token = match.group()
        if token in _OPENING:
            depth += 1
        elif token in _CLOSING:
            depth -= 1
        elif depth == 0:
            yield match
        if depth < 0:
            yield None
    if depth:
        yield None


def _both_signs(items: list[str]) -> tuple[list[str], set[str]] | None:
    if len(items) != 2:
        return None
    left, right = items
    return [f"{left}+{right}" if left else right, f"{left}-{right}"], {"\\pm"}
