"""What the pages take from elsewhere, so that it stands in one place only.

A page asks with a line of its own: `<!-- recipe reference -->` becomes tables of every setting,
from the settings' own descriptions; `<!-- README: Title -->` becomes that section of README.md.
MkDocs calls `on_page_markdown`.
"""

import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from weak2wise_core.config import Recipe, Settings
from weak2wise_core.config.related import W2SRRecipe, WeakToStrongRecipe

_RECIPES: dict[str, type[Settings]] = {
    "": Recipe,
    "w2sr": W2SRRecipe,
    "weak-to-strong": WeakToStrongRecipe,
}
"""What a recipe can be; the places of the related methods begin with the name of their command."""

REPOSITORY = Path(__file__).parents[2]
_REFERENCE = "<!-- recipe reference -->"
_README = re.compile(r"^<!-- README: (?P<title>.+?) -->$", re.MULTILINE)
_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put in what a page asks for.

    Raises:
        LookupError: README.md has no section of that title.
    """
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    filled = _README.sub(lambda found: section(readme, found["title"]), markdown)
    return filled.replace(_REFERENCE, recipe_reference())


def section(text: str, title: str) -> str:
    """What stands between a heading `## title` and the next one of its rank.

    Raises:
        LookupError: There is no such heading, or nothing below it.
    """
    pattern = rf"^## {re.escape(title)}\n(?P<body>.*?)(?=^## |\Z)"
    found = re.search(pattern, text, re.MULTILINE | re.DOTALL)
    if found is None or not found["body"].strip():
        raise LookupError(
            f"README.md has no section '## {title}', which a page of docs/ shows; "
            "correct the title in that page"
        )
    return found["body"].strip()


def recipe_reference() -> str:
    """Every setting of a recipe with type, bounds, default and description, in Markdown."""
    return "\n\n".join(_part(name, kind) for name, kind in parts().items())


def parts() -> dict[str, type[Settings]]:
    """Every class of settings below a recipe, under where it stands there, nearest first."""
    found = dict(_RECIPES)
    waiting = list(_RECIPES.items())
    while waiting:
        place, kind = waiting.pop(0)
        for name in own_fields(kind):
            for child in _settings_in(kind.model_fields[name].annotation):
                path = f"{place}.{name}".lstrip(".")
                if child not in found.values():
                    found[path] = child
                    waiting.append((path, child))
    return found


def own_fields(kind: type[Settings]) -> list[str]:
    """The settings of a class that its base class lacks, as written."""
    inherited = {name for base in kind.__bases__ for name in getattr(base, "model_fields", ())}
    return [name for name in kind.model_fields if name not in inherited]


def _part(place: str, kind: type[Settings]) -> str:
    heading = f"## `{place}`" if place else "## The whole recipe"
    rows = [_row(name, kind.model_fields[name]) for name in own_fields(kind)]
    table = ["| setting | type | default | what it decides |", "| --- | --- | --- | --- |", *rows]
    return "\n\n".join([heading, _introduction(kind), "\n".join(table)])


def _introduction(kind: type[Settings]) -> str:
    first = " ".join((kind.__doc__ or "").strip().partition("\n\n")[0].split())
    base = _place_of(kind.__bases__[0])
    return f"{first} It has every setting of {base}, and:" if base else first


def _place_of(kind: type) -> str:
    return next((f"`{place}`" for place, known in parts().items() if known is kind), "")


def _row(name: str, field: FieldInfo) -> str:
    children = list(_settings_in(field.annotation))
    description = field.description or _first_line(children[0])
    cells = (f"`{name}`", _spelled(field.annotation) + _bounds(field), _default(field), description)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _first_line(kind: type[Settings]) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, Settings):
        return "its defaults"
    if isinstance(value, Enum):
        return f"`{value.value}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(str(getattr(one, 'value', one)) for one in value)}]`"
    return {None: "absent", True: "`true`", False: "`false`", "": "empty"}.get(
        value if isinstance(value, str | bool | NoneType) else "-", f"`{value}`"
    )


def _spelled(kind: Any) -> str:
    origin, inside = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _spelled(inside[0])
    if origin in (Union, UnionType):
        return " or ".join(_spelled(one) for one in inside if one is not NoneType)
    if origin is Literal:
        return ", ".join(f"`{one}`" for one in inside)
    if origin is tuple:
        return f"list of {_spelled(inside[0])}"
    if origin is dict or not isinstance(kind, type):
        return "mapping"
    return _named(kind)


def _named(kind: type) -> str:
    if issubclass(kind, Enum):
        return ", ".join(f"`{member.value}`" for member in kind)
    if issubclass(kind, Settings):
        return f"settings as {_place_of(kind)}"
    names = {int: "whole number", float: "number", str: "text", bool: "true or false", Path: "path"}
    return names[kind]


def _bounds(field: FieldInfo) -> str:
    inner = [item for one in _annotations(field.annotation) for item in one]
    said = [
        f"{words} {getattr(item, bound)}"
        for item in (*field.metadata, *_constraints(inner))
        for bound, words in _BOUNDS.items()
        if getattr(item, bound, None) is not None
    ]
    return "".join(f", {one}" for one in said)


def _annotations(kind: Any) -> Iterator[tuple[Any, ...]]:
    if get_origin(kind) is Annotated:
        yield get_args(kind)[1:]
    elif get_origin(kind) in (Union, UnionType):
        for one in get_args(kind):
            yield from _annotations(one)


def _constraints(items: list[Any]) -> Iterator[Any]:
    for item in items:
        yield from item.metadata if isinstance(item, FieldInfo) else (item,)


def _settings_in(kind: Any) -> Iterator[type[Settings]]:
    if isinstance(kind, type) and issubclass(kind, Settings):
        yield kind
    for one in get_args(kind):
        yield from _settings_in(one)
