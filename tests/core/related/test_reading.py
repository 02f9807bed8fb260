"""Laws of reading existing outputs: texts untouched, every malformed row named."""

import json
from pathlib import Path
from typing import Any

import pytest

from weak2wise_core.errors import InputFileError
from weak2wise_core.related.reading import read_responses

ROW: dict[str, Any] = {"id": 7, "prompt": " p\n", "response": " r é\n", "gold": 3}


def write(path: Path, rows: list[Any]) -> Path:
    """Rows as JSON lines, or as one list."""
    lines = "\n".join(json.dumps(row) for row in rows)
    path.write_text(json.dumps(rows) if path.suffix == ".json" else lines, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
@pytest.mark.parametrize(
    "row", [ROW, {"id": 7, "content": " p\n", "output": " r é\n", "gold": "3"}]
)
def test_texts_and_ids_are_read_as_they_stand(tmp_path: Path, name: str, row: object) -> None:
    """In both kinds of file, and under the names of LLaMA-Factory."""
    found = read_responses([write(tmp_path / name, [row])])
    (one,) = found.responses
    assert (one.id, one.prompt, one.response, one.gold) == ("7", " p\n", " r é\n", "3")
    assert found.ids == {"7": 7}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id": None}, "no_id"),
        ({"id": True}, "no_id"),
        ({"id": " "}, "no_id"),
        ({"prompt": None}, "no_prompt"),
        ({"prompt": 5}, "prompt_not_text"),
        ({"response": None}, "no_response"),
        ({"response": ["r"]}, "response_not_text"),
        ({"gold": [3]}, "gold_not_text"),
        ({"id": "7\ud83d"}, "lone_surrogate"),
        ({"prompt": "p\ud83d"}, "lone_surrogate"),
        ({"response": "r\udc00"}, "lone_surrogate"),
        ({"id": "7"}, "duplicate_id"),
    ],
)
def test_a_malformed_row_is_named(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    """With its place; the others are read."""
    found = read_responses([write(tmp_path / "a.jsonl", [ROW, ROW | {"id": 8} | change])])
    assert [(bad.row, bad.reason) for bad in found.bad] == [(2, reason)]
    assert (found.rows, len(found.responses)) == (2, 1)


@pytest.mark.parametrize("row", ["text", 5, None, []])
def test_a_row_that_is_no_object_is_named(tmp_path: Path, row: object) -> None:
    """In a list as in lines."""
    for name in ("a.json", "a.jsonl"):
        found = read_responses([write(tmp_path / name, [ROW, row])])
        assert [bad.reason for bad in found.bad] == ["not_an_object"]


def test_an_empty_response_is_one(tmp_path: Path) -> None:
    """A model that said nothing answered nothing; that is no fault of the file."""
    found = read_responses([write(tmp_path / "a.json", [ROW | {"response": ""}])])
    assert [one.response for one in found.responses] == [""]


def test_repeated_responses_are_draws_across_files(tmp_path: Path) -> None:
    """Several files of samples are read as one."""
    paths = [write(tmp_path / name, [ROW, ROW | {"id": 8}]) for name in ("a.jsonl", "b.json")]
    found = read_responses(paths, repeated=True)
    assert [(one.id, one.draw) for one in found.responses] == [
        ("7", 0),
        ("8", 0),
        ("7", 1),
        ("8", 1),
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "{}", "holds a JSON dict"),
        ("a.json", "[1", "cannot be read"),
        ("a.json", "[]", "is empty"),
        ("a.jsonl", "", "is empty"),
        ("a.jsonl", "{}\n{}", r"has 2 rows and none can be used; the first is row 1 of"),
        ("a.txt", "x", "is not a .jsonl"),
    ],
)
def test_a_file_without_responses_is_refused(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    """The message says what was found, and where."""
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(InputFileError, match=message):
        read_responses([tmp_path / name])
