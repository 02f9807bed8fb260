"""Laws of the built pages: made from the code, whole, and loading nothing from other hosts."""

import importlib.util
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from tests.core.docs.pages import DOCS
from weak2wise_core.config import Settings


@pytest.fixture(scope="module")
def generated(repository: Path) -> ModuleType:
    """The hook, loaded by its path as MkDocs does it."""
    spec = importlib.util.spec_from_file_location("generated", DOCS / "hooks" / "generated.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def classes(kind: type[Settings] = Settings) -> Iterator[type[Settings]]:
    """Every class of settings of the core."""
    for child in kind.__subclasses__():
        if child.__module__.startswith("weak2wise_core.config."):
            yield child
        yield from classes(child)


def rows(reference: str) -> dict[str, dict[str, list[str]]]:
    """The tables of the reference: by heading, by setting, the cells type, default, description."""
    found: dict[str, dict[str, list[str]]] = {}
    for part in re.split(r"^## ", reference, flags=re.MULTILINE)[1:]:
        heading, _, body = part.partition("\n")
        lines = [line for line in body.splitlines() if line.startswith("| `")]
        cells = [re.split(r" (?<!\\)\| ", line.strip("| ")) for line in lines]
        found[heading.strip("`")] = {name.strip("`"): rest for name, *rest in cells}
    return found


def test_the_reference_has_every_setting_with_its_own_description(generated: ModuleType) -> None:
    """No setting is missing, none is invented, and each says what its own field says."""
    tables, parts = rows(generated.recipe_reference()), generated.parts()
    assert set(parts.values()) == set(classes())
    assert len(tables) == len(parts)
    for place, kind in parts.items():
        table = tables[place or "The whole recipe"]
        assert list(table) == generated.own_fields(kind)
        for name, (_, default, description) in table.items():
            field = kind.model_fields[name]
            assert not field.description or description.replace("\\|", "|") == field.description
            assert (default == "required") == field.is_required()


@pytest.mark.parametrize(
    ("place", "name", "kind", "default"),
    [
        ("step_mask", "granularity", "whole number, at least 2, at most 12", "`6`"),
        ("step_mask", "reading", "`unit_range`, `as_printed`, `reference_code`", "`unit_range`"),
        ("models.weak", "api_key_env", "text", "absent"),
        ("models.weak", "rpm", "whole number, at least 1", "absent"),
        ("models", "judge", "settings as `models.weak`", "absent"),
        ("models.weak", "stream", "true or false", "`false`"),
        ("budget", "usd", "number, at least 0", "absent"),
    ],
)
def test_types_bounds_and_defaults_are_spelled(
    generated: ModuleType, place: str, name: str, kind: str, default: str
) -> None:
    """A reader sees what may be written, in words."""
    assert rows(generated.recipe_reference())[place][name][:2] == [kind, default]


def test_a_section_that_readme_lacks_is_an_error(generated: ModuleType) -> None:
    """A page never shows an empty place; the message names the title."""
    assert generated.section("## A\nx\n\n## B\ny\n", "A") == "x"
    for title in ("C", "A B"):
        with pytest.raises(LookupError, match=title):
            generated.section("## A\nx\n", title)


class Loaded(HTMLParser):
    """What a browser fetches for a page without being asked: not the links that one may follow."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note addresses of scripts, styles, images, fonts and frames."""
        values = dict(attrs)
        if tag != "a" and values.get("rel") not in ("canonical", "prev", "next"):
            self.addresses += [str(values[key]) for key in ("src", "href") if values.get(key)]


@pytest.mark.slow
def test_the_pages_load_nothing_from_other_hosts(site: Path) -> None:
    """They can be read without a network, and tell nobody that they are read."""
    pages = list(site.rglob("*.html"))
    assert len(pages) > 12
    for page in pages:
        parser = Loaded()
        parser.feed(page.read_text(encoding="utf-8"))
        assert parser.addresses
        assert not [one for one in parser.addresses if re.match(r"(?:\w+:)?//", one)], page.name
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(?:https?:)?//", style.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_the_pages_hold_what_is_put_in(site: Path, repository: Path) -> None:
    """The reference, README's tables and the docstrings have arrived; no mark is left."""
    for name, wanted in {
        "recipe.html": "max_quarantine_fraction",
        "troubleshooting.html": "StoppedAtBudget",
        "security.html": "tests/flows/test_secrets.py",
        "api.html": "weak2wise_core.scoring.level_weights",
    }.items():
        text = (site / name).read_text(encoding="utf-8")
        assert wanted in text
        assert "<!-- README" not in text
        assert "<!-- recipe" not in text
    assert not (site / "hooks").exists()


@pytest.mark.slow
def test_examples_and_tables_of_docstrings_are_code(site: Path) -> None:
    """They would be taken for running text, links and lists otherwise."""
    text = (site / "api.html").read_text(encoding="utf-8")
    code = re.sub(r"<[^>]+>", "", "".join(re.findall(r"<code[^>]*>(.*?)</code>", text, re.DOTALL)))
    assert "level_weights(6, beta=Fraction(1, 2)" in code
    assert "unit_range        2^-(n-i)" in code


def test_every_page_can_be_found(repository: Path) -> None:
    """The navigation names each page once."""
    settings = (repository / "mkdocs.yml").read_text(encoding="utf-8")
    nav = yaml.safe_load(settings)["nav"]
    named = re.findall(r"[\w-]+\.md", str(nav))
    assert sorted(named) == sorted(path.name for path in DOCS.glob("*.md"))
