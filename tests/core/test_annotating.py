"""Laws of merging what people wrote: nothing is lost, and what cannot be used is named."""

import csv
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.core.dataset.test_publishing import contents
from weak2wise_core.annotating import LONGEST, merge
from weak2wise_core.annotations import load_annotations
from weak2wise_core.dataset.publishing import publish
from weak2wise_core.dataset.reading import open_dataset
from weak2wise_core.errors import InputFileError, UsageError
from weak2wise_core.records import Question, QueuedQuestion
from weak2wise_core.stores.parquet import write

QUEUE = [
    QueuedQuestion(id=name, question=f"What is {name} and two?", answer="42")
    for name in ("a", "b", "c", "7")
]


def jsonl(path: Path, *rows: dict[str, Any]) -> Path:
    """A filled queue as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_a_queue_may_come_back_in_any_format(tmp_path: Path, kind: str) -> None:
    """Filled rows are merged, empty ones wait, and a spreadsheet's numbers are ids again."""
    notes = {"a": "So it is 42.", "b": "", "7": "It is 42, too."}
    rows = [
        {
            "id": one.id,
            "question": one.question,
            "answer": one.answer,
            "reasoning": notes.get(one.id, ""),
        }
        for one in QUEUE
    ]
    path = tmp_path / f"filled.{kind}"
    if kind == "jsonl":
        jsonl(path, *[row | {"id": 7} if row["id"] == "7" else row for row in rows])
    elif kind == "csv":
        with path.open("w", newline="") as file:
            table = csv.DictWriter(file, fieldnames=list(rows[0]))
            table.writeheader()
            table.writerows(rows)
    else:
        write(path, [QueuedQuestion(**row) for row in rows], QueuedQuestion)
    found = merge(QUEUE, [path], into=tmp_path / "notes.jsonl")
    assert load_annotations(tmp_path / "notes.jsonl") == {"a": notes["a"], "7": notes["7"]}
    assert (found.new, found.waiting, found.refused) == (("a", "7"), ("b", "c"), ())


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"id": "zz", "reasoning": "42"}, "unknown_id"),
        ({"id": None, "reasoning": "42"}, "no_id"),
        ({"id": "a", "reasoning": 42}, "not_text"),
        ({"id": "a", "reasoning": ["42"]}, "not_text"),
        ({"id": "a", "reasoning": "42", "question": "What else?"}, "question_changed"),
        ({"id": "a", "reasoning": "43", "answer": "43"}, "answer_changed"),
        ({"id": "a", "reasoning": "4" * (LONGEST + 1)}, "too_long"),
        ({"id": "a", "reasoning": "It is 42 </think> 42"}, "control_token"),
        ({"id": "a", "reasoning": "<|im_end|> 42"}, "control_token"),
        ({"id": "a", "reasoning": "half of \ud83d, so 42"}, "character"),
        ({"id": "a", "reasoning": "back\u202ewards 42"}, "character"),
    ],
)
def test_an_unusable_row_is_named_and_the_others_are_merged(
    tmp_path: Path, row: dict[str, Any], reason: str
) -> None:
    """The refusal says where; the row after it counts all the same."""
    filled = jsonl(tmp_path / "filled.jsonl", row, {"id": "b", "reasoning": "It is 42."})
    found = merge(QUEUE, [filled], into=tmp_path / "notes.jsonl")
    (refused,) = found.refused
    assert (refused.reason.value, "row 1" in refused.where) == (reason, True)
    assert found.new == ("b",)
    assert found.as_dict()["refused"] == {reason: 1}


def test_merging_again_changes_no_byte(tmp_path: Path) -> None:
    """The same files give the same annotations."""
    filled = jsonl(tmp_path / "filled.jsonl", {"id": "a", "reasoning": "It is 42."})
    into = tmp_path / "notes" / "notes.jsonl"
    merge(QUEUE, [filled], into=into)
    before = into.read_bytes()
    again = merge(QUEUE, [filled], into=into)
    assert into.read_bytes() == before
    assert (again.new, again.kept) == ((), ("a",))


def test_earlier_reasoning_is_never_lost(tmp_path: Path) -> None:
    """Another reasoning for an id is a conflict, unless replacing was asked for.

    Ids that no longer wait stay in the file.
    """
    into = jsonl(
        tmp_path / "notes.jsonl", {"id": "a", "reasoning": "Old."}, {"id": "old", "reasoning": "X."}
    )
    filled = jsonl(tmp_path / "filled.jsonl", {"id": "a", "reasoning": "New: 42."})
    found = merge(QUEUE, [filled], into=into)
    assert [row.reason.value for row in found.refused] == ["conflict"]
    assert load_annotations(into) == {"a": "Old.", "old": "X."}
    found = merge(QUEUE, [filled], into=into, replace=True)
    assert (found.replaced, found.refused) == (("a",), ())
    assert load_annotations(into) == {"a": "New: 42.", "old": "X."}


def test_two_people_who_disagree_are_a_conflict_even_when_replacing(tmp_path: Path) -> None:
    """Which of two new reasonings is meant is for people to say."""
    filled = [
        jsonl(tmp_path / f"{name}.jsonl", {"id": "a", "reasoning": f"{name} says 42."})
        for name in ("ann", "bob")
    ]
    found = merge(QUEUE, filled, into=tmp_path / "notes.jsonl", replace=True)
    assert [row.reason.value for row in found.refused] == ["conflict"]
    assert load_annotations(tmp_path / "notes.jsonl") == {"a": "ann says 42."}


def test_reasoning_without_the_answer_is_used_and_pointed_out(tmp_path: Path) -> None:
    """A person may be right in other words; somebody should look."""
    filled = jsonl(tmp_path / "filled.jsonl", {"id": "a", "reasoning": "Add them up."})
    found = merge(QUEUE, [filled], into=tmp_path / "notes.jsonl")
    assert (found.new, found.without_answer) == (("a",), ("a",))


def test_a_file_without_the_columns_is_one_error(tmp_path: Path) -> None:
    """The message names what is missing and what is there; nothing is written."""
    filled = jsonl(tmp_path / "filled.jsonl", {"id": "a", "note": "42"})
    with pytest.raises(InputFileError, match="no reasoning, only id, note"):
        merge(QUEUE, [filled], into=tmp_path / "notes.jsonl")
    assert not (tmp_path / "notes.jsonl").exists()


def test_merging_again_after_the_next_build_changes_no_byte(tmp_path: Path) -> None:
    """What was merged waits no more in the next dataset; merging it again is no fault."""
    filled = jsonl(tmp_path / "filled.jsonl", {"id": "a", "reasoning": "It is 42."})
    into = tmp_path / "notes.jsonl"
    merge(QUEUE, [filled], into=into)
    before = into.read_bytes()
    others = [Question(id=QUEUE[0].id, question=QUEUE[0].question, answer=QUEUE[0].answer)]
    again = merge(QUEUE[1:], [filled], into=into, others=others)
    assert (again.refused, again.kept) == ((), ("a",))
    assert into.read_bytes() == before


def test_reasoning_that_is_in_use_can_be_corrected(tmp_path: Path) -> None:
    """A question that no longer waits has a row of its own; one that never waited gets none."""
    others = [Question(id=one.id, question=one.question, answer=one.answer) for one in QUEUE[:2]]
    into = jsonl(tmp_path / "notes.jsonl", {"id": "a", "reasoning": "Old."})
    filled = jsonl(
        tmp_path / "filled.jsonl",
        {"id": "a", "reasoning": "Better: 42."},
        {"id": "b", "reasoning": "Nobody asked: 42."},
    )
    found = merge(QUEUE[2:], [filled], into=into, others=others, replace=True)
    assert found.replaced == ("a",)
    assert [row.reason.value for row in found.refused] == ["not_waiting"]
    assert load_annotations(into) == {"a": "Better: 42."}


def test_earlier_rows_stay_as_they_are(tmp_path: Path) -> None:
    """Fields that people added, and rows that still wait, are written back."""
    rows = [
        {"id": "old", "reasoning": "X.", "author": "ann", "question": "Gone?"},
        {"id": "b", "reasoning": "", "question": QUEUE[1].question, "answer": "42"},
    ]
    into = jsonl(tmp_path / "notes.jsonl", *rows)
    filled = jsonl(tmp_path / "filled.jsonl", {"id": "a", "reasoning": "It is 42."})
    merge(QUEUE, [filled], into=into)
    lines = [json.loads(line) for line in into.read_text().splitlines()]
    assert lines[:2] == rows
    assert lines[2]["answer"] == "42"


def test_an_unreadable_line_costs_itself(tmp_path: Path) -> None:
    """A line that is no JSON is named with its place; the one after it is merged."""
    filled = tmp_path / "filled.jsonl"
    filled.write_text('{"id": "a"\n' + json.dumps({"id": "b", "reasoning": "It is 42."}) + "\n")
    found = merge(QUEUE, [filled], into=tmp_path / "notes.jsonl")
    (row,) = found.refused
    assert (row.reason.value, "row 1" in row.where) == ("unreadable", True)
    assert found.new == ("b",)


def test_a_spreadsheet_with_semicolons_and_apostrophes_is_read(tmp_path: Path) -> None:
    """Where a comma is a decimal sign, fields end at `;`; an apostrophe guards a formula."""
    queue = [QueuedQuestion(id="m", question="-3 + x = 0, find x", answer="3")]
    filled = tmp_path / "filled.csv"
    filled.write_text(
        "id;question;answer;reasoning\r\nm;'-3 + x = 0, find x;3;So x is 3.\r\n", "utf-8-sig"
    )
    assert merge(queue, [filled], into=tmp_path / "notes.jsonl").new == ("m",)


def test_people_who_merge_at_once_lose_nothing(tmp_path: Path) -> None:
    """Each merge reads what the one before has written."""
    queue = [QueuedQuestion(id=str(n), question="What?", answer="42") for n in range(40)]
    into = tmp_path / "notes.jsonl"
    filled = [
        jsonl(tmp_path / f"{n}.jsonl", {"id": str(n), "reasoning": "It is 42."}) for n in range(40)
    ]
    people = [
        threading.Thread(target=lambda path=path: merge(queue, [path], into=into))
        for path in filled
    ]
    for one in people:
        one.start()
    for one in people:
        one.join()
    assert len(load_annotations(into)) == 40


@pytest.mark.parametrize("name", ["notes.jsonl", "train.jsonl", "deeper/notes.jsonl"])
@pytest.mark.parametrize("way", [".", "../latest"])
def test_a_published_dataset_takes_no_annotations(tmp_path: Path, name: str, way: str) -> None:
    """A version never changes, reached by its name or through `latest`: nothing is written."""
    folder = publish(contents(), root=tmp_path / "datasets").folder
    before = sorted(folder.rglob("*"))
    filled = jsonl(tmp_path / "filled.jsonl", {"id": "a", "reasoning": "42"})
    with pytest.raises(UsageError, match=rf"published dataset .*{folder.name}, which"):
        merge(QUEUE, [filled], into=folder / way / name)
    assert sorted(folder.rglob("*")) == before
    open_dataset(folder).verify()
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format": "an older one"}))
    with pytest.raises(UsageError, match="published dataset"):
        merge(QUEUE, [filled], into=folder / way / name)


def test_annotations_may_lie_beside_versions_and_other_manifests(tmp_path: Path) -> None:
    """Only a folder that is a dataset is closed."""
    folder = publish(contents(), root=tmp_path / "datasets").folder
    filled = jsonl(tmp_path / "filled.jsonl", {"id": "a", "reasoning": "42"})
    (tmp_path / "manifest.json").write_text("{}")
    for into in (folder.parent / "notes.jsonl", tmp_path / "notes.jsonl"):
        assert merge(QUEUE, [filled], into=into).new == ("a",)
