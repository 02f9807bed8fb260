"""Laws of `selection.by` in a build, and of the flow `compare`: one pool, nothing read twice."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from flows.commands.app import app
from flows.commands.comparing import named
from testbed.models import WeakModel
from testbed.soundness import is_sound
from tests.flows.test_ablate import Laboratory, laboratory  # noqa: F401 - a fixture
from weak2wise_core.config import Recipe, Selector
from weak2wise_core.errors import RecipeError

pytestmark = pytest.mark.slow

Build = Callable[..., Awaitable[Any]]
Compare = Callable[..., Awaitable[Any]]
MakeRecipe = Callable[..., Recipe]
FEW = [Selector.STEP_MASK, Selector.SHORTEST, Selector.SOUND_SHORT, Selector.LOG_PROBABILITY]


@pytest.fixture
def read_passages(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many passages the weak model was given to read, call by call."""
    counts: list[int] = []
    read = WeakModel.read

    async def counted(self: WeakModel, passages: Any) -> Any:
        counts.append(len(passages))
        return await read(self, passages)

    monkeypatch.setattr(WeakModel, "read", counted)
    return counts


@pytest.fixture
def compare(engine: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compare:
    """Runs the flow with its data below `tmp_path` / data and returns the final state."""

    async def run(recipe: Recipe, dataset: str | None = None, **options: Any) -> Any:
        from flows.compare import compare as flow

        monkeypatch.setenv("WEAK2WISE_DATA", str(tmp_path / "data"))
        return await flow(recipe, dataset, return_state=True, **options)

    return run


@pytest.fixture
def small(testbed_recipe: MakeRecipe, repository: Path) -> MakeRecipe:
    """Six questions of the testbed, and a benchmark to train for."""

    def make(**changes: Any) -> Recipe:
        test = str(repository / "testbed" / "questions_test.jsonl")
        benchmark = {"kind": "aime24", "name": "held-out", "path": test, "limit": 4}
        questions = {"path": str(repository / "testbed" / "questions.jsonl"), "limit": 6}
        given = {
            "questions": questions,
            "evaluation": {"benchmarks": [benchmark], "temperature": 0, "top_p": None},
            "ablation": {"seeds": 1},
        }
        return testbed_recipe(**given | changes)

    return make


async def test_a_build_takes_the_traces_that_its_selector_chooses(
    build: Build, small: MakeRecipe, read_passages: list[int]
) -> None:
    """The weak model reads every scored candidate once; the published tables prove the choice."""
    recipe = small(selection={"by": "log_probability"})
    published = await (await build(recipe)).aresult()
    golden = pd.read_parquet(published.folder / "golden.parquet").set_index("question_id")
    measures = pd.read_parquet(published.folder / "measures.parquet")
    values = measures[measures["selector"] == "log_probability"]
    best = values.loc[values.groupby("question_id")["value"].idxmax()].set_index("question_id")
    best = best.loc[golden.index]
    assert (golden["source"] == "selection").all()
    assert (golden["strong_model"] == best["strong_model"]).all()
    assert (golden["draw"] == best["draw"]).all()
    assert published.manifest["settings"]["selection"]["by"] == "log_probability"
    assert published.manifest["settings"]["models"]["reader"]["model"] == "weak"
    assert sum(read_passages) == len(values) == published.manifest["counts"]["scored"]
    again = await (await build(recipe)).aresult()
    assert again.version == published.version
    assert sum(read_passages) == len(values)


async def test_the_selector_changes_the_choice_and_nothing_before_it(
    build: Build, small: MakeRecipe
) -> None:
    """The same questions, candidates and outcomes; shorter golden traces; no measures."""
    first = await (await build(small())).aresult()
    second = await (await build(small(selection={"by": "shortest"}))).aresult()
    for table in ("questions", "attempts", "candidates", "outcomes", "scores"):
        name = f"{table}.parquet"
        assert first.manifest["files"][name] == second.manifest["files"][name]
    tokens = [
        pd.read_parquet(one.folder / "golden.parquet").set_index("question_id")["normal_tokens"]
        for one in (first, second)
    ]
    assert (tokens[1] <= tokens[0]).all()
    assert tokens[1].sum() < tokens[0].sum()
    assert not (second.folder / "measures.parquet").exists()


async def test_a_comparison_reads_and_trains_once(
    compare: Compare, small: MakeRecipe, laboratory: Laboratory, read_passages: list[int],  # noqa: F811
) -> None:  # fmt: skip
    """Tables before and after training stand on one pool; again, nothing is done."""
    recipe = small()
    state = await compare(recipe, selectors=FEW)
    assert state.is_completed(), state.message
    plain = await state.aresult()
    assert not laboratory.trained
    readings = sum(read_passages)
    (tables,) = plain.result.pools
    assert [row.selector for row in tables.selectors] == FEW
    shares = {(one.first, one.second): one.share for one in tables.agreements}
    assert len(shares) == 6
    candidates = pd.read_parquet(
        next((plain.folder.parents[2] / "datasets" / "testbed").glob("*/candidates.parquet"))
    )
    assert readings >= tables.candidates
    trained = await (await compare(recipe, "testbed", selectors=FEW, train=True)).aresult()
    assert sum(read_passages) == readings
    assert trained.result.pools == plain.result.pools
    assert len(laboratory.trained) == len({job.train_file for job in laboratory.trained})
    (comparison,) = trained.result.trained.comparisons
    assert {one.arm for one in comparison.arms} == {
        "highest", "shortest", "sound_short", "log_probability", "base"
    }  # fmt: skip
    measures = pd.read_parquet(trained.folder / "measures.parquet")
    assert set(measures["question_id"]) <= set(candidates["question_id"])
    before = len(laboratory.evaluated)
    again = await (await compare(recipe, "testbed", selectors=FEW, train=True)).aresult()
    assert (again.folder, again.result) == (trained.folder, trained.result)
    assert (len(laboratory.evaluated), sum(read_passages)) == (before, readings)


async def test_known_quality_is_that_of_the_traces(
    compare: Compare, build: Build, small: MakeRecipe
) -> None:
    """The share of sound choices follows from the published traces alone."""
    recipe = small()
    published = await (await build(recipe)).aresult()
    found = await (
        await compare(recipe, str(published.folder), selectors=[Selector.STEP_MASK])
    ).aresult()
    questions = pd.read_parquet(published.folder / "questions.parquet").set_index("id")["question"]
    candidates = pd.read_parquet(published.folder / "candidates.parquet")
    golden = pd.read_parquet(published.folder / "golden.parquet")
    chosen = golden.merge(candidates, on=["question_id", "strong_model", "draw"])
    pairs = zip(chosen["question_id"], chosen["normal_reasoning"], strict=True)
    sound = [is_sound(str(questions.loc[question]), str(text)) for question, text in pairs]
    (row,) = found.result.pools[0].selectors
    assert row.sound == pytest.approx(sum(sound) / len(sound), abs=1e-6)


def test_a_dataset_is_compared_as_it_is(
    engine: None, small: MakeRecipe, tmp_path: Path, repository: Path
) -> None:
    """From the command line, by name, without a recipe; `--json` holds the same facts."""
    data, question_file = str(tmp_path / "data"), tmp_path / "recipe.yaml"
    question_file.write_text(small().model_dump_json(exclude_unset=True))
    runner = CliRunner()
    built = runner.invoke(app, ["build", str(question_file), "--data-dir", data])
    assert built.exit_code == 0, built.output
    options = ["--selectors", "step_mask,shortest", "--data-dir", data]
    done = runner.invoke(app, ["compare", "testbed", *options, "--json"])
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert facts["state"] == "Completed"
    assert [row["selector"] for row in facts["pools"][0]["selectors"]] == ["step_mask", "shortest"]
    shown = runner.invoke(app, ["compare", "testbed", *options])
    assert "The same choice, in % of the questions" in shown.output
    refused = runner.invoke(app, ["compare", "testbed", *options, "--limit", "3"])
    assert "--limit" in str(refused.exception)


@pytest.mark.parametrize("given", ["step_mask,best", "shortest", " , "])
def test_selectors_that_make_no_comparison_are_refused(given: str) -> None:
    """An unknown one, or fewer than two."""
    with pytest.raises(RecipeError):
        named(given)
