"""Laws of results tables: every answer counts, no row is left out in silence."""

import json
from pathlib import Path
from typing import Any

import pytest

from weak2wise_core.config import W2SRRecipe
from weak2wise_core.errors import InputFileError, UsageError
from weak2wise_core.records import Verdict
from weak2wise_core.teaching.results_files import read_results, reinforced_results


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


def recipe_with(results: Path, folder: Path) -> W2SRRecipe:
    """A recipe with these results and a benchmark of two questions."""
    problems = [{"id": number, "problem": "1 + 1?", "answer": "2"} for number in (1, 2)]
    benchmark = table(folder / "benchmark.jsonl", problems)
    local = {"backend": "transformers", "model": "m"}
    return W2SRRecipe.model_validate(
        {
            "dataset": "d",
            "questions": {"path": "q.jsonl"},
            "models": {"teacher": local, "student": local},
            "recovery": {"reinforced_results": str(results)},
            "evaluation": {"benchmarks": [{"kind": "aime24", "path": str(benchmark)}]},
        }
    )


def test_a_table_stands_in_for_the_reinforced_student(tmp_path: Path) -> None:
    """Its rows are about the recipe's benchmark; about other questions they are refused."""
    rows = [{"id": 1, "correct": True}, {"id": 2, "correct": False}]
    whole = recipe_with(table(tmp_path / "whole.jsonl", rows), tmp_path)
    found = reinforced_results(whole)
    assert found is not None
    assert {one.name: one.accuracy for one in found.benchmarks} == {"aime24": 0.5}
    half = recipe_with(table(tmp_path / "half.jsonl", rows[:1]), tmp_path)
    with pytest.raises(UsageError, match="aime24: the two models were asked different questions"):
        reinforced_results(half)
    without = whole.model_copy(update={"recovery": type(whole.recovery)()})
    assert reinforced_results(without) is None
