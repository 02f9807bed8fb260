"""Laws of reading what people wrote."""

import json
from pathlib import Path

import pytest

from weak2wise_core.annotations import load_annotations
from weak2wise_core.errors import InputFileError


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
