"""Laws of results tables: every answer counts, no row is left out in silence."""

import json
from pathlib import Path
from typing import Any

import pytest

from weak2wise_core.errors import InputFileError
from weak2wise_core.records import Verdict
from weak2wise_core.teaching.results_files import read_results


def table(path: Path, rows: list[Any]) -> Path:
    """Rows as JSON lines."""
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        ({"correct": True}, Verdict.CORRECT),
        ({"correct": 0}, Verdict.INCORRECT),
        ({"correct": "False"}, Verdict.INCORRECT),
        ({"result": True}, Verdict.CORRECT),
        ({"verdict": "unjudged"}, Verdict.UNJUDGED),
    ],
)
def test_an_answer_is_right_wrong_or_unjudged(
    tmp_path: Path, row: dict[str, Any], verdict: Verdict
) -> None:
    """In every spelling; wrong is not unjudged."""
    (found,) = read_results(table(tmp_path / "t.jsonl", [{"id": 1, **row}])).benchmarks
    assert [item.verdicts for item in found.items] == [(verdict,)]
    assert found.name == "items"


def test_rows_of_one_question_are_its_samples_within_a_benchmark(tmp_path: Path) -> None:
    """The same id in two benchmarks is two questions."""
    rows = [
        {"id": 1, "correct": True, "benchmark": "a"},
        {"id": 1, "correct": False, "benchmark": "a"},
        {"id": 1, "correct": True},
    ]
    found = read_results(table(tmp_path / "t.jsonl", rows), benchmark="b").benchmarks
    assert {one.name: one.accuracy for one in found} == {"a": 0.5, "b": 1.0}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"id": 1, "correct": True}, {"id": 2}], r"row 2: field 'correct' is None"),
        ([{"id": 1, "correct": 0.5}], r"row 1: field 'correct' is 0.5"),
        ([{"id": 1, "correct": []}], "row 1"),
        ([{"correct": True}], "row 1: field 'id'"),
        ([5], "row 1"),
        ([], "is empty"),
    ],
)
def test_a_row_that_is_no_result_is_refused_by_name(
    tmp_path: Path, rows: list[Any], message: str
) -> None:
    """A question that is left out would change every figure."""
    with pytest.raises(InputFileError, match=message):
        read_results(table(tmp_path / "t.jsonl", rows))


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    """It says what was expected."""
    with pytest.raises(InputFileError, match="holds no results of `weak2wise evaluate`"):
        read_results(tmp_path)
