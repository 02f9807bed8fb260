"""Laws of recipes: strict, frozen, and every fault is named."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from weak2wise_core.config import ModelSpec, Recipe, StepMaskSettings
from weak2wise_core.errors import RecipeError
from weak2wise_core.recipes import load_recipe, parse_recipe

SERVER = {"backend": "openai", "model": "m", "base_urls": ["http://h/v1"]}
PLAIN: dict[str, Any] = {
    "dataset": "d",
    "questions": {"path": "q.jsonl"},
    "models": {"weak": SERVER, "strong": [SERVER | {"name": "s"}]},
    "judging": {"method": "rule"},
    "truncation": {"method": "rule"},
}


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    """A valid recipe in a file."""
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(PLAIN))
    return path


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"colour": 1}, "colour: unknown key"),
        ({"step_mask": {"granularty": 6}}, "step_mask.granularty: unknown key"),  # codespell:ignore
        ({"step_mask": {"granularity": 1}}, "step_mask.granularity"),
        ({"step_mask": {"beta": 1.5}}, "step_mask.beta"),
        ({"budget": {"usd": float("inf")}}, "budget.usd"),
        ({"budget": None}, "budget: a section with keys of its own was expected"),
        ({"models": {"weak": 3, "strong": []}}, "models.weak: a section with keys"),
        ({"training": {"learning_rate": float("inf")}}, "training.learning_rate"),
        ({"dataset": "../up"}, "dataset"),
        ({"judging": {"votes": 2}}, "votes must be odd"),
        ({"judging": {"method": "llm"}}, "models.judge"),
        ({"truncation": {"method": "endpoint"}}, "models.truncator"),
        ({"models": {"weak": {"backend": "openai", "model": "m"}, "strong": []}}, "base_urls"),
        ({"models": {"weak": SERVER, "strong": []}}, "models.strong is empty"),
        ({"models": {"weak": SERVER, "strong": [SERVER | {"name": "weak"}]}}, "'weak'"),
        (
            {"models": {"weak": SERVER | {"base_urls": ["host:80"]}, "strong": []}},
            "does not begin with http",
        ),
        ({"models": {"weak": SERVER | {"api_key": "sk-1"}, "strong": []}}, "api_key: unknown key"),
        ({"zero_score": {"action": "resample", "max_draws": 1}}, "max_draws is less"),
        ({"zero_score": {"annotations": "a.jsonl"}}, "annotate only"),
        (
            {"models": {"weak": {"backend": "testbed", "model": "weak", "rpm": 5}}},
            "rpm: only a model with backend openai",
        ),
    ],
)
def test_a_faulty_recipe_names_the_key(change: dict[str, Any], found: str) -> None:
    """The message names the key and says what is wrong with it."""
    with pytest.raises(RecipeError) as caught:
        parse_recipe(PLAIN | change)
    assert found in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "content", ["- a\n- b", "just text", "a: [", "", "!!python/object:os.x {}"]
)
def test_a_file_that_is_no_recipe_is_one_error(tmp_path: Path, content: str) -> None:
    """Lists, text, broken YAML and YAML that would make objects are refused."""
    path = tmp_path / "recipe.yaml"
    path.write_text(content)
    with pytest.raises(RecipeError, match=r"recipe\.yaml"):
        load_recipe(path)


@pytest.mark.parametrize("name", ["absent.yaml", "."])
def test_an_unreadable_file_is_one_error(tmp_path: Path, name: str) -> None:
    """A missing file and a folder are named."""
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(tmp_path / name)


def test_values_can_be_replaced_by_dotted_key(recipe_file: Path) -> None:
    """Also inside lists, and in sections that the file does not have."""
    changes = {"step_mask.beta": 0.7, "models.strong.0.temperature": 0.9, "questions.limit": 5}
    recipe = load_recipe(recipe_file, changes)
    assert recipe.step_mask.beta == 0.7
    assert recipe.models.strong[0].temperature == 0.9
    assert recipe.questions.limit == 5


@pytest.mark.parametrize("key", ["models.strong.7.name", "dataset.x", "models.strong.x", "no.such"])
def test_a_change_that_leads_nowhere_is_refused(recipe_file: Path, key: str) -> None:
    """A mistyped --set never passes unnoticed."""
    with pytest.raises(RecipeError):
        load_recipe(recipe_file, {key: 1})


def test_beta_is_the_fraction_that_was_written() -> None:
    """0.1 means one tenth, not its binary neighbour."""
    assert StepMaskSettings(beta=0.1).exact_beta * 10 == 1


def test_an_identity_holds_no_address_key_limit_or_folder() -> None:
    """The same model elsewhere has the same identity; other sampling has another."""
    one = ModelSpec.model_validate(SERVER | {"api_key_env": "A", "in_flight": 3})
    other = ModelSpec.model_validate(SERVER | {"base_urls": ["http://other/v1"], "rpm": 9})
    assert one.identity() == other.identity()
    warm = ModelSpec.model_validate(SERVER | {"temperature": 0.7})
    assert warm.identity() != one.identity()
    local = ModelSpec.model_validate({"backend": "transformers", "model": "/here/qwen"})
    moved = ModelSpec.model_validate({"backend": "transformers", "model": "/there/qwen"})
    assert local.identity() == moved.identity()


EXHAUSTIVE = {"step_mask": {"policy": "exhaustive"}}


def test_another_selector_needs_every_mask_level() -> None:
    """A race proves Step-Mask's winner and leaves out what others would look at."""
    with pytest.raises(RecipeError, match=r"step_mask\.policy: exhaustive"):
        parse_recipe(PLAIN | {"selection": {"by": "shortest"}})
    assert parse_recipe(PLAIN | EXHAUSTIVE | {"selection": {"by": "shortest"}})


def test_a_selector_that_reads_probabilities_needs_a_model_that_tells_them() -> None:
    """A server is refused with what can be done; a local copy of the model will do."""
    wanted = PLAIN | EXHAUSTIVE
    with pytest.raises(RecipeError, match=r"behind a server.*selection\.model"):
        parse_recipe(wanted | {"selection": {"by": "log_probability"}})
    with pytest.raises(RecipeError, match="behind a server"):
        parse_recipe(wanted | {"selection": {"by": "log_probability", "model": SERVER}})
    local = {"backend": "transformers", "model": "org/m"}
    found = parse_recipe(wanted | {"selection": {"by": "log_probability", "model": local}})
    assert found.reader.model == "org/m"


def test_a_recipe_survives_json() -> None:
    """What a deployment stores is the recipe that was given."""
    recipe = parse_recipe(PLAIN)
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
