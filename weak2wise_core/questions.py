"""Reading a question-answer set, and what is not let in.

Every row either becomes a `Question` or leaves as a `Rejection` with a name. Only a file that
cannot be used at all is an error.
"""

import csv
import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from weak2wise_core.config import DecontaminationSettings, QuestionsSettings
from weak2wise_core.errors import InputFileError
from weak2wise_core.hashing import content_hash
from weak2wise_core.prompts import find_control_token
from weak2wise_core.records import Question, Rejection, RejectionKind

LONGEST_ANSWER = 10_000
LONGEST_ID = 200

_WORD = re.compile(r"\w+")
_HALF = re.compile("[\ud800-\udfff]")
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_PLAIN_CONTROLS = frozenset("\t\n\r")


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionSet:
    """What a question file holds, row by row: rows == len(questions) + len(rejections)."""

    rows: int
    questions: tuple[Question, ...]
    rejections: tuple[Rejection, ...]


class BadRowError(Exception):
    """One row of a file cannot be used; carries the name and the sentence of its rejection."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def load_questions(settings: QuestionsSettings) -> QuestionSet:
    """Read, validate and deduplicate a question-answer set.

    Args:
        settings: File, fields and limits.

    Returns:
        The questions in file order. A question repeated with the same answer is dropped as
        `duplicate`; one repeated with another answer, or an id used twice, is quarantined.

    Raises:
        InputFileError: The file is missing, of another kind, or has no usable row.
    """
    questions: list[Question] = []
    rejections: list[Rejection] = []
    known = _Known()
    number = 0
    for number, row in enumerate(islice(read_rows(settings.path), settings.limit), start=1):
        label = f"row-{number}"
        try:
            if isinstance(row, BadRowError):
                raise row
            label = _label(row, settings, label)
            question = _question(row, settings)
            known.admit(question)
        except BadRowError as bad:
            kind = RejectionKind.DROPPED if bad.reason == "duplicate" else RejectionKind.QUARANTINED
            rejections.append(_rejection(label, kind, bad.reason, f"row {number}: {bad.detail}"))
        else:
            questions.append(question)
    if not questions:
        raise InputFileError(_nothing_usable(settings, number, rejections))
    return QuestionSet(rows=number, questions=tuple(questions), rejections=tuple(rejections))


def _nothing_usable(settings: QuestionsSettings, rows: int, rejections: list[Rejection]) -> str:
    if not rows:
        return f"question file {settings.path} is empty; it needs one question a row"
    return (
        f"question file {settings.path} has {rows} rows and none can be used; the first: "
        f"{rejections[0].detail}. The fields '{settings.question_field}' and "
        f"'{settings.answer_field}' are read; set questions.question_field and "
        "questions.answer_field if yours have other names"
    )


def _rejection(label: str, kind: RejectionKind, reason: str, detail: str) -> Rejection:
    return Rejection(question_id=label, stage="load", kind=kind, reason=reason, detail=detail)


# --- rows -------------------------------------------------------------------------------------


def read_rows(path: Path) -> "Iterator[Mapping[str, object] | BadRowError]":
    """The rows of a .jsonl, .parquet or .csv file, in order; bad lines stay in their place.

    Raises:
        InputFileError: The file is missing, is a folder, has another ending, or cannot be read.
    """
    readers: Mapping[str, Callable[[Path], Iterator[Mapping[str, object] | BadRowError]]] = {
        ".jsonl": _read_jsonl,
        ".parquet": _read_parquet,
        ".csv": _read_csv,
    }
    if not path.exists():
        raise InputFileError(f"file {path} does not exist; check the path (from {Path.cwd()})")
    if path.suffix.lower() not in readers or not path.is_file():
        raise InputFileError(f"file {path} is not a .jsonl, .parquet or .csv file")
    try:
        yield from readers[path.suffix.lower()](path)
    except (OSError, pa.ArrowException, csv.Error, UnicodeDecodeError, OverflowError) as error:
        raise InputFileError(f"file {path} cannot be read: {error}") from error


def read_objects(path: Path) -> Iterator[Mapping[str, object]]:
    """The rows of a file for commands that need every one of them.

    Raises:
        InputFileError: As `read_rows`, and for the first row that is not an object.
    """
    empty = True
    for number, row in enumerate(read_rows(path), start=1):
        if isinstance(row, BadRowError):
            raise InputFileError(f"file {path}, row {number}: {row.detail}")
        empty = False
        yield row
    if empty:
        raise InputFileError(f"file {path} is empty")


def answer_text(value: object) -> str | None:
    """A ground-truth answer or an id as text; None where the value cannot be one."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return None
    if not isinstance(value, str):
        return str(value) if _is_finite(value) else None
    return value.strip() or None


def _read_jsonl(path: Path) -> "Iterator[Mapping[str, object] | BadRowError]":
    with path.open("rb") as file:
        for number, line in enumerate(file):
            text = line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line
            if text.strip():
                yield _json_row(text)


def _json_row(line: bytes) -> "Mapping[str, object] | BadRowError":
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        return BadRowError("not_utf8", "the line is not UTF-8 text")
    except (json.JSONDecodeError, RecursionError) as error:
        return BadRowError("not_json", f"the line is not JSON: {error}")
    except ValueError as error:  # a number of more digits than Python converts
        return BadRowError("not_json", f"the line holds a value that cannot be read: {error}")
    if not isinstance(row, dict):
        return BadRowError("not_an_object", f"the line is a JSON {type(row).__name__}, no object")
    return row


def _read_parquet(path: Path) -> Iterator[Mapping[str, object]]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=1024):
            yield from batch.to_pylist()


def _read_csv(path: Path) -> "Iterator[Mapping[str, object] | BadRowError]":
    previous = csv.field_size_limit(100_000_000)
    try:
        # a byte that is no UTF-8 is kept as half of a surrogate pair: it costs its row alone
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            separator = _separator(file.readline())
            file.seek(0)
            for row in csv.DictReader(file, delimiter=separator):
                if None in row:
                    yield BadRowError("too_many_fields", "the line has more fields than the header")
                elif any(_HALF.search(value) for value in row.values() if value):
                    yield BadRowError("not_utf8", "the line is not UTF-8 text")
                else:
                    yield row
    finally:
        csv.field_size_limit(previous)


def _separator(header: str) -> str:
    """What stands between the fields: where a comma is a decimal sign, spreadsheets write `;`."""
    return next((sign for sign in ",;\t" if sign in header), ",")


# --- one row ----------------------------------------------------------------------------------


def _label(row: Mapping[str, object], settings: QuestionsSettings, default: str) -> str:
    """The name under which a row is rejected: its id if that is usable."""
    value = row.get(settings.id_field)
    plain = isinstance(value, str | int) and not isinstance(value, bool)
    text = str(value) if plain and len(str(value)) <= LONGEST_ID else ""
    return text if text.strip() and text.isprintable() else default


def _question(row: Mapping[str, object], settings: QuestionsSettings) -> Question:
    question = _text(row, settings.question_field, "question", longest=settings.max_chars)
    answer = _answer(row, settings.answer_field)
    return Question(id=_id(row, settings.id_field, question), question=question, answer=answer)


def _text(row: Mapping[str, object], field: str, what: str, *, longest: int) -> str:
    value = row.get(field)
    if value is None:
        raise BadRowError(f"no_{what}", f"field '{field}' is missing or null")
    if not isinstance(value, str):
        found = type(value).__name__
        raise BadRowError(f"{what}_not_text", f"field '{field}' is a {found}, text was expected")
    if not value.strip():
        raise BadRowError(f"no_{what}", f"field '{field}' is empty")
    if len(value) > longest:
        raise BadRowError(
            f"{what}_too_long", f"field '{field}' has {len(value)} characters, at most {longest}"
        )
    check_characters(value, field)
    return value.strip()


def _answer(row: Mapping[str, object], field: str) -> str:
    value = row.get(field)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return _text(row, field, "answer", longest=LONGEST_ANSWER)
    if not _is_finite(value):
        raise BadRowError("answer_not_finite", f"field '{field}' is {value}, no number")
    return str(value)


def _is_finite(value: float | Decimal) -> bool:
    """Whether a number is one, without making a float of it: an integer may be too large."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) or value.is_finite()


def _id(row: Mapping[str, object], field: str, question: str) -> str:
    value = row.get(field)
    if value is None or value == "":
        return f"q-{content_hash(question)[:16]}"
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise BadRowError("id_not_text", f"field '{field}' is a {type(value).__name__}")
    text = str(value)
    if len(text) > LONGEST_ID:
        raise BadRowError("id_too_long", f"field '{field}' has {len(text)} characters")
    if not text.strip() or not text.isprintable():
        raise BadRowError("id_not_printable", f"field '{field}' holds {text!r}")
    return text


def check_characters(text: str, field: str) -> None:
    """Refuse characters that make a text read other than it is, or cannot be stored.

    Raises:
        BadRowError: There is one; its reason and detail name it.
    """
    if found := find_control_token(text):
        raise BadRowError(
            "control_token", f"field '{field}' holds {found.group()!r}, a command of chat templates"
        )
    for char in set(text):
        if char in _BIDI:
            reason, name = "bidi_control", "a direction mark"
        elif "\ud800" <= char <= "\udfff":
            reason, name = "lone_surrogate", "half of a surrogate pair"
        elif unicodedata.category(char) == "Cc" and char not in _PLAIN_CONTROLS:
            reason, name = "control_character", "a control character"
        else:
            continue
        raise BadRowError(reason, f"field '{field}' holds {name}, U+{ord(char):04X}")


# --- the whole set ----------------------------------------------------------------------------


def normal_form(question: str) -> str:
    """A question as its words in lower case: equal for copies that differ in layout only."""
    return " ".join(_WORD.findall(question.casefold())) or " ".join(question.split())


class _Known:
    """The questions let in so far, to recognise repetitions."""

    def __init__(self) -> None:
        self._by_id: dict[str, Question] = {}
        self._by_text: dict[str, Question] = {}

    def admit(self, question: Question) -> None:
        # Mathematics lives in the punctuation too: "1 + 2" and "1 - 2" have the same words.
        text = " ".join(question.question.casefold().split())
        earlier = self._by_text.get(text)
        if earlier is not None:
            if earlier.answer != question.answer:
                raise BadRowError(
                    "conflicting_answers",
                    f"the question of '{earlier.id}' again, with the answer "
                    f"{question.answer[:80]!r} instead of {earlier.answer[:80]!r}",
                )
            raise BadRowError("duplicate", f"the question of '{earlier.id}' again")
        if question.id in self._by_id:
            raise BadRowError("duplicate_id", f"id '{question.id}' belongs to another question")
        self._by_id[question.id] = question
        self._by_text[text] = question


def decontaminate(
    questions: Sequence[Question], *, settings: DecontaminationSettings
) -> tuple[list[Question], list[Rejection]]:
    """Drop questions that overlap with a benchmark.

    Args:
        questions: The questions, in order.
        settings: Benchmark files, their field, and how many words in a row are an overlap.

    Returns:
        The clean questions in order, and a Rejection for every other one. A benchmark question
        shorter than the n-gram is matched as a whole, in `normal_form`.

    Raises:
        InputFileError: A benchmark file cannot be read or has no such field.
    """
    grams: dict[str, str] = {}
    for path in settings.against:
        for text in _benchmark_questions(path, settings.question_field):
            for gram in _grams(text, settings.ngram):
                grams.setdefault(gram, path.name)
    clean: list[Question] = []
    rejections: list[Rejection] = []
    for question in questions:
        hit = next(
            (gram for gram in _grams(question.question, settings.ngram) if gram in grams), None
        )
        if hit is None:
            clean.append(question)
        else:
            rejections.append(
                Rejection(
                    question_id=question.id,
                    stage="decontaminate",
                    kind=RejectionKind.DROPPED,
                    reason="contaminated",
                    detail=f"shares {hit!r} with {grams[hit]}",
                )
            )
    return clean, rejections


def _benchmark_questions(path: Path, field: str) -> Iterator[str]:
    found = False
    for row in read_rows(path):
        if not isinstance(row, BadRowError) and isinstance(text := row.get(field), str):
            found = True
            yield text
    if not found:
        raise InputFileError(
            f"benchmark file {path} has no field '{field}'; set decontaminate.question_field"
        )


def _grams(text: str, size: int) -> Iterable[str]:
    words = normal_form(text).split()
    if len(words) < size:
        return [" ".join(words)]
    return (" ".join(words[i : i + size]) for i in range(len(words) - size + 1))
