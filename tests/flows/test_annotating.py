"""Laws of `weak2wise annotate` that need no build; the others are in test_zero_scores.py."""

import csv
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.commands.annotating import write_copy
from flows.commands.app import app
from weak2wise_core.annotating import merge
from weak2wise_core.annotations import load_annotations
from weak2wise_core.errors import UsageError
from weak2wise_core.records import QueuedQuestion
from weak2wise_core.stores.parquet import read

QUEUE = [
    QueuedQuestion(id="a", question='-3 + x = 0.\nFind x, "quickly"; now.', answer="-3"),
    QueuedQuestion(id="b", question="=1+1 is what?", answer="2"),
]


def test_a_spreadsheet_takes_nothing_for_a_formula(tmp_path: Path) -> None:
    """Cells that begin like one get an apostrophe, and the merge knows the question again."""
    path = tmp_path / "fill.csv"
    write_copy(QUEUE, path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["question"][:2] for row in rows] == ["'-", "'="]
    for row in rows:
        row["reasoning"] = "So it is -3, or 2."
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, fieldnames=list(rows[0]), delimiter=";")
        table.writeheader()
        table.writerows(rows)
    found = merge(QUEUE, [path], into=tmp_path / "notes.jsonl")
    assert (found.new, found.refused) == (("a", "b"), ())
    assert set(load_annotations(tmp_path / "notes.jsonl")) == {"a", "b"}


@pytest.mark.parametrize("name", ["q.jsonl", "q.parquet", "q.csv"])
def test_an_unfilled_copy_merges_to_nothing(tmp_path: Path, name: str) -> None:
    """Every form of a copy is read back, and rows that nobody filled wait on."""
    write_copy(QUEUE, tmp_path / name)
    found = merge(QUEUE, [tmp_path / name], into=tmp_path / "notes.jsonl")
    assert (found.new, found.refused, found.waiting) == ((), (), ("a", "b"))
    assert not (tmp_path / "notes.jsonl").exists()
    if name == "q.parquet":
        assert read(tmp_path / name, QueuedQuestion) == QUEUE


def test_a_copy_never_replaces_somebodys_work(tmp_path: Path) -> None:
    """A file that is there may be half filled; an unknown ending is no guess."""
    write_copy(QUEUE, tmp_path / "q.csv")
    with pytest.raises(UsageError, match="somebody's work"):
        write_copy(QUEUE, tmp_path / "q.csv")
    with pytest.raises(UsageError, match=r"\.csv, \.jsonl or \.parquet"):
        write_copy(QUEUE, tmp_path / "q.xlsx")


@pytest.mark.parametrize("name", ["queue", "merge"])
def test_each_command_has_help_with_an_example(name: str) -> None:
    """`--help` shows how it is called."""
    result = CliRunner().invoke(app, ["annotate", name, "--help"])
    assert result.exit_code == 0
    assert f"weak2wise annotate {name}" in result.stdout.replace("\n", " ")
