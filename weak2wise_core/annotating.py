"""Merging queues that people filled into the one file a recipe names (section 3.5).

A person gets `annotation_queue.jsonl` or `.parquet` from a dataset, fills the column `reasoning` in
any editor or spreadsheet, and hands the file back. Every row is checked; what cannot be used is
named, and the rest goes to the annotations file, which never loses what it held.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from weak2wise_core.annotations import load_annotations
from weak2wise_core.answers import mentions
from weak2wise_core.errors import InputFileError, TraceFormatError
from weak2wise_core.questions import answer_text, read_objects
from weak2wise_core.records import QueuedQuestion
from weak2wise_core.sft import sft_response
from weak2wise_core.stores.files import atomic_write_text

LONGEST = 200_000
"""Characters of one annotation; more is not a reasoning but a slip."""


class Refused(StrEnum):
    """Why a filled row cannot be used."""

    NO_ID = "no_id"
    UNKNOWN_ID = "unknown_id"
    QUESTION_CHANGED = "question_changed"
    ANSWER_CHANGED = "answer_changed"
    NOT_TEXT = "not_text"
    TOO_LONG = "too_long"
    CONTROL_TOKEN = "control_token"  # noqa: S105 - no password
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
    replace: bool = False,
) -> Merged:
    """Check filled queues and add what is usable to an annotations file.

    Doing it again changes nothing. The file is written whole or not at all.

    Args:
        queue: The questions that wait, as the dataset lists them.
        filled: Queue files (.jsonl, .parquet, .csv) with the columns `id` and `reasoning`.
        into: The annotations file of the recipe; made where it is not there yet.
        replace: Whether another reasoning for an id takes the place of the one that is there;
            otherwise it is refused as a conflict.

    Raises:
        InputFileError: A file cannot be read.
        StoreError: The annotations file cannot be written; it is as it was.
    """
    questions = {row.id: row for row in queue}
    before = load_annotations(into) if into.exists() else {}
    known, refused, seen = dict(before), [], set[str]()
    for where, row in _rows(filled):
        try:
            accepted = _checked(row, questions=questions)
            if accepted is None:
                continue
            question_id, reasoning = accepted
            first_again = replace and question_id not in seen
            _add(known, question_id, reasoning, replace=first_again)
            seen.add(question_id)
        except _RefusedError as error:
            refused.append(RefusedRow(where=where, reason=error.reason, detail=error.detail))
    if known != before:
        lines = [_line(one, reasoning, questions=questions) for one, reasoning in known.items()]
        into.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_text(into, "".join(f"{line}\n" for line in lines))
    return Merged(
        new=tuple(one for one in known if one not in before),
        kept=tuple(one for one in before if known[one] == before[one]),
        replaced=tuple(one for one in before if known[one] != before[one]),
        waiting=tuple(one for one in questions if one not in known),
        refused=tuple(refused),
        without_answer=_without_answer(seen, known, questions=questions),
    )


def _rows(files: Iterable[Path]) -> Iterable[tuple[str, Mapping[str, object]]]:
    for path in files:
        for number, row in enumerate(read_objects(path), start=1):
            if missing := {"id", "reasoning"} - row.keys():
                raise InputFileError(
                    f"{path}, row {number} has no {' and no '.join(sorted(missing))}, only "
                    f"{', '.join(map(str, row))}. Fill in a copy of the dataset's annotation queue"
                )
            yield f"{path}, row {number}", row


def _checked(
    row: Mapping[str, object], *, questions: Mapping[str, QueuedQuestion]
) -> tuple[str, str] | None:
    """Id and reasoning of a usable row; None where nobody has filled it in."""
    reasoning = row["reasoning"]
    if reasoning is None or reasoning == "" or (isinstance(reasoning, str) and reasoning.isspace()):
        return None
    question_id = answer_text(row["id"])  # a spreadsheet makes numbers of ids
    if question_id is None:
        raise _RefusedError(Refused.NO_ID, "the id is empty")
    if question_id not in questions:
        raise _RefusedError(Refused.UNKNOWN_ID, f"id {question_id!r} is not in the queue")
    if not isinstance(reasoning, str):
        raise _RefusedError(
            Refused.NOT_TEXT, f"the reasoning is {type(reasoning).__name__}, not text"
        )
    _check_unchanged(row, questions[question_id])
    _check_reasoning(reasoning, answer=questions[question_id].answer)
    return question_id, reasoning.strip()


def _check_unchanged(row: Mapping[str, object], queued: QueuedQuestion) -> None:
    question, answer = row.get("question"), row.get("answer")
    if isinstance(question, str) and question.split() != queued.question.split():
        raise _RefusedError(
            Refused.QUESTION_CHANGED,
            f"the question of {queued.id!r} is not the one that was asked; only `reasoning` may "
            "be written",
        )
    if answer is not None and answer_text(answer) not in (None, queued.answer.strip()):
        raise _RefusedError(
            Refused.ANSWER_CHANGED,
            f"the answer of {queued.id!r} is {answer!r}, in the dataset {queued.answer!r}; correct "
            "it in the question file, not here",
        )


def _check_reasoning(reasoning: str, *, answer: str) -> None:
    if len(reasoning) > LONGEST:
        raise _RefusedError(
            Refused.TOO_LONG, f"{len(reasoning):,} characters, more than {LONGEST:,}"
        )
    try:
        sft_response(reasoning, answer=answer)
    except TraceFormatError as error:
        raise _RefusedError(Refused.CONTROL_TOKEN, str(error)) from error


def _add(known: dict[str, str], question_id: str, reasoning: str, *, replace: bool) -> None:
    there = known.get(question_id)
    if there is not None and there != reasoning and not replace:
        raise _RefusedError(
            Refused.CONFLICT,
            f"{question_id!r} has another reasoning already; remove one, or merge with --replace",
        )
    known[question_id] = reasoning


def _line(question_id: str, reasoning: str, *, questions: Mapping[str, QueuedQuestion]) -> str:
    row = {"id": question_id, "reasoning": reasoning}
    if (queued := questions.get(question_id)) is not None:
        row |= {"question": queued.question, "answer": queued.answer}
    return json.dumps(row, ensure_ascii=False)


def _without_answer(
    ids: Iterable[str], known: Mapping[str, str], *, questions: Mapping[str, QueuedQuestion]
) -> tuple[str, ...]:
    return tuple(sorted(one for one in ids if not mentions(known[one], questions[one].answer)))
