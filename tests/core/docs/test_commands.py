"""Laws of the commands in the pages: each one exists, with its options, as it is written."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.exceptions import TyperException
from typer.main import get_command

from flows.commands.app import app
from tests.core.docs.pages import PAGES, Command, blocks, commands
from weak2wise_core.config import Recipe
from weak2wise_core.config.related import W2SRRecipe, WeakToStrongRecipe

RECIPES = (Recipe, W2SRRecipe, WeakToStrongRecipe)
KINDS = {"sh", "{ .sh .run }", "pycon", "yaml", "text"}


def check_weak2wise(words: tuple[str, ...]) -> None:
    """Take a line apart as the command line would, arguments missing or left over included."""
    found: Any = get_command(app)
    rest = list(words[1:])
    while hasattr(found, "commands"):
        assert rest[0] in found.commands, f"{words}: there is no command {rest[0]}"
        found = found.commands[rest.pop(0)]
    with found.context_class(found) as context:
        given, left, _ = found.make_parser(context).parse_args(rest)
        check_values(found.params, given, context)
    assert not left, f"{words}: {left} is too much"
    missing = [one.name for one in found.params if one.required and given.get(one.name) is None]
    assert not missing, f"{words}: {missing} missing"


def check_values(params: list[Any], given: dict[str, Any], context: Any) -> None:
    """Numbers and choices are ones that the command takes; files need not be there."""
    for one in params:
        if one.name in given and one.bare_type is not Path:
            one.process_value(context, given[one.name])
    for change in given.get("set_") or ():
        assert_setting(change.partition("=")[0])


def assert_setting(path: str) -> None:
    """A dotted name leads to a setting of a recipe, of a build or of a related method.

    Raises:
        AssertionError: It does not.
    """
    assert any(leads(kind, path.split(".")) for kind in RECIPES), f"there is no {path}"


def leads(kind: Any, names: list[str]) -> bool:
    """Whether names lead from settings to settings to a setting."""
    first, *others = names
    if first not in getattr(kind, "model_fields", ()):
        return False
    return not others or leads(kind.model_fields[first].annotation, others)


def check(command: Command, repository: Path) -> None:
    """Whether a line of a page names what exists.

    Raises:
        AssertionError: It does not.
    """
    if command.words[0] == "weak2wise":
        check_weak2wise(command.words)
    elif command.words[0] == "make":
        targets = re.findall(r"^(\w+):", (repository / "Makefile").read_text(), re.MULTILINE)
        assert set(command.words[1:]) <= set(targets)
    else:
        assert command.words[:5] == ("pip", "install", "-c", "constraints.txt", "-e")
        project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
        extras = re.fullmatch(r"\.\[(.+)\]", command.words[5])
        assert extras
        assert set(extras[1].split(",")) <= set(project["optional-dependencies"])


def test_every_command_exists_with_its_options(repository: Path) -> None:
    """A line that was copied from a page is understood by the program it names."""
    found = list(commands())
    assert len(found) > 30
    for command in found:
        check(command, repository)


@pytest.mark.parametrize(
    "line",
    [
        "weak2wise bild recipe.yaml",
        "weak2wise build recipe.yaml --limt 3",
        "weak2wise build recipe.yaml --limit three",
        "weak2wise build recipe.yaml --set step_mask.bta=0.7",
        "weak2wise build",
        "weak2wise mask a.txt b.txt",
        "weak2wise truncate a.jsonl --method guess",
        "make dmeo",
        "pip install weak2wise",
        "pip install -c constraints.txt -e .[sails]",
    ],
)
def test_a_command_that_does_not_exist_is_found(line: str, repository: Path) -> None:
    """The check is none if it lets a typing error pass."""
    with pytest.raises((AssertionError, TyperException)):
        check(Command("page", tuple(line.split()), runs=False), repository)


def test_every_command_of_the_program_is_in_the_pages() -> None:
    """Whoever reads the pages meets each command."""
    met = {command.words[1] for command in commands() if command.words[0] == "weak2wise"}
    assert met == set(get_command(app).commands)  # type: ignore[attr-defined]


def test_every_block_is_of_a_kind_that_is_checked() -> None:
    """Code of another kind would be checked by nobody."""
    assert {block.info for block in blocks()} == KINDS


def test_files_of_the_checkout_that_commands_name_are_there(repository: Path) -> None:
    """`deployments/...` and `docs/...` in a command are files that everybody has."""
    words = {word for command in commands() for word in command.words}
    named = [word for word in words if word.startswith(("deployments/", "docs/", "testbed/"))]
    assert named
    assert all((repository / word).is_file() for word in named)


def test_settings_that_the_text_names_exist() -> None:
    """`section.setting` in running text is a setting of a recipe."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in PAGES)
    sections = "|".join(Recipe.model_fields)
    named = set(re.findall(rf"`((?:{sections})\.\w+)[:`]", text))
    assert len(named) > 10
    for path in named:
        assert_setting(path)
