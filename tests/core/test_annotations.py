"""Laws of reading what people wrote."""

import json
from pathlib import Path

import pytest

from weak2wise_core.annotations import annotations_of, load_annotations
from weak2wise_core.config import Recipe
from weak2wise_core.errors import InputFileError
from weak2wise_core.recipes import parse_recipe
from weak2wise_core.records import Question


def write(path: Path, *lines: str) -> Path:
    """A file of lines."""
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_filled_rows_are_read_and_empty_ones_wait(tmp_path: Path) -> None:
    """A queue may be filled in part."""
    rows = [{"id": "a", "reasoning": " Because. "}, {"id": "b", "reasoning": ""}]
    path = write(tmp_path / "q.jsonl", *map(json.dumps, rows), "")
    assert load_annotations(path) == {"a": "Because."}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("{", "line 2 is not JSON"),
        ("[" * 200_000, "line 2 is not JSON"),
        ("9" * 10_000, "line 2 is not JSON"),
        ('["a"]', "line 2 needs the text fields"),
        ('{"id": "b"}', "line 2 needs the text fields"),
        ('{"id": 5, "reasoning": "x"}', "line 2 needs the text fields"),
        ('{"id": "a", "reasoning": "again"}', "id 'a' again"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, line: str, found: str) -> None:
    """A person's slip is shown with its line."""
    path = write(tmp_path / "q.jsonl", '{"id": "a", "reasoning": "x"}', line)
    with pytest.raises(InputFileError, match=found):
        load_annotations(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The path stands in the message."""
    with pytest.raises(InputFileError, match=r"absent\.jsonl"):
        load_annotations(tmp_path / "absent.jsonl")


def recipe_with(annotations: Path, action: str = "annotate") -> Recipe:
    """A recipe that asks people."""
    zero = {"action": action}
    if action == "annotate":
        zero["annotations"] = str(annotations)
    return parse_recipe(
        {
            "dataset": "d",
            "questions": {"path": "q.jsonl"},
            "models": {
                "weak": {"backend": "testbed", "model": "weak"},
                "strong": [{"name": "a", "backend": "testbed", "model": "teacher-a"}],
            },
            "judging": {"method": "rule"},
            "truncation": {"method": "rule"},
            "zero_score": zero,
        }
    )


QUESTIONS = [Question(id=name, question=f"What is  {name}?", answer="42") for name in "ab"]


def test_a_build_uses_what_was_written_for_its_questions(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Reasoning for questions that a limited build leaves out does no harm; nor do blanks.

    Reasoning for another wording, or another answer, is left out and counted in the log.
    """
    rows = [
        {"id": "a", "reasoning": "So 42.", "question": "What is a?", "answer": "42"},
        {"id": "b", "reasoning": "So 41.", "question": "What is b?", "answer": "41"},
        {"id": "elsewhere", "reasoning": "So 42."},
        {"id": "waiting", "reasoning": ""},
    ]
    path = write(tmp_path / "notes.jsonl", *map(json.dumps, rows))
    assert annotations_of(recipe_with(path), QUESTIONS) == {"a": "So 42."}
    assert "1 belong to no question" in caplog.text
    assert "1 were written for another wording or answer" in caplog.text


def test_a_file_of_other_questions_is_an_error(tmp_path: Path) -> None:
    """Where no id fits, the wrong file was named: better no build than one without its people."""
    path = write(tmp_path / "notes.jsonl", json.dumps({"id": "z", "reasoning": "So 42."}))
    with pytest.raises(InputFileError, match="'z'"):
        annotations_of(recipe_with(path), QUESTIONS)


def test_other_actions_read_no_annotations(tmp_path: Path) -> None:
    """Only `annotate` uses what people wrote."""
    assert annotations_of(recipe_with(tmp_path / "n.jsonl", "keep"), QUESTIONS) == {}
