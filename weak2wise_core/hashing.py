"""Content hashes: the same value gives the same hash in every process and on every machine.

Only plain data has a content hash. Anything else is refused: falling back to pickle, as general
task engines do, makes keys that differ between processes.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from enum import Enum
from functools import cache
from pathlib import Path, PurePath
from typing import TypeAlias

from pydantic import BaseModel

Canonical: TypeAlias = "bool | int | float | str | list[Canonical] | dict[str, Canonical] | None"

_PLAIN = frozenset({type(None), bool, int, float, str})
_WALKED = 3
"""Levels of containers that are hashed item by item: arguments, tables by name, rows."""


def canonical(value: object) -> Canonical:
    """Turn records, settings and containers into plain JSON values.

    Args:
        value: None, bool, int, float, str, an enum, a path, a mapping with string keys, a sequence,
            a set of sortable values, a dataclass or a pydantic model; nested as deep as needed.

    Returns:
        The same content as None, bool, int, float, str, list and dict.

    Raises:
        TypeError: The value holds something whose content is not plain data.
    """
    if type(value) in _PLAIN:
        return value  # type: ignore[return-value]
    if isinstance(value, Enum):
        return canonical(value.value)
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, BaseModel):
        return canonical(value.model_dump(mode="json"))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: canonical(getattr(value, name)) for name in _names(type(value))}
    return _canonical_container(value)


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


def _canonical_container(value: object) -> Canonical:
    if isinstance(value, Mapping):
        return {str(key): canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((canonical(item) for item in value), key=_dumps)
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"a {type(value).__name__} has no content hash; pass plain data")


def _dumps(value: Canonical) -> str:
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def _pieces(value: object, *, walked: int) -> Iterator[str]:
    """The canonical JSON of a value; rows one by one, so that no long call holds other threads."""
    if walked and isinstance(value, list | tuple):
        items = (_pieces(item, walked=walked - 1) for item in value)
        yield from _joined("[", items, "]")
    elif walked and isinstance(value, Mapping):
        named = {str(key): item for key, item in value.items()}
        yield from _joined("{", (_pair(name, named[name], walked) for name in sorted(named)), "}")
    else:
        yield _dumps(canonical(value))


def _pair(name: str, value: object, walked: int) -> Iterator[str]:
    yield f"{_dumps(name)}:"
    yield from _pieces(value, walked=walked - 1)


def _joined(opening: str, items: Iterator[Iterator[str]], closing: str) -> Iterator[str]:
    yield opening
    for number, item in enumerate(items):
        if number:
            yield ","
        yield from item
    yield closing


def file_hash(path: Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_hash(*values: object) -> str:
    """SHA-256 of the canonical JSON of the values, as 64 hexadecimal digits.

    Raises:
        TypeError: A value is not plain data (see `canonical`).
        ValueError: A float is NaN or infinite.

    Example:
        >>> content_hash({"a": 1, "b": [2]}) == content_hash({"b": (2,), "a": 1})
        True
    """
    digest = hashlib.sha256()
    for piece in _pieces(values, walked=_WALKED):
        digest.update(piece.encode())
    return digest.hexdigest()
