"""Reasoning that a person wrote for questions no candidate helps with (section 3.5)."""

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from weak2wise_core.config import Recipe, ZeroScoreAction
from weak2wise_core.errors import InputFileError
from weak2wise_core.records import Question

_log = logging.getLogger(__name__)


def annotations_of(recipe: Recipe, questions: Iterable[Question]) -> Mapping[str, str]:
    """The reasoning that people wrote for questions of a build, by id; empty where none is named.

    The file may know more questions than a build, which may be limited to some; reasoning that was
    written for another wording or answer than a question has today is not used.

    Raises:
        InputFileError: The file cannot be used, or has reasoning for none of the questions.
    """
    path = recipe.zero_score.annotations
    if recipe.zero_score.action is not ZeroScoreAction.ANNOTATE or path is None:
        return {}
    rows = {key: row for key, row in read_annotations(path).items() if _reasoning(row)}
    asked = {question.id: question for question in questions}
    known = rows.keys() & asked.keys()
    if rows and not known:
        raise InputFileError(
            f"annotations {path}: none of its {len(rows)} ids is that of a question, the first is "
            f"{next(iter(rows))!r}; name the file that belongs to these questions"
        )
    stale = {key for key in known if not written_for(rows[key], asked[key])}
    for number, what in (
        (len(rows.keys() - known), "belong to no question of this build"),
        (len(stale), "were written for another wording or answer of their question"),
    ):
        if number:
            _log.warning("annotations %s: %d %s and are not used", path, number, what)
    return {key: _reasoning(rows[key]) for key in rows if key in known - stale}


def load_annotations(path: Path) -> dict[str, str]:
    """The reasoning in an annotations file, by question id.

    Args:
        path: A JSONL file with `id` and `reasoning`; rows whose reasoning is empty still wait.

    Raises:
        InputFileError: The file cannot be read, a line is malformed, or an id stands there twice.
    """
    rows = read_annotations(path)
    return {key: _reasoning(row) for key, row in rows.items() if _reasoning(row)}


def read_annotations(path: Path) -> dict[str, dict[str, object]]:
    """Every row of an annotations file, by question id, in the order of the file.

    Raises:
        InputFileError: As `load_annotations`.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputFileError(f"annotations {path} cannot be read: {error}") from error
    found: dict[str, dict[str, object]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        question_id, row = _row(line, where=f"annotations {path}, line {number}")
        if question_id in found:
            raise InputFileError(f"annotations {path}, line {number}: id {question_id!r} again")
        found[question_id] = row
    return found


def written_for(row: Mapping[str, object], question: Question) -> bool:
    """Whether a row says nothing else about its question than the question itself.

    Layout does not count, and what a row does not say does not either.
    """
    pairs = ((row.get("question"), question.question), (row.get("answer"), question.answer))
    return all(
        said is None or not str(said).strip() or str(said).split() == meant.split()
        for said, meant in pairs
    )


def _reasoning(row: Mapping[str, object]) -> str:
    return str(row["reasoning"]).strip()


def _row(line: str, *, where: str) -> tuple[str, dict[str, object]]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputFileError(f"{where} is not JSON: {error}") from error
    fields = [row.get("id"), row.get("reasoning")] if isinstance(row, dict) else [None, None]
    question_id, reasoning = fields
    if not isinstance(question_id, str) or not isinstance(reasoning, str):
        raise InputFileError(f"{where} needs the text fields 'id' and 'reasoning'")
    return question_id, row
