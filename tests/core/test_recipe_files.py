"""Laws of the files that a recipe names: they lie where whoever runs the build allows it."""

import os
from collections.abc import Iterator
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest

from weak2wise_core.config import Recipe, Settings, W2SRRecipe, WeakToStrongRecipe
from weak2wise_core.errors import RecipeError
from weak2wise_core.recipe_files import AnyRecipe, check_files, named_files, trust_command_line
from weak2wise_core.recipes import parse_recipe

SERVED = {"backend": "openai", "model": "m", "base_urls": ["http://127.0.0.1:9/v1"]}


def recipe(**changes: Any) -> Recipe:
    """A recipe whose every file is in question."""
    content: dict[str, Any] = {
        "dataset": "d",
        "questions": {"path": "q.jsonl"},
        "models": {
            "weak": SERVED | {"tokenizer": "org/model"},
            "strong": [SERVED | {"name": "strong"}],
        },
        "judging": {"method": "rule"},
        "truncation": {"method": "rule"},
    }
    return parse_recipe(content | changes)


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory, a data folder and a secret outside of both; nothing else is allowed."""
    for name in ("desk", "data", "secrets", "listed"):
        (tmp_path / name).mkdir()
    (tmp_path / "secrets" / "q.jsonl").write_text("{}")
    monkeypatch.chdir(tmp_path / "desk")
    monkeypatch.delenv("WEAK2WISE_FOLDERS")
    return tmp_path


def refused(wanted: AnyRecipe, places: Path) -> list[str]:
    """The keys of a recipe that the check refuses."""
    try:
        check_files(wanted, data=places / "data")
    except RecipeError as error:
        lines = str(error).splitlines()
        return [line.strip().split(":")[0] for line in lines if line.startswith("  ")]
    return []


OUTSIDE = "../secrets/q.jsonl"
WITH_FILES: dict[str, Any] = {
    "questions.path": {"questions": {"path": OUTSIDE}},
    "decontaminate.against.0": {"decontaminate": {"against": [OUTSIDE]}},
    "generate.imported.0": {"generate": {"imported": [OUTSIDE]}},
    "zero_score.annotations": {"zero_score": {"action": "annotate", "annotations": OUTSIDE}},
    "prompts.generate": {"prompts": {"generate": OUTSIDE}},
    "prompts.judge": {"prompts": {"judge": "/etc/passwd"}},
    "models.weak.tokenizer": {"models": {"weak": SERVED | {"tokenizer": "../secrets"}}},
    "models.weak.model": {"models": {"weak": {"backend": "transformers", "model": "../secrets"}}},
    "models.strong.0.model": {
        "models": {
            "weak": SERVED | {"tokenizer": "org/model"},
            "strong": [{"name": "s", "backend": "transformers", "model": "/secrets/model"}],
        }
    },
    "training.model": {"training": {"model": "/secrets/model"}},
    "evaluation.benchmarks.0.path": {
        "evaluation": {"benchmarks": [{"kind": "aime24", "path": OUTSIDE}]}
    },
}


@pytest.mark.parametrize("field", sorted(WITH_FILES))
def test_every_field_that_names_a_file_is_held_to_it(places: Path, field: str) -> None:
    """The error names the key and says how to allow the path; nothing else is refused."""
    changes = dict(WITH_FILES[field])
    if "models" in changes:
        changes["models"] = {"strong": [SERVED | {"name": "strong"}]} | changes["models"]
    wanted = recipe(**changes)
    assert refused(wanted, places) == [field]
    with pytest.raises(RecipeError, match="WEAK2WISE_FOLDERS") as caught:
        check_files(wanted, data=places / "data")
    assert caught.value.exit_code == 2


RELATED_FILES: dict[str, dict[str, Any]] = {
    "prompts.demonstrate": {"prompts": {"demonstrate": OUTSIDE}},
    "prompts.demonstration": {"prompts": {"demonstration": OUTSIDE}},
    "models.strong.model": {
        "models": {
            "weak": SERVED,
            "strong": {"backend": "transformers", "model": "/secrets/model"},
        }
    },
    "recovery.reinforced_results": {
        "recovery": {"reinforced_results": OUTSIDE},
        "models": {"teacher": SERVED, "student": SERVED},
    },
}
"""The same for the recipes of the related methods."""


@pytest.mark.parametrize("field", sorted(RELATED_FILES))
def test_the_related_methods_read_no_other_files_either(places: Path, field: str) -> None:
    """One rule for all recipes."""
    kind = W2SRRecipe if field.startswith("recovery") else WeakToStrongRecipe
    content: dict[str, Any] = {
        "dataset": "d",
        "questions": {"path": "q.jsonl"},
        "models": {"weak": SERVED, "strong": SERVED},
    }
    wanted: Any = kind.model_validate(content | RELATED_FILES[field])
    assert refused(wanted, places) == [field]


def settings_types(kind: type[Settings]) -> Iterator[type[Settings]]:
    """A settings type and every type of settings below it."""
    yield kind
    for below in kind.__subclasses__():
        yield from settings_types(below)


def test_no_field_with_a_path_is_forgotten() -> None:
    """Whatever field of a recipe is a path, now or later, is found by its type."""
    fields = {
        name
        for kind in settings_types(Settings)
        if kind.__module__.startswith("weak2wise_core.config")  # a training job is no recipe
        for name, field in kind.model_fields.items()
        if "Path" in str(field.annotation)
    }
    covered = {part for key in (*WITH_FILES, *RELATED_FILES) for part in key.split(".")}
    assert {"path", "against", "imported", "annotations", "generate"} <= fields
    assert fields - covered <= {"solve", "hint", "truncate_endpoint", "truncate_reemit"}


@pytest.mark.parametrize(
    "path", ["q.jsonl", "a/../q.jsonl", "../data/q.jsonl", "../desk/q.jsonl", "absent/q.jsonl"]
)
def test_working_directory_and_data_folder_are_allowed(places: Path, path: str) -> None:
    """Also by way of `..`, and for files that are not there: another error says so later."""
    assert refused(recipe(questions={"path": path}), places) == []
    assert refused(recipe(questions={"path": str(Path(path).absolute())}), places) == []


@pytest.mark.parametrize(
    "path", ["../secrets/q.jsonl", "a/../../secrets/q.jsonl", "../desktop/q.jsonl", "/etc/passwd"]
)
def test_everything_else_is_refused(places: Path, path: str) -> None:
    """A folder whose name begins with that of an allowed one is another folder."""
    assert refused(recipe(questions={"path": path}), places) == ["questions.path"]
    absolute = os.path.normpath(Path(path).absolute())
    assert refused(recipe(questions={"path": absolute}), places) == ["questions.path"]


def test_links_are_followed_before_it_is_decided(places: Path) -> None:
    """A link to a file, a link to a folder, `..` behind a link, and links in a circle."""
    desk = places / "desk"
    (desk / "file.jsonl").symlink_to(places / "secrets" / "q.jsonl")
    (desk / "folder").symlink_to(places / "secrets")
    (desk / "circle").symlink_to(desk / "circle")
    (desk / "inside.jsonl").symlink_to(places / "data" / "q.jsonl")
    for path in ("file.jsonl", "folder/q.jsonl", "folder/../secrets/q.jsonl", "circle"):
        assert refused(recipe(questions={"path": path}), places) == ["questions.path"], path
    with pytest.raises(RecipeError, match=r"leads to .*secrets/q\.jsonl"):
        check_files(recipe(questions={"path": "file.jsonl"}), data=places / "data")
    assert refused(recipe(questions={"path": "inside.jsonl"}), places) == []


def test_an_allowed_folder_may_itself_be_a_link(places: Path) -> None:
    """What counts is where it leads."""
    (places / "link").symlink_to(places / "data")
    check_files(recipe(questions={"path": "../data/q.jsonl"}), data=places / "link")


def test_hidden_files_are_refused_unless_their_folder_is_listed(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`.env`, `.git` and `.ssh` lie in many a working directory."""
    for path in (".env", ".git/config", "a/.secret/q.jsonl"):
        assert refused(recipe(prompts={"judge": path}), places) == ["prompts.judge"], path
    monkeypatch.setenv("WEAK2WISE_FOLDERS", str(places / "desk" / ".cache"))
    assert refused(recipe(prompts={"judge": ".cache/judge.txt"}), places) == []


def test_listed_folders_are_allowed(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several of them; an empty entry means nothing."""
    monkeypatch.setenv("WEAK2WISE_FOLDERS", f":{places / 'listed'}:{places / 'secrets'}:")
    assert refused(recipe(questions={"path": OUTSIDE}), places) == []
    assert refused(recipe(questions={"path": "../listed/x/q.jsonl"}), places) == []
    assert refused(recipe(questions={"path": "../q.jsonl"}), places) == ["questions.path"]


def test_the_root_as_working_directory_allows_nothing(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service in a container often runs in /."""
    monkeypatch.chdir("/")
    assert refused(recipe(questions={"path": "etc/passwd"}), places) == ["questions.path"]
    assert refused(recipe(questions={"path": str(places / "data" / "q")}), places) == []


def test_what_a_person_types_is_trusted(places: Path) -> None:
    """What lies beside the recipe, and the typed path alone; only in this process."""
    secret = places / "secrets" / "q.jsonl"
    beside = recipe(questions={"path": str(places / "listed" / "q.jsonl")})

    def typed() -> None:
        trust_command_line(places / "listed" / "recipe.yaml", [OUTSIDE, "a\0b", "0.7"])
        assert refused(recipe(questions={"path": str(secret)}), places) == []
        assert refused(beside, places) == []
        other = recipe(questions={"path": "../secrets/other.jsonl"})
        assert refused(other, places) == ["questions.path"]

    copy_context().run(typed)
    assert refused(beside, places) == ["questions.path"]


def test_a_recipe_in_the_root_does_not_open_the_disk(places: Path) -> None:
    """Neither does a typed `/`."""

    def typed() -> None:
        trust_command_line(Path("/recipe.yaml"), ["/"])
        assert refused(recipe(questions={"path": "/etc/passwd"}), places) == ["questions.path"]

    copy_context().run(typed)


def test_hub_ids_and_names_of_served_models_are_no_paths(places: Path) -> None:
    """`org/model` is fetched; the name of a served model is sent to its server as it is."""
    models = {
        "weak": SERVED | {"model": "Qwen/Qwen2.5-7B-Instruct"},
        "strong": [
            SERVED | {"name": "served", "model": "/models/served-under-this-path"},
            {"name": "local", "backend": "transformers", "model": "gpt2"},
        ],
    }
    wanted = recipe(models=models, training={"model": "org/model"})
    assert [field for field, _ in named_files(wanted)] == ["questions.path"]
    assert refused(wanted, places) == []


def test_a_folder_that_looks_like_a_hub_id_is_a_path(places: Path) -> None:
    """`org/model` that is there, as a link that leads out, is refused."""
    (places / "desk" / "org").mkdir()
    (places / "desk" / "org" / "model").symlink_to(places / "secrets")
    assert refused(recipe(), places) == ["models.weak.tokenizer"]


def test_a_name_that_no_path_can_have_is_refused(places: Path) -> None:
    """A NUL ends a path for the system, and would hide what follows."""
    assert refused(recipe(questions={"path": "q\0.jsonl"}), places) == ["questions.path"]
