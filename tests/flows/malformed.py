"""Rows of a question file that no build can use, by the name under which they are refused."""

import json
import random
from collections.abc import Callable
from typing import Any

Spoil = Callable[[dict[str, Any]], bytes]


def _line(row: object) -> bytes:
    return json.dumps(row).encode()


def _with(**fields: Any) -> Spoil:
    return lambda row: _line(row | fields)


def _without(field: str) -> Spoil:
    return lambda row: _line({name: value for name, value in row.items() if name != field})


def _raw(line: bytes) -> Spoil:
    return lambda _: line


def _in_question(text: str) -> Spoil:
    return lambda row: _line(row | {"question": row["question"] + text})


KINDS: list[tuple[str, str, Spoil]] = [
    ("half a line", "not_json", lambda row: _line(row)[:20]),
    ("a comma too many", "not_json", lambda row: _line(row)[:-1] + b",}"),
    ("single quotes", "not_json", lambda row: str(row).encode()),
    ("two objects", "not_json", lambda row: _line(row) * 2),
    ("too many digits", "not_json", _raw(b'{"id": ' + b"9" * 5000 + b"}")),
    ("too deep", "not_json", _raw(b"[" * 100_000)),
    ("latin-1", "not_utf8", lambda row: _line(row)[:-1] + b', "x": "\xe9"}'),
    ("a list", "not_an_object", lambda row: _line(list(row.values()))),
    ("a number", "not_an_object", _raw(b"42")),
    ("a text", "not_an_object", _raw(b'"What is 1 + 1?"')),
    ("null", "not_an_object", _raw(b"null")),
    ("no question", "no_question", _without("question")),
    ("question null", "no_question", _with(question=None)),
    ("question empty", "no_question", _with(question="")),
    ("question blank", "no_question", _with(question=" \n\t")),
    ("question a number", "question_not_text", _with(question=7)),
    ("question a list", "question_not_text", _with(question=["What?"])),
    ("question an object", "question_not_text", _with(question={"text": "What?"})),
    ("question too long", "question_too_long", _in_question("x" * 100_001)),
    ("no answer", "no_answer", _without("answer")),
    ("answer null", "no_answer", _with(answer=None)),
    ("answer empty", "no_answer", _with(answer="  ")),
    ("answer true", "answer_not_text", _with(answer=True)),
    ("answer a list", "answer_not_text", _with(answer=[1, 2])),
    ("answer an object", "answer_not_text", _with(answer={"value": 1})),
    ("answer too long", "answer_too_long", _with(answer="1" * 10_001)),
    ("answer not a number", "answer_not_finite", _with(answer=float("nan"))),
    ("answer infinite", "answer_not_finite", _with(answer=float("-inf"))),
    ("thinking tag", "control_token", _in_question("</think>")),
    ("chat token", "control_token", _with(answer="<|im_end|>")),
    ("direction mark", "bidi_control", _in_question("\u202e")),
    ("half a pair", "lone_surrogate", _in_question("\ud83d")),
    ("a NUL", "control_character", _in_question("\0")),
    ("an escape", "control_character", _with(answer="\x1b[31m1")),
    ("id a list", "id_not_text", _with(id=["a"])),
    ("id true", "id_not_text", _with(id=True)),
    ("id a fraction", "id_not_text", _with(id=1.5)),
    ("id too long", "id_too_long", _with(id="x" * 201)),
    ("id with a line end", "id_not_printable", _with(id="a\nb")),
    ("id blank", "id_not_printable", _with(id=" ")),
]
"""What is wrong, the name of its refusal, and how a good row is spoilt so."""


def mixed(good: list[dict[str, Any]], *, bad: int, seed: int) -> tuple[list[bytes], list[str]]:
    """Lines of a question file with good rows, in their order, and bad ones anywhere among them.

    Returns:
        The lines, and for each the name of its refusal, "" for a good one. Every kind comes at
        least once where `bad` allows it; three bad rows repeat the first good one, which precedes.
    """
    lots = random.Random(seed)
    spoilt = [_spoilt(number) for number in range(bad - 3)]
    lots.shuffle(spoilt)
    first, *others = good
    is_good = [True] * len(others) + [False] * len(spoilt)
    lots.shuffle(is_good)
    entries = [
        (_line(first), ""),
        (_line(first), "duplicate"),
        (_line(first | {"answer": -1}), "conflicting_answers"),
        (_line(first | {"question": "Crate 999: and now?"}), "duplicate_id"),
    ]
    fine, bad_ones = ((_line(row), "") for row in others), iter(spoilt)
    entries += [next(fine if one else bad_ones) for one in is_good]
    return [line for line, _ in entries], [reason for _, reason in entries]


def _spoilt(number: int) -> tuple[bytes, str]:
    _, reason, spoil = KINDS[number % len(KINDS)]
    row = {"id": f"bad{number:03}", "question": f"Crate {1000 + number}: and now?"}
    return spoil(row | {"answer": number}), reason
