"""Existing outputs of models: files of rows `{"id", "prompt", "response", "gold"}`.

A file holds JSON lines, one JSON list, Parquet or CSV. Rows of LLaMA-Factory, whose prompt and
response are called `content` and `output`, are read too. Texts and ids are kept as they stand.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from weak2wise_core.errors import InputFileError
from weak2wise_core.questions import BadRowError, answer_text, read_rows
from weak2wise_core.related.records import Response

Id: TypeAlias = str | int
"""An id as a file writes it; 7 and "7" are the same question."""

_FIELDS = {"prompt": "content", "response": "output"}
"""What a text is called, and what LLaMA-Factory calls it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A row that is no response."""

    file: str
    row: int
    """From 1, as the file counts them; a blank line is no row."""
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseFile:
    """The responses of one model: rows == len(responses) + len(bad)."""

    rows: int
    responses: tuple[Response, ...]
    """In the order of the file."""
    bad: tuple[BadRow, ...]
    ids: Mapping[str, Id]
    """The ids as they are written there."""


def read_responses(paths: Sequence[Path], *, repeated: bool = False) -> ResponseFile:
    """Read the responses of one model.

    Args:
        paths: Files, as if they were one.
        repeated: Whether a question may have several responses; they are its draws, in the order
            in which they are read.

    Returns:
        The responses. A row leaves by name: what `read_rows` names, `no_id`, `no_prompt`,
        `no_response`, `prompt_not_text`, `response_not_text`, `gold_not_text`, `lone_surrogate` (a
        text that UTF-8 cannot hold), or `duplicate_id`, of which the first is kept. An empty
        response is one.

    Raises:
        InputFileError: A file cannot be read, or no row of all can be used.
    """
    found: list[Response] = []
    bad: list[BadRow] = []
    ids: dict[str, Id] = {}
    draws: dict[str, int] = {}
    for path, number, row in _numbered(paths):
        try:
            response, written = _response(row, draws, repeated=repeated)
        except BadRowError as error:
            bad.append(BadRow(file=str(path), row=number, reason=error.reason, detail=str(error)))
        else:
            found.append(response)
            ids.setdefault(response.id, written)
            draws[response.id] = response.draw + 1
    if not found:
        raise InputFileError(_nothing_usable(paths, bad))
    return ResponseFile(rows=len(found) + len(bad), responses=tuple(found), bad=tuple(bad), ids=ids)


def read_any(path: Path) -> "Iterator[Mapping[str, object] | BadRowError]":
    """The rows of a file as `read_rows` gives them, or of one JSON list.

    Raises:
        InputFileError: See `read_rows`; or a `.json` file holds no list.
    """
    if path.suffix.lower() != ".json" or not path.is_file():
        yield from read_rows(path)
        return
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputFileError(f"file {path} cannot be read: {error}") from error
    if not isinstance(rows, list):
        raise InputFileError(
            f"file {path} holds a JSON {type(rows).__name__}; a list of objects is read, or one "
            "object a line in a .jsonl file"
        )
    for row in rows:
        yield row if isinstance(row, dict) else _no_object(row)


def _no_object(row: object) -> BadRowError:
    return BadRowError("not_an_object", f"the row is a JSON {type(row).__name__}, no object")


def _numbered(
    paths: Sequence[Path],
) -> "Iterator[tuple[Path, int, Mapping[str, object] | BadRowError]]":
    for path in paths:
        for number, row in enumerate(read_any(path), start=1):
            yield path, number, row


def _response(
    row: "Mapping[str, object] | BadRowError", draws: Mapping[str, int], *, repeated: bool
) -> tuple[Response, Id]:
    if isinstance(row, BadRowError):
        raise row
    written = row_id(row)
    draw = draws.get(str(written), 0)
    if draw and not repeated:
        raise BadRowError("duplicate_id", f"id {written!r} has a response already")
    response = Response(
        id=str(written),
        prompt=_text(row, "prompt"),
        response=_text(row, "response"),
        gold=_gold(row),
        draw=draw,
    )
    return response, written


def row_id(row: Mapping[str, object]) -> Id:
    """The id of a row as it is written.

    Raises:
        BadRowError: There is none.
    """
    value = row.get("id")
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise BadRowError("no_id", f"field 'id' is {value!r}; text or a whole number was expected")
    return _encodable(value, "id") if isinstance(value, str) else value


def _text(row: Mapping[str, object], field: str) -> str:
    other = _FIELDS[field]
    value = row[field] if field in row else row.get(other)
    if value is None:
        raise BadRowError(f"no_{field}", f"there is no field '{field}' (or '{other}')")
    if not isinstance(value, str):
        kind = type(value).__name__
        raise BadRowError(f"{field}_not_text", f"field '{field}' is a {kind}, text was expected")
    return _encodable(value, field)


def _encodable(text: str, field: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadRowError(
            "lone_surrogate", f"field '{field}' holds half of a surrogate pair, no character"
        ) from error
    return text


def _gold(row: Mapping[str, object]) -> str:
    value = row.get("gold")
    if value is None or value == "":
        return ""
    text = answer_text(value)
    if text is None:
        raise BadRowError("gold_not_text", f"field 'gold' is a {type(value).__name__}")
    return text


def _nothing_usable(paths: Sequence[Path], bad: Sequence[BadRow]) -> str:
    names = ", ".join(map(str, paths))
    if not bad:
        return f"file {names} is empty; it needs one response a row"
    first = bad[0]
    return (
        f"file {names} has {len(bad)} rows and none can be used; the first is row {first.row} of "
        f'{first.file}: {first.detail}. A row is {{"id", "prompt", "response", "gold"}}'
    )
