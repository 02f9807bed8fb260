"""Which files and folders a recipe may name.

A recipe may come from whoever can fill in a form on a server, and what its files hold is sent to
model providers. So a build reads only what lies in its working directory, in its data folder, in a
folder that whoever runs it lists in $WEAK2WISE_FOLDERS, or what a person typed on the command line,
where a recipe may also name what lies beside it. Links are followed before this is decided. Hidden
files, such as `.env`, lie in no folder but the one that is listed itself.
"""

import os
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from weak2wise_core.config import (
    Backend,
    ModelSpec,
    Recipe,
    Settings,
    W2SRRecipe,
    WeakToStrongRecipe,
)
from weak2wise_core.errors import RecipeError

AnyRecipe: TypeAlias = Recipe | W2SRRecipe | WeakToStrongRecipe

FOLDERS_VARIABLE = "WEAK2WISE_FOLDERS"


@dataclass(frozen=True, slots=True)
class _Typed:
    """What a person typed on the command line of this process."""

    folders: frozenset[Path] = frozenset()
    """Folders of recipes; a recipe may name what lies beside it."""
    paths: frozenset[Path] = frozenset()
    """Values of a recipe; each stands for itself alone."""


_NOTHING = _Typed()
_TYPED: ContextVar[_Typed] = ContextVar("weak2wise_typed_paths", default=_NOTHING)


def trust_command_line(recipe: Path, values: Iterable[str]) -> None:
    """Let a recipe read what a person typed, for the rest of this process.

    Args:
        recipe: The recipe's file; what lies beside it may be read.
        values: What was typed to replace values of the recipe, paths among them.
    """
    before = _TYPED.get()
    paths = {target for value in values if (target := _target(Path(value))) is not None}
    _TYPED.set(_Typed(before.folders | {recipe.parent.resolve()}, before.paths | paths))


def check_files(recipe: AnyRecipe, *, data: Path) -> None:
    """Make sure that a recipe names only files that it may read, before one is opened.

    Args:
        recipe: The recipe.
        data: The data folder of the build.

    Raises:
        RecipeError: It names others. The message says which, and how to allow them.
    """
    check_named(named_files(recipe), data=data)


def check_named(named: Iterable[tuple[str, Path]], *, data: Path) -> None:
    """Make sure that these files may be read.

    Args:
        named: Files and folders, with the key that names each.
        data: The data folder of the run.

    Raises:
        RecipeError: Some may not. The message says which, and how to allow them.
    """
    allowed = _allowed(data)
    faults = [
        f"  {field}: {path}{_leads_to(path)}"
        for field, path in named
        if not _may_read(path, allowed)
    ]
    if faults:
        raise RecipeError(_message(faults, data=data))


def named_files(recipe: AnyRecipe) -> Iterator[tuple[str, Path]]:
    """Every file and folder that a recipe names, with the key that names it; no hub ids."""
    yield from _paths(recipe, "")
    specs = dict(_specs(recipe))
    names = {f"{field}.tokenizer": spec.tokenizer for field, spec in specs.items()}
    names |= {
        f"{field}.model": spec.model
        for field, spec in specs.items()
        if spec.backend is Backend.TRANSFORMERS
        or (field == "models.weak" and spec.tokenizer is None)
    }
    names["training.model"] = recipe.training.model
    for field, name in names.items():
        if name is not None and is_path(name):
            yield field, Path(name)


def _specs(recipe: AnyRecipe) -> Iterator[tuple[str, ModelSpec]]:
    """Every model that a recipe specifies, with the key that names it."""
    if not isinstance(recipe, Recipe):
        for role, spec in recipe.models.specs().items():
            yield f"models.{role}", spec
        return
    models = recipe.models
    yield "models.weak", models.weak
    yield from ((f"models.strong.{n}", spec) for n, spec in enumerate(models.strong))
    others = {
        "models.judge": models.judge,
        "models.truncator": models.truncator,
        "selection.model": recipe.selection.model,
        "ablation.scorer": recipe.ablation.scorer,
    }
    yield from ((field, spec) for field, spec in others.items() if spec is not None)


def is_path(name: str) -> bool:
    """Whether the name of a model or tokenizer means a folder here, and not a hub id."""
    looks_like_one = name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name
    return looks_like_one or os.path.lexists(name)


def _paths(value: object, field: str) -> Iterator[tuple[str, Path]]:
    """Every path in settings, however deep: no field can be forgotten."""
    if isinstance(value, Path):
        yield field, value
    elif isinstance(value, tuple):
        for number, item in enumerate(value):
            yield from _paths(item, f"{field}.{number}")
    elif isinstance(value, Settings):
        for name in type(value).model_fields:
            yield from _paths(getattr(value, name), f"{field}.{name}" if field else name)


def _allowed(data: Path) -> frozenset[Path]:
    """Folders, absolute and free of links."""
    implied = {folder.resolve() for folder in (Path.cwd(), data, *_TYPED.get().folders)}
    listed = os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep)
    # services often run in the root of the disk, which must not mean that everything is allowed
    return frozenset(implied - {Path("/")} | {Path(one).resolve() for one in listed if one})


def _may_read(path: Path, allowed: frozenset[Path]) -> bool:
    target = _target(path)
    if target is None:
        return False
    return target in _TYPED.get().paths or any(_is_in(target, folder) for folder in allowed)


def _target(path: Path) -> Path | None:
    """Where a path leads once links and `..` are followed; None if it leads nowhere."""
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):  # links in a circle, a character no path can have
        return None


def _is_in(target: Path, folder: Path) -> bool:
    if not target.is_relative_to(folder):
        return False
    return not any(part.startswith(".") for part in target.relative_to(folder).parts)


def _leads_to(path: Path) -> str:
    target = _target(path)
    return "" if target in {path, None} else f" (leads to {target})"


def _message(faults: list[str], *, data: Path) -> str:
    return (
        "the recipe names files that it may not read:\n" + "\n".join(faults) + "\nA recipe may "
        f"read what lies in the working directory {Path.cwd()} or in the data folder {data}, "
        "hidden files excepted. Move them there, type them on the command line (--set KEY=PATH), "
        f"or list their folder in the environment variable {FOLDERS_VARIABLE} of whoever runs the "
        f"build (several, separated by {os.pathsep!r})"
    )
