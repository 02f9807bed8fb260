"""Laws of the documents: README says what the code says."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

import flows
import tasks
import testbed
import weak2wise_core
from flows.commands.app import app
from weak2wise_core.config import Recipe, Settings

DOCUMENTED = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module
PACKAGES = ("weak2wise_core", "testbed", "tasks", "flows")


@pytest.fixture(scope="module")
def readme(repository: Path) -> str:
    """The README."""
    return (repository / "README.md").read_text(encoding="utf-8")


def test_the_packages_come_from_this_checkout(repository: Path) -> None:
    """Common names such as `tasks` must not be shadowed by another installation."""
    for package in (weak2wise_core, testbed, tasks, flows):
        assert Path(package.__path__[0]).parent == repository


def departures(repository: Path) -> Iterator[str]:
    """A table row for every 'Departure:' of a docstring: module, and its first sentence."""
    for package in PACKAGES:
        for path in sorted((repository / package).rglob("*.py")):
            module = ".".join(path.relative_to(repository).with_suffix("").parts)
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, DOCUMENTED):
                    name = "" if isinstance(node, ast.Module) else f".{node.name}"
                    text = " ".join((ast.get_docstring(node) or "").split())
                    for found in re.findall(r"Departures?: (.+?[.])(?= [A-Z]|$)", text):
                        yield f"| `{module}{name}` | {found.replace('|', chr(92) + '|')} |"


def test_every_departure_from_the_paper_is_in_the_table(repository: Path, readme: str) -> None:
    """The table is built from the docstrings; a new departure must be added to it."""
    rows = list(departures(repository))
    assert len(rows) >= 10
    table = readme.partition("## Where we depart from the paper")[2]
    missing = [row for row in rows if row not in table]
    assert not missing, "add to README:\n" + "\n".join(missing)


def test_every_command_is_in_the_readme(readme: str) -> None:
    """A command that nobody can find does not exist."""
    for name in get_command(app).commands:  # type: ignore[attr-defined]
        assert f"weak2wise {name}" in readme


def test_every_recipe_section_is_in_the_readme(readme: str) -> None:
    """Each part of a recipe has its row."""
    for section in Recipe.model_fields:
        assert f"| `{section}` |" in readme


def all_settings(kind: type[Settings] = Settings) -> Iterator[type[Settings]]:
    """Every class of settings."""
    for child in kind.__subclasses__():
        yield child
        yield from all_settings(child)


def test_every_setting_says_what_it_decides() -> None:
    """Plain settings have a description; parts of a recipe have a docstring."""
    for kind in all_settings():
        assert kind.__doc__
        for name, field in kind.model_fields.items():
            is_part = isinstance(field.annotation, type) and issubclass(field.annotation, Settings)
            assert field.description or is_part, f"{kind.__name__}.{name} has no description"


def test_every_module_of_the_core_is_in_the_tree(repository: Path, readme: str) -> None:
    """The annotated tree names each file and folder of the core, and each package."""
    tree = readme.partition("## The tree")[2]
    for path in (repository / "weak2wise_core").iterdir():
        if path.name.startswith("_"):
            continue
        assert (f"{path.name}/" if path.is_dir() else path.name) in tree
    assert all(f"{package}/" in tree for package in PACKAGES)


def test_every_module_has_a_docstring_and_imports(repository: Path) -> None:
    """Each module opens with what it is for."""
    for package in PACKAGES:
        for path in sorted((repository / package).rglob("*.py")):
            if path.name == "__main__.py":
                continue
            module = ".".join(path.relative_to(repository).with_suffix("").parts)
            assert importlib.import_module(module.removesuffix(".__init__")).__doc__, module


def test_recipes_in_the_readme_are_valid(readme: str) -> None:
    """Whoever copies the recipe from README has a recipe."""
    import yaml

    (block,) = re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)
    assert Recipe.model_validate(yaml.safe_load(block)).dataset == "mine"
