"""Merging queues that people filled into the one file a recipe names (section 3.5).

A person gets `annotation_queue.jsonl` or `.parquet` from a dataset, fills the column `reasoning` in
any editor or spreadsheet, and hands the file back. Every row is checked; what cannot be used is
named, and the rest goes to the annotations file, which never loses what it held.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from weak2wise_core.annotations import read_annotations, written_for
from weak2wise_core.answers import mentions
from weak2wise_core.dataset.reading import refuse_published
from weak2wise_core.errors import InputFileError, TraceFormatError
from weak2wise_core.questions import BadRowError, answer_text, check_characters, read_rows
from weak2wise_core.records import Question, QueuedQuestion
from weak2wise_core.sft import sft_response
from weak2wise_core.stores.files import atomic_write_text, only_writer

LONGEST = 200_000
"""Characters of one annotation; more is not a reasoning but a slip."""
FORMULA_SIGNS = frozenset("=+-@")
"""What a cell begins with that a spreadsheet takes for a formula."""


class Refused(StrEnum):
    """Why a filled row cannot be used."""

    UNREADABLE = "unreadable"
    NO_ID = "no_id"
    UNKNOWN_ID = "unknown_id"
    NOT_WAITING = "not_waiting"
    QUESTION_CHANGED = "question_changed"
    ANSWER_CHANGED = "answer_changed"
    NOT_TEXT = "not_text"
    TOO_LONG = "too_long"
    CONTROL_TOKEN = "control_token"  # noqa: S105 - no password
    CHARACTER = "character"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedRow:
    """A filled row that was left out."""

    where: str
    reason: Refused
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What came of a merge."""

    new: tuple[str, ...]
    """Ids whose reasoning was added."""
    kept: tuple[str, ...]
    """Ids whose reasoning the annotations file held already."""
    replaced: tuple[str, ...]
    """Ids whose reasoning was replaced, because the caller asked for it."""
    waiting: tuple[str, ...]
    """Ids of the queue that nobody has written for."""
    refused: tuple[RefusedRow, ...]
    without_answer: tuple[str, ...]
    """Ids whose reasoning never mentions the answer: used all the same, and worth a second look."""

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return {
            "new": len(self.new),
            "kept": len(self.kept),
            "replaced": len(self.replaced),
            "waiting": list(self.waiting),
            "without_answer": list(self.without_answer),
            "refused": dict(sorted(Counter(row.reason.value for row in self.refused).items())),
            "refused_rows": [
                {"where": row.where, "reason": row.reason.value, "detail": row.detail}
                for row in self.refused
            ],
        }


class _RefusedError(Exception):
    """A row that cannot be used."""

    def __init__(self, reason: Refused, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def merge(
    queue: Sequence[QueuedQuestion],
    filled: Sequence[Path],
    *,
    into: Path,
    others: Sequence[Question] = (),
    replace: bool = False,
) -> Merged:
    """Check filled queues and add what is usable to an annotations file.

    Doing it again changes nothing. The file is written whole or not at all, its earlier rows stay
    as they are, and two merges at once wait for each other.

    Args:
        queue: The questions that wait, as the dataset lists them.
        filled: Queue files (.jsonl, .parquet, .csv) with the columns `id` and `reasoning`.
        into: The annotations file of the recipe; made where it is not there yet.
        others: Questions of the dataset that do not wait: where people wrote for them earlier,
            their reasoning may be corrected.
        replace: Whether another reasoning for an id takes the place of the one that is there;
            otherwise it is refused as a conflict.

    Raises:
        InputFileError: A file cannot be read.
        StoreError: The annotations file cannot be written; it is as it was.
        UsageError: The annotations file would lie in a published dataset.
    """
    refuse_published(into)
    asked = {one.id: Question(id=one.id, question=one.question, answer=one.answer) for one in queue}
    rows = list(_rows(filled))
    with only_writer(into):
        before = read_annotations(into) if into.exists() else {}
        merging = _Merging(
            waiting=asked, asked={one.id: one for one in others} | asked, replace=replace
        )
        merging.rows |= before
        for where, row in rows:
            merging.add(where, row)
        if merging.rows != before:
            lines = (json.dumps(row, ensure_ascii=False) for row in merging.rows.values())
            atomic_write_text(into, "".join(f"{line}\n" for line in lines))
    return merging.outcome(before)


Row = Mapping[str, object] | BadRowError


def _rows(files: Iterable[Path]) -> Iterator[tuple[str, Row]]:
    for path in files:
        empty = True
        for number, row in enumerate(read_rows(path), start=1):
            empty = False
            missing = set() if isinstance(row, BadRowError) else {"id", "reasoning"} - row.keys()
            if missing and not isinstance(row, BadRowError):
                raise InputFileError(
                    f"{path}, row {number} has no {' and no '.join(sorted(missing))}, only "
                    f"{', '.join(map(str, row))}. Fill in a copy of the dataset's annotation queue"
                )
            yield f"{path}, row {number}", row
        if empty:
            raise InputFileError(f"file {path} is empty")


@dataclass(slots=True, kw_only=True)
class _Merging:
    """An annotations file while rows are added to it."""

    waiting: Mapping[str, Question]
    asked: Mapping[str, Question]
    """Every question that may have a row, those that wait among them."""
    replace: bool
    rows: dict[str, dict[str, object]] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)
    """What the files that are merged now say, by id."""
    refused: list[RefusedRow] = field(default_factory=list)

    def add(self, where: str, row: Row) -> None:
        """Take in one row, or name why not."""
        try:
            if isinstance(row, BadRowError):
                raise _RefusedError(Refused.UNREADABLE, row.detail)
            self._add(row)
        except _RefusedError as error:
            self.refused.append(RefusedRow(where=where, reason=error.reason, detail=error.detail))

    def _add(self, row: Mapping[str, object]) -> None:
        reasoning = row["reasoning"]
        if reasoning is None or (isinstance(reasoning, str) and not reasoning.strip()):
            return  # nobody has written here
        question_id = answer_text(row["id"])  # a spreadsheet makes numbers of ids
        if question_id is None:
            raise _RefusedError(Refused.NO_ID, "the id is empty")
        if not isinstance(reasoning, str):
            raise _RefusedError(
                Refused.NOT_TEXT, f"the reasoning is {type(reasoning).__name__}, not text"
            )
        if self._there(question_id) == reasoning.strip():
            self.written[question_id] = reasoning.strip()
            return  # merged already, whether it still waits or not
        question = self._question(question_id)
        _check_unchanged(row, question)
        _check_reasoning(reasoning, answer=question.answer)
        self._take(question, reasoning.strip())

    def _question(self, question_id: str) -> Question:
        if question_id not in self.asked:
            raise _RefusedError(
                Refused.UNKNOWN_ID, f"id {question_id!r} is not that of a question of the dataset"
            )
        if question_id not in self.waiting and not self._there(question_id):
            raise _RefusedError(
                Refused.NOT_WAITING, f"{question_id!r} waits for nobody; is the id the right one?"
            )
        return self.asked[question_id]

    def _there(self, question_id: str) -> str:
        return str(self.rows.get(question_id, {}).get("reasoning", "")).strip()

    def _take(self, question: Question, reasoning: str) -> None:
        replaceable = self.replace and question.id not in self.written
        if self._there(question.id) and not replaceable:
            raise _RefusedError(
                Refused.CONFLICT,
                f"{question.id!r} has another reasoning already; remove one, or merge with "
                "--replace",
            )
        self.written[question.id] = reasoning
        self.rows[question.id] = {
            "id": question.id,
            "question": question.question,
            "answer": question.answer,
            "reasoning": reasoning,
        }

    def outcome(self, before: Mapping[str, Mapping[str, object]]) -> Merged:
        """What came of it, compared with the file as it was."""
        held = {key: str(row["reasoning"]).strip() for key, row in before.items()}
        filled = [key for key in self.rows if self._there(key)]
        return Merged(
            new=tuple(key for key in filled if not held.get(key)),
            kept=tuple(key for key in filled if held.get(key) == self._there(key)),
            replaced=tuple(
                key for key in filled if held.get(key) and held[key] != self._there(key)
            ),
            waiting=tuple(key for key in self.waiting if not self._there(key)),
            refused=tuple(self.refused),
            without_answer=tuple(
                sorted(
                    key
                    for key, text in self.written.items()
                    if key in self.asked and not mentions(text, self.asked[key].answer)
                )
            ),
        )


def _check_unchanged(row: Mapping[str, object], question: Question) -> None:
    if not written_for({"question": _cell(row.get("question"))}, question):
        raise _RefusedError(
            Refused.QUESTION_CHANGED,
            f"the question of {question.id!r} is not the one that was asked; only `reasoning` may "
            "be written",
        )
    answer = row.get("answer")
    if answer is not None and answer_text(_cell(answer)) not in (None, question.answer.strip()):
        raise _RefusedError(
            Refused.ANSWER_CHANGED,
            f"the answer of {question.id!r} is {answer!r}, in the dataset {question.answer!r}; "
            "correct it in the question file, not here. Where a spreadsheet made a date of it, "
            "empty the cell",
        )


def _cell(value: object) -> object:
    """A cell of a spreadsheet without the apostrophe that keeps it from being a formula."""
    if isinstance(value, str) and value[:1] == "'" and value[1:2] in FORMULA_SIGNS:
        return value[1:]
    return value


def _check_reasoning(reasoning: str, *, answer: str) -> None:
    if len(reasoning) > LONGEST:
        raise _RefusedError(
            Refused.TOO_LONG, f"{len(reasoning):,} characters, more than {LONGEST:,}"
        )
    try:
        sft_response(reasoning, answer=answer)
        check_characters(reasoning, "reasoning")
    except TraceFormatError as error:
        raise _RefusedError(Refused.CONTROL_TOKEN, str(error)) from error
    except BadRowError as error:
        raise _RefusedError(Refused.CHARACTER, error.detail) from error
