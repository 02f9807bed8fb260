"""Plain values, as files hold them, become records."""

import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, TypeAlias, Union, get_args, get_origin, get_type_hints

Converter: TypeAlias = Callable[[Any], Any]


def maker(record_type: type[Any]) -> Converter:
    """What turns the plain values of one record, by the names of its fields, into the record."""
    hints = get_type_hints(record_type)
    converters = {field.name: _converter(hints[field.name]) for field in fields(record_type)}

    def make(row: Mapping[str, Any]) -> Any:
        return record_type(**{name: convert(row[name]) for name, convert in converters.items()})

    return make


def _converter(hint: Any) -> Converter:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        inner = _converter(next(item for item in arguments if item is not types.NoneType))
        return lambda value: None if value is None else inner(value)
    if origin is tuple:
        inner = _converter(arguments[0])
        return lambda values: tuple(map(inner, values))
    if isinstance(hint, type) and is_dataclass(hint):
        return maker(hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint
    return _as_it_is


def _as_it_is(value: Any) -> Any:
    return value
