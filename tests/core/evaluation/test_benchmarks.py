"""Laws of reading benchmarks: the columns of public releases, and one clear sentence otherwise."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from weak2wise_core.config import BenchmarkKind, BenchmarkSettings, EvaluationSettings
from weak2wise_core.errors import InputFileError
from weak2wise_core.evaluation.benchmarks import Problem, load_benchmark
from weak2wise_core.evaluation.choices import LETTERS

GPQA = {
    "Question": "Which one?",
    "Correct Answer": "right\n",
    "Incorrect Answer 1": "wrong 1",
    "Incorrect Answer 2": "wrong 2",
    "Incorrect Answer 3": "wrong 3",
    "Record ID": "rec1",
    "Pre-Revision Question": "Which one was it?",
}


def lines(folder: Path, *rows: Any) -> Path:
    """A JSONL file."""
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(path: Path, kind: BenchmarkKind, **settings: Any) -> tuple[Problem, ...]:
    """The problems in a file."""
    return load_benchmark(BenchmarkSettings(kind=kind, path=path, **settings))


@pytest.mark.parametrize(
    "row",
    [
        {"ID": "2024-I-1", "Problem": "How many?", "Solution": "...", "Answer": 33},
        {"id": 60, "problem": "How many?", "answer": "033", "url": "", "year": "2024"},
        {"question": "How many?", "answer": "33.0"},
        {"problem": "How many?", "solution": "We count and get $\\boxed{33}$."},
    ],
)
def test_aime_is_read_in_the_columns_of_its_releases(tmp_path: Path, row: Any) -> None:
    """Whatever the columns are called, the answer is a whole number without leading zeros."""
    (problem,) = read(lines(tmp_path, row), BenchmarkKind.AIME)
    assert (problem.question, problem.gold) == ("How many?", "33")


@pytest.mark.parametrize("answer", ["1000", "9" * 5000, "-1", "3.5", "x", ""])
def test_aime_answers_are_whole_numbers_up_to_999(tmp_path: Path, answer: str) -> None:
    """Another answer belongs to another benchmark; the message names file, row and column."""
    rows = [{"problem": "a", "answer": "1"}, {"problem": "b", "answer": answer}]
    with pytest.raises(InputFileError, match=r"data\.jsonl, row 2: field 'answer'"):
        read(lines(tmp_path, *rows), BenchmarkKind.AIME)


def test_math500_is_read_from_parquet(tmp_path: Path) -> None:
    """The public release's columns; the answer is kept as it is written."""
    row = {"problem": "?", "solution": "s", "answer": r"\frac{1}{2}", "unique_id": "test/1.json"}
    path = tmp_path / "data.parquet"
    pq.write_table(pa.Table.from_pylist([row]), path)
    (problem,) = read(path, BenchmarkKind.MATH)
    assert (problem.id, problem.gold) == ("test/1.json", r"\frac{1}{2}")


def test_gpqa_shows_its_choices_in_an_order_of_their_own(tmp_path: Path) -> None:
    """The right choice stands under the letter that counts, the same in every run and file."""
    path = tmp_path / "data.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(GPQA))
        writer.writeheader()
        writer.writerows(
            GPQA | {"Record ID": f"r{n}", "Question": f"Which, {n}?"} for n in range(9)
        )
    problems = read(path, BenchmarkKind.GPQA)
    assert problems == read(path, BenchmarkKind.GPQA)
    assert all(one.choices[LETTERS.index(one.gold)] == "right" for one in problems)
    assert len({one.gold for one in problems}) > 1  # not always the same letter
    again = read(lines(tmp_path, GPQA | {"Question": "Which, 3?"}), BenchmarkKind.GPQA)
    assert again[0].choices == problems[3].choices
    assert problems[0].question == "Which, 0?"


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    """Settings name the columns where no release does."""
    row = {"q": "Which?", "a": "1", "b": "2", "c": "3", "d": "4", "key": 7}
    fields = {"question_field": "Q", "answer_field": "a", "id_field": "key"}
    wrong = ("b", "c", "d")
    (problem,) = read(lines(tmp_path, row), BenchmarkKind.GPQA, **fields, wrong_answer_fields=wrong)
    assert (problem.id, sorted(problem.choices)) == ("7", ["1", "2", "3", "4"])


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({"text": "?", "answer": 1}, "no field 'problem' or 'question'; it has 'text', 'answer'"),
        ({"problem": "?", "solution": "no"}, "field 'solution' states no final answer"),
        ({"problem": "?", "answer": None}, "field 'answer' is empty"),
        ({"problem": "?", "answer": [1]}, r"field 'answer' is \[1\]; text or a number"),
        ({"problem": "?", "gold": 1}, "no field 'answer' or 'solution'; .* Set answer_field"),
        ({"problem": "\ud83d", "answer": 1}, "field 'problem' holds half of a surrogate pair"),
        (["?"], "no object"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(tmp_path: Path, row: Any, found: str) -> None:
    """File, row, column, and the columns that there are."""
    path = lines(tmp_path, {"problem": "a", "answer": 1}, row)
    with pytest.raises(InputFileError, match=rf"data\.jsonl, row 2.*{found}"):
        read(path, BenchmarkKind.MATH)


def test_gpqa_needs_all_four_choices(tmp_path: Path) -> None:
    """The missing column is named, with those that there are."""
    row = {name: text for name, text in GPQA.items() if name != "Incorrect Answer 2"}
    with pytest.raises(
        InputFileError, match=r"row 1: no field 'incorrect answer 2'; it has .*'Que"
    ):
        read(lines(tmp_path, row), BenchmarkKind.GPQA)


def test_a_right_choice_is_no_wrong_one(tmp_path: Path) -> None:
    """Where both have one text, a model that names the other letter would be called wrong."""
    row = GPQA | {"Incorrect Answer 2": "right"}
    with pytest.raises(InputFileError, match="row 1: the correct answer 'right' is one of the"):
        read(lines(tmp_path, row), BenchmarkKind.GPQA)


def test_an_id_stands_for_one_question(tmp_path: Path) -> None:
    """Results are compared by id: two questions of one id cannot be."""
    rows = [{"id": 1, "problem": text, "answer": 1} for text in ("a", "b")]
    with pytest.raises(InputFileError, match="row 2: the id '1' belongs to an earlier row"):
        read(lines(tmp_path, *rows), BenchmarkKind.MATH)


def test_an_empty_file_is_no_benchmark(tmp_path: Path) -> None:
    """There is nothing to be right about."""
    with pytest.raises(InputFileError, match="empty"):
        read(lines(tmp_path), BenchmarkKind.MATH)


def test_only_the_first_questions(tmp_path: Path) -> None:
    """A limit takes rows from the beginning; rows without an id are numbered."""
    rows = [{"problem": str(n), "answer": n} for n in range(5)]
    problems = read(lines(tmp_path, *rows), BenchmarkKind.MATH, limit=2)
    assert [one.id for one in problems] == ["row-1", "row-2"]


def test_a_dataset_of_the_hub_is_read_by_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder in the hub's layout is read like a dataset of the hub; a missing split is named."""
    datasets = pytest.importorskip("datasets", reason="needs the extra eval")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "releases" / "aime"
    folder.mkdir(parents=True)
    (folder / "train.jsonl").write_text('{"ID": "a", "Problem": "How many?", "Answer": 33}\n')
    settings = {"kind": BenchmarkKind.AIME, "hub": str(folder)}
    (problem,) = load_benchmark(BenchmarkSettings.model_validate(settings))
    assert (problem.id, problem.gold) == ("a", "33")
    with pytest.raises(InputFileError, match="no split 'validation', only train"):
        load_benchmark(BenchmarkSettings.model_validate(settings | {"split": "validation"}))


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"benchmarks": [{"kind": "math500"}]}, "either path or hub"),
        ({"benchmarks": [{"kind": "math500", "path": "a.csv"}] * 2}, "different names"),
        ({"samples": 4, "temperature": 0}, "temperature 0"),
        (
            {"benchmarks": [{"kind": "aime24", "path": "a", "wrong_answer_fields": ["b"]}]},
            "gpqa_diamond only",
        ),
    ],
)
def test_settings_that_contradict_themselves(settings: Any, found: str) -> None:
    """What could not be meant is refused before anything is read."""
    with pytest.raises(ValidationError, match=found):
        EvaluationSettings.model_validate(settings)
