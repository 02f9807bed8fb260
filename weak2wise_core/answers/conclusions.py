r"""What an attempt ends with: its last box, an announced answer, or its closing sentence.

Attempts are untrusted text of any length. Every search here is linear, and all but the search for
boxes look at the last few thousand characters only.
"""

import json
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

MAX_TAIL = 6_000
MAX_STATEMENT = 400
MAX_BOX = 2_000
MAX_BOXES = 16
MAX_ANNOUNCEMENTS = 8

_BOX = re.compile(r"\\(?:boxed|fbox)\s{0,5}\{")
_BRACES = re.compile(r"\\.|[{}]", re.DOTALL)
_COMMAND = re.compile(r"\\[A-Za-z]+")
_NAMED_NEXT = re.compile(r"[A-Za-z](?:_\{?\w{1,3}\}?)?(?:\(\w\))?\s*=")
_NO_JOINT = re.compile(r"[-+*/<>^=]|[.!?]\s")
_JOINING = frozenset({"and", "or", "for", "part", "as", "well"})
_LISTED = re.compile(r"[^.!?\n]{0,40}\band\b[^.!?\n]{0,20}")
_BEHIND_BOX = re.compile(
    r"[\s$)\]\\]{0,6}(%|percent|thousand|million|billion|trillion|hundred)(?![A-Za-z])",
    re.IGNORECASE,
)
_MINUS_BEFORE = re.compile(r"[=$(\[]\s*[-\u2212]$")
_CALCULATOR = re.compile(r"<<[^<>\n]{0,200}>>")
_ENDINGS = re.compile(
    r"<\|[^|<>\n]{1,30}\|>(?:\s{0,3}(?:user|assistant|system)\s*$)?|</s>"
    r"|\bI hope (?:it|this) is correct\.?",
    re.IGNORECASE,
)
_FIELD = re.compile(
    r'"(?:final_?)?answer"\s{0,9}:\s{0,9}("(?:[^"\\]|\\.)*"|-?[\d.,]+)', re.IGNORECASE
)
_BULLET = r"[ \t>*#_-]{0,8}"
_ANNOUNCED = re.compile(
    rf"(?:^{_BULLET}|(?<=[.!?]\s))(?:(?:so|thus|therefore|hence),? )?(?:the )?"
    r"(?:(?:final|correct) )?(?:answer|solution)s?[ \t*_]{0,6}[:\uff1a][ \t*_]{0,6}"
    r"|^[ \t]{0,8}(?:####|A:)"
    rf"|^{_BULLET}(?:the )?(?:final )?answer[ \t*_#]{{0,6}}$"
    r"|\b(?:final |correct )?answer(?: [\w']{1,20}){0,6} (?:is\b|are\b|=)"
    r"(?: therefore\b| thus\b)?[ \t]{0,3}:?",
    re.IGNORECASE | re.MULTILINE,
)
_DOUBT = re.compile(
    r"\b(?:wait|actually|correction|mistaken?|incorrect|wrong|re-?check|re-?consider)\b",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')*]{0,3}\s+(?=[^a-z\s])|\n+")
_ABBREVIATION = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|vs|approx|No)\.$")
_CONCLUDES = re.compile(r"(?:so|therefore|thus|hence|in total)\b", re.IGNORECASE)
_LIST_ITEM = re.compile(r"\s{0,8}(?:[-*•]|\d{1,2}[.)])\s")
_VALUE = re.compile(r"[\d$]|\\[(\[]")
_SPEAKS = re.compile(r"\w")


class Form(StrEnum):
    """How an attempt states its answer, the plainest first."""

    BOXED = "boxed"
    FIELD = "field"
    """The field "answer" of a JSON object."""
    ANNOUNCED = "announced"
    """After "The answer is", "Answer:", "A:", "####" or a heading "Final Answer"."""
    CLOSING = "closing"
    """The last sentence that holds a value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """The end of an attempt."""

    form: Form
    statement: str
    """The answer alone (boxed, field), or the words that state it."""
    before: str = ""
    """The text that leads to the words."""
    parts: tuple[str, ...] = ()
    """The single boxes, where the statement joins several."""
    doubtful: bool = False
    """The text breaks off, or goes on to take the statement back."""
    final: bool = False
    """It is announced as the final answer."""
    later: "Conclusion | None" = None
    """A final answer that is announced once more after the box."""

    @property
    def exact(self) -> bool:
        """The statement is the answer itself, not a sentence about it."""
        return self.form in {Form.BOXED, Form.FIELD}


def strip_thinking(text: str) -> str | None:
    """The visible part of a reply.

    Returns:
        The text after the last `</think>`; the text itself where there is no such tag; None where
        a thought was begun and never ended: an unfinished reply has no answer.
    """
    visible = text.rpartition("</think>")[2]
    return None if "<think>" in visible else visible


def conclude(text: str) -> Conclusion | None:
    """Find what an attempt ends with.

    Args:
        text: A whole attempt; its thinking is left out.

    Returns:
        The conclusion, or None where the thinking never ended or nothing is said.
    """
    visible = strip_thinking(text)
    if visible is None:
        return None
    boxed = _boxed(visible)
    if boxed is not None:
        return boxed
    tail = _tail(visible)
    return _field(tail) or _announced(tail) or _closing(tail)


def _tail(text: str) -> str:
    return _ENDINGS.sub("", _CALCULATOR.sub("", text[-MAX_TAIL:])).rstrip()


def _boxed(text: str) -> Conclusion | None:
    spans = _boxes(text)
    whole = [span for span in spans if span[2] >= 0]
    if not whole:
        return Conclusion(form=Form.BOXED, statement="", doubtful=True) if spans else None
    joined = _joined(text, whole)
    parts = tuple(dict.fromkeys(text[start:end].strip() for _, start, end in joined))
    unread = whole[-len(joined) - 1] if len(whole) > len(joined) else None
    start, _, end = whole[-1]
    statement = ", ".join(parts)
    behind = _BEHIND_BOX.match(text, end + 1)
    if behind is not None:
        statement = f"{statement} {behind.group(1)}"
    if _MINUS_BEFORE.search(text, max(0, start - 8), start) is not None:
        statement = f"-({statement})"
    after = text[end + 1 :]
    return Conclusion(
        form=Form.BOXED,
        statement=statement,
        parts=parts if len(parts) > 1 else (),
        doubtful=whole[-1] is not spans[-1]
        or _taken_back(after[:MAX_TAIL])
        or (unread is not None and _LISTED.fullmatch(text, unread[2], joined[0][0]) is not None),
        later=_announced(_tail(after)) or _afterwards(after, concluding=True),
    )


def _boxes(text: str) -> list[tuple[int, int, int]]:
    """The last boxes outside of one another: start, start of content, end of content or -1."""
    spans: list[tuple[int, int, int]] = []
    for match in deque(_BOX.finditer(text), maxlen=MAX_BOXES):
        if not spans or match.start() > spans[-1][2]:
            spans.append((match.start(), match.end(), _closing_brace(text, match.end())))
    return spans


def _closing_brace(text: str, start: int) -> int:
    depth = 1
    for match in _BRACES.finditer(text, start, min(len(text), start + MAX_BOX)):
        depth += {"{": 1, "}": -1}.get(match.group(), 0)
        if depth == 0:
            return match.start()
    return -1


def _joined(text: str, spans: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """The last box, with those before it that one answer of several parts joins to it."""
    first = len(spans) - 1
    while first and _is_joint(text[spans[first - 1][2] + 1 : spans[first][0]]):
        first -= 1
    return spans[first:]


def _is_joint(gap: str) -> bool:
    if len(gap) > 60:
        return False
    rest = _NAMED_NEXT.sub(" ", _COMMAND.sub(" ", gap))
    words = re.findall(r"\w+", rest)
    joining = all(len(word) == 1 or word.lower() in _JOINING for word in words)
    return joining and _NO_JOINT.search(rest) is None


def _taken_back(after: str) -> bool:
    return _DOUBT.search(after) is not None


def _field(tail: str) -> Conclusion | None:
    found = deque(_FIELD.finditer(tail), maxlen=1) if "{" in tail or "}" in tail else None
    if not found:
        return None
    value = found[0].group(1)
    try:
        value = str(json.loads(value))
    except ValueError:
        value = value.strip('"')
    return Conclusion(form=Form.FIELD, statement=value)


def _announced(tail: str) -> Conclusion | None:
    for match in reversed(deque(_ANNOUNCED.finditer(tail), maxlen=MAX_ANNOUNCEMENTS)):
        start, end = _first_statement(tail, match.end())
        statement = tail[start:end].strip()
        if _SPEAKS.search(statement) and not statement.lower().startswith("not "):
            after = tail[end:]
            return Conclusion(
                form=Form.ANNOUNCED,
                statement=statement,
                before=tail[: match.start()],
                final="final" in match.group().lower(),
                doubtful=_taken_back(after),
                later=_afterwards(after, concluding=False),
            )
    return None


def _first_statement(text: str, start: int) -> tuple[int, int]:
    """The rest of a line up to the end of its sentence, or the paragraph that begins below it."""
    while start < len(text) and text[start].isspace():
        start += 1
    below = "\n" in text[max(0, start - 3) : start]
    stop = text.find("\n\n" if below else "\n", start)
    stop = min(len(text) if stop < 0 else stop, start + MAX_STATEMENT)
    for position in _sentence_ends(text[start:stop]):
        if _SPEAKS.search(text, start, start + position) and not below:
            return start, start + position
    return start, stop


def _sentence_ends(text: str) -> Iterator[int]:
    for match in _SENTENCE_END.finditer(text):
        if not _ABBREVIATION.search(text[max(0, match.start() - 8) : match.start()]):
            yield match.start()


def _closing(tail: str) -> Conclusion | None:
    """The last sentence with a value among the last three, else the last that says anything."""
    ends = [*_sentence_ends(tail), len(tail)]
    starts = [0, *ends[:-1]]
    spoken = [span for span in zip(starts, ends, strict=True) if _SPEAKS.search(tail, *span)]
    if not spoken:
        return None
    valued = [span for span in spoken[-3:] if _VALUE.search(tail, *span)]
    start, end = (valued or spoken)[-1]
    start = _first_of_list(tail, start, spoken)
    return Conclusion(
        form=Form.CLOSING,
        statement=tail[start:end].strip()[-MAX_STATEMENT:],
        before=tail[:start],
        doubtful=_taken_back(tail[start:]),
    )


def _afterwards(after: str, *, concluding: bool) -> Conclusion | None:
    """What a text goes on to say in lines of its own; a check of the result is no conclusion."""
    said = _closing(_tail(after.partition("\n")[2]))
    if said is None or _VALUE.search(said.statement) is None:
        return None
    return said if not concluding or _CONCLUDES.match(said.statement) else None


def _first_of_list(tail: str, start: int, spans: list[tuple[int, int]]) -> int:
    """A closing list is one statement: its last line alone would be an arbitrary choice."""
    for begin, end in reversed(spans):
        if begin > start:
            continue
        if _LIST_ITEM.match(tail[begin:end].lstrip("\n")) is None:
            break
        start = begin
    return start
