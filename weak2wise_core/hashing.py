"""Content hashes: the same value gives the same hash in every process and on every machine.

Only plain data has a content hash. Anything else is refused: falling back to pickle, as general
task engines do, makes keys that differ between processes.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from enum import Enum
from pathlib import PurePath
from typing import TypeAlias

from pydantic import BaseModel

Canonical: TypeAlias = "bool | int | float | str | list[Canonical] | dict[str, Canonical] | None"


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
    if isinstance(value, Enum):
        return canonical(value.value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, BaseModel):
        return canonical(value.model_dump(mode="json"))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: canonical(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return _canonical_container(value)


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


def content_hash(*values: object) -> str:
    """SHA-256 of the canonical JSON of the values, as 64 hexadecimal digits.

    Raises:
        TypeError: A value is not plain data (see `canonical`).
        ValueError: A float is NaN or infinite.

    Example:
        >>> content_hash({"a": 1, "b": [2]}) == content_hash({"b": (2,), "a": 1})
        True
    """
    return hashlib.sha256(_dumps([canonical(value) for value in values]).encode()).hexdigest()
