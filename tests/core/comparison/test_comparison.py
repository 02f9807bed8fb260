"""Laws of comparisons: tables that can be checked by hand, files that are whole, clear refusals."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.core.ablation.making import outcomes, pool_of, recipe, verdicts
from weak2wise_core.ablation.comparing import BASE, compare
from weak2wise_core.ablation.results import AblationResult
from weak2wise_core.comparison.planning import arms_recipe, filled, usable
from weak2wise_core.comparison.results import (
    ComparisonResult,
    agreement_table,
    difference_table,
    selector_head,
    selector_table,
)
from weak2wise_core.comparison.tables import PoolTables, area_under_curve, compare_selectors
from weak2wise_core.comparison.writing import MEASURES, RESULT, markdown, write_comparison
from weak2wise_core.config import Recipe, Selector
from weak2wise_core.config.ablation import Arm
from weak2wise_core.dataset.reading import DatasetFolder
from weak2wise_core.errors import BuildError, RecipeError, StoreError
from weak2wise_core.records import TraceMeasure
from weak2wise_core.selectors.choosing import Choosing, Evidence, preference
from weak2wise_core.stores.parquet import read

RECIPE = recipe()
CHEAP = [Selector.STEP_MASK, Selector.LOWEST, Selector.SHORTEST]
ROWS = {
    "p": [
        outcomes("111", question="p", draw=0, tokens=90),
        outcomes("100", question="p", model="b", draw=1, tokens=50),
    ],
    "r": [
        outcomes("110", question="r", draw=0, tokens=20),
        outcomes("000", question="r", model="b", draw=1, tokens=70),
    ],
}
KNOWN = {("p", "a", 0): True, ("p", "b", 1): False, ("r", "a", 0): False, ("r", "b", 1): True}


def tables(known: dict[Any, bool] | None = None) -> PoolTables:
    """Two questions, two candidates each."""
    pool = pool_of(ROWS, settings=RECIPE)
    return compare_selectors(pool, CHEAP, recipe=RECIPE, known=known or {})


def test_a_comparison_worked_out_by_hand() -> None:
    """Step-Mask takes the first of each; the shortest is another one for one of two questions."""
    found = tables(KNOWN)
    step_mask, lowest, shortest = found.selectors
    assert (step_mask.mean_tokens, lowest.mean_tokens, shortest.mean_tokens) == (55, 60, 35)
    assert step_mask.by_strong_model == {"a": 1.0}
    assert shortest.by_strong_model == {"a": 0.5, "b": 0.5}
    assert [one.share for one in found.agreements] == [0.0, 0.5, 0.5]
    assert (step_mask.sound, lowest.sound, shortest.sound) == (0.5, 0.5, 0.0)
    assert (step_mask.auc, lowest.auc, shortest.auc) == (0.5, 0.5, 0.0)
    assert found.candidates == 4


def test_without_known_quality_nothing_is_claimed_about_it() -> None:
    """There is no column for it either."""
    found = tables()
    assert {(row.sound, row.auc) for row in found.selectors} == {(None, None)}
    assert "AUC" not in selector_head(found, trained=False)
    assert "AUC" in selector_head(tables(KNOWN), trained=False)


def test_the_area_compares_candidates_of_one_question_only() -> None:
    """Ties count half; a question of one kind counts for nothing; unknown ones are left out."""
    choosing = Choosing(selection=RECIPE.selection, step_mask=RECIPE.step_mask)
    wish = preference(Selector.STEP_MASK, evidence=Evidence(), choosing=choosing)
    rows = [outcomes("110", draw=0), outcomes("110", draw=1), outcomes("000", draw=2)]
    known = {("q", "a", 0): True, ("q", "a", 1): False, ("q", "a", 2): False}
    assert area_under_curve([rows], wish=wish, known=known) == 0.75
    assert area_under_curve([rows[:1]], wish=wish, known=known) is None
    assert area_under_curve([rows], wish=wish, known={("q", "a", 0): True}) is None


def test_candidates_without_a_value_are_counted() -> None:
    """A trace beyond the context is named in the table, not hidden in a mean."""
    measures = [
        TraceMeasure(
            question_id=one.question_id, strong_model=one.strong_model, draw=one.draw,
            selector=Selector.LOG_PROBABILITY.value, value=None if one.tokens_over else -1.0,
        )
        for one in (_Named("p", "a", 0, True), _Named("p", "b", 1, False),
                    _Named("r", "a", 0, False), _Named("r", "b", 1, False))
    ]  # fmt: skip
    pool = pool_of(ROWS, settings=RECIPE)
    evidence = Evidence.of(pool.evidence.traces.values(), measures)
    read_pool = type(pool)(
        name=pool.name, questions=pool.questions, outcomes=pool.outcomes, evidence=evidence,
        left_out={},
    )  # fmt: skip
    (row,) = compare_selectors(
        read_pool, [Selector.LOG_PROBABILITY], recipe=RECIPE, known={}
    ).selectors
    assert row.undefined == 1
    assert row.by_strong_model == {"a": 0.5, "b": 0.5}


class _Named:
    def __init__(self, question_id: str, strong_model: str, draw: int, tokens_over: bool) -> None:
        self.question_id, self.strong_model, self.draw = question_id, strong_model, draw
        self.tokens_over = tokens_over


def trained() -> AblationResult:
    """Step-Mask always right, the shortest never, the base model never."""
    answers = {
        ("highest", 0): "1111",
        ("highest", 1): "1111",
        ("lowest", 0): "1100",
        ("lowest", 1): "1100",
        ("shortest", 0): "0000",
        ("shortest", 1): "0000",
        (BASE, None): "0000",
    }
    return AblationResult(
        name="d",
        version="0" * 12,
        inputs={},
        pools=(),
        comparisons=tuple(compare(verdicts(answers), resamples=200)),
    )


def result(accuracy: AblationResult | None = None) -> ComparisonResult:
    """A comparison of two questions."""
    return ComparisonResult(
        name="d",
        inputs={"dataset": "d"},
        pools=(tables(KNOWN),),
        unused=(Selector.LOG_PROBABILITY,),
        trained=accuracy,
    )


def test_accuracies_stand_beside_the_selectors_that_chose() -> None:
    """Step-Mask's arm is called highest elsewhere; here it has one name. The base comes last."""
    lines = selector_table(tables(KNOWN), trained=trained(), benchmark="b")
    assert [(line[0], line[-2]) for line in lines] == [
        ("step_mask", "1.000"), ("lowest", "0.500"), ("shortest", "0.000"), ("base", "0.000")
    ]  # fmt: skip
    assert {len(line) for line in lines} == {len(selector_head(tables(KNOWN), trained=True))}
    differences = difference_table(tables(KNOWN), trained=trained(), benchmark="b")
    assert ("step_mask - shortest", "+1.000", "[+1.000, +1.000]", "above 0") in differences


def test_agreements_are_a_square() -> None:
    """The same number on both sides of an empty diagonal."""
    head, *lines = agreement_table(tables())
    assert head == ("", *CHEAP)
    square = [line[1:] for line in lines]
    assert [square[n][n] for n in range(3)] == [""] * 3
    assert all(square[x][y] == square[y][x] for x in range(3) for y in range(3))


def test_a_comparison_is_written_whole_and_read_back(tmp_path: Path) -> None:
    """JSON, tables for people, the measures as Parquet, and figures; the same bytes again."""
    rows = [TraceMeasure(question_id="p", strong_model="a", draw=0, selector="random", value=None)]
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        write_comparison(result(trained()), measures=rows, folder=folder)
    plain = json.loads((one / RESULT).read_text())
    assert plain["version"] == result().version
    assert plain["pools"][0]["selectors"][0]["selector"] == "step_mask"
    assert plain["trained"]["comparisons"][0]["items"] == 4
    assert read(one / MEASURES, TraceMeasure) == rows
    assert (one / "selectors-all.svg").read_bytes().startswith(b"<?xml")
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in two.iterdir())
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in names)
    with pytest.raises(StoreError):
        write_comparison(result(), measures=(), folder=Path("/proc/nowhere/x"))


def test_the_page_says_what_was_not_compared() -> None:
    """A selector that is missing is missing for a reason."""
    text = markdown(result())
    assert "does not tell its probabilities: log_probability" in text
    assert "95% interval" not in text
    assert "step_mask - shortest" in markdown(result(trained()))


SERVED = {"backend": "openai", "model": "m", "base_urls": ["http://h/v1"]}


def served() -> Recipe:
    """A weak model behind a server."""
    return recipe(models={"weak": SERVED, "strong": [SERVED | {"name": "s"}]})


def test_a_server_leaves_the_selectors_that_ask_no_probabilities() -> None:
    """By default the others are left out; whoever names one is told what to do."""
    assert [one for one in usable(served(), None) if one.reads_model] == []
    assert usable(RECIPE, None) == list(Selector)
    with pytest.raises(RecipeError, match=r"selection\.model"):
        usable(served(), [Selector.SHORTEST, Selector.BINARY_CUTTING])
    local = recipe(
        models={"weak": SERVED, "strong": [SERVED | {"name": "s"}]},
        selection={"model": {"backend": "transformers", "model": "org/m"}},
    )
    assert usable(local, None) == list(Selector)


def test_every_selector_has_its_arm_in_every_pool() -> None:
    """What is compared is what is trained."""
    made = arms_recipe(RECIPE, CHEAP).ablation
    assert made.arms == made.length_balanced_arms == (Arm.HIGHEST, Arm.LOWEST, Arm.SHORTEST)


def test_an_empty_pool_is_an_error_with_its_reasons() -> None:
    """Nothing is compared, and nobody divides by zero."""
    pool = pool_of({"z": [outcomes("000", question="z")]}, settings=RECIPE)
    with pytest.raises(BuildError, match="zero_score"):
        filled([pool])


def test_a_dataset_of_served_models_asks_for_its_recipe(tmp_path: Path) -> None:
    """Its manifest holds neither addresses nor keys."""
    from weak2wise_core.comparison.planning import recipe_of
    from weak2wise_core.dataset.manifest import settings_of

    def dataset(made: Recipe) -> DatasetFolder:
        manifest = {"settings": settings_of(made)}
        return DatasetFolder(folder=tmp_path, name="d", version="0" * 12, manifest=manifest)

    with pytest.raises(RecipeError, match="weak2wise compare RECIPE --dataset"):
        recipe_of(dataset(served()))
    again = recipe_of(dataset(RECIPE))
    assert settings_of(again)["models"]["weak"] == settings_of(RECIPE)["models"]["weak"]
    assert (again.step_mask, again.sft) == (RECIPE.step_mask, RECIPE.sft)
