"""Reasoning that a person wrote for questions no candidate helps with (section 3.5)."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from weak2wise_core.config import Recipe, ZeroScoreAction
from weak2wise_core.errors import InputFileError
from weak2wise_core.records import Question


def annotations_of(recipe: Recipe, questions: Iterable[Question]) -> Mapping[str, str]:
    """The reasoning that people wrote for questions of a build, by id; empty where none is named.

    Raises:
        InputFileError: The file cannot be used, or has an id that belongs to no question.
    """
    path = recipe.zero_score.annotations
    if recipe.zero_score.action is not ZeroScoreAction.ANNOTATE or path is None:
        return {}
    found = load_annotations(path)
    if unknown := sorted(set(found) - {question.id for question in questions}):
        raise InputFileError(
            f"annotations {path}: {len(unknown)} ids belong to no question, first {unknown[0]!r}"
        )
    return found


def load_annotations(path: Path) -> dict[str, str]:
    """Read a queue file that a person filled in.

    Args:
        path: A JSONL file with `id` and `reasoning`; rows whose reasoning is empty still wait.

    Returns:
        The reasoning by question id.

    Raises:
        InputFileError: The file cannot be read, a line is malformed, or an id stands there twice.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputFileError(f"annotations {path} cannot be read: {error}") from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        question_id, reasoning = _row(line, where=f"annotations {path}, line {number}")
        if question_id in found:
            raise InputFileError(f"annotations {path}, line {number}: id {question_id!r} again")
        if reasoning.strip():
            found[question_id] = reasoning.strip()
    return found


def _row(line: str, *, where: str) -> tuple[str, str]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputFileError(f"{where} is not JSON: {error}") from error
    fields = [row.get("id"), row.get("reasoning")] if isinstance(row, dict) else [None, None]
    question_id, reasoning = fields
    if not isinstance(question_id, str) or not isinstance(reasoning, str):
        raise InputFileError(f"{where} needs the text fields 'id' and 'reasoning'")
    return question_id, reasoning
