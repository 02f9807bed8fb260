"""Laws of the flow `ablate`: what is trained, what is asked, what is never done twice."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

from flows.commands.ablation_display import run_facts, show
from flows.commands.app import app
from tasks.ablating import PROGRESS, AblationProgress
from weak2wise_core.ablation.comparing import BASE
from weak2wise_core.config import BenchmarkKind, ModelSpec, Recipe
from weak2wise_core.errors import RecipeError
from weak2wise_core.evaluation.records import BenchmarkResult, Evaluation, ItemResult
from weak2wise_core.records import Verdict
from weak2wise_core.training.events import EventKind, TrainingEvent
from weak2wise_core.training.jobs import TrainingJob

pytestmark = pytest.mark.slow

Build = Callable[..., Awaitable[Any]]
Ablate = Callable[..., Awaitable[Any]]
MakeRecipe = Callable[..., Recipe]


class Laboratory:
    """Stands in for training and evaluation, and remembers what it was given."""

    def __init__(self) -> None:
        self.trained: list[TrainingJob] = []
        self.evaluated: list[str] = []
        self.folders: list[Path] = []
        self.processes = 0
        self.most_processes = 0
        self.fails_at: int | None = None
        """Evaluations after which the next one fails."""

    async def train(
        self, jobs: Sequence[TrainingJob], *, on_event: Callable[[TrainingEvent], None]
    ) -> None:
        """Make every model's folder."""
        self.processes += 1
        self.most_processes = max(self.most_processes, self.processes)
        for job in jobs:
            if not job.output.exists():
                job.output.mkdir(parents=True)
                self.trained.append(job)
            await asyncio.sleep(0.01)
            on_event(TrainingEvent(kind=EventKind.FINISHED, job=job.name))
        self.processes -= 1

    async def evaluate(self, model: ModelSpec, *, name: str, **_: Any) -> Evaluation:
        """Say that every arm but the base model is right about the first of two questions."""
        if self.fails_at is not None and len(self.evaluated) >= self.fails_at:
            raise RuntimeError("the power failed")
        self.evaluated.append(name)
        self.folders.append(Path(model.model))
        right = Verdict.INCORRECT if name == BASE else Verdict.CORRECT
        items = (
            ItemResult(id="a", verdicts=(right,)),
            ItemResult(id="b", verdicts=(Verdict.INCORRECT,)),
        )
        found = BenchmarkResult(name="held-out", kind=BenchmarkKind.AIME, items=items)
        return Evaluation(name=name, model={}, settings={}, benchmarks=(found,))


@pytest.fixture
def laboratory(monkeypatch: pytest.MonkeyPatch) -> Laboratory:
    """Trainings and evaluations that take no time."""
    made = Laboratory()
    monkeypatch.setattr("weak2wise_core.training.running.train", made.train)
    monkeypatch.setattr("weak2wise_core.evaluation.running.evaluate", made.evaluate)
    return made


@pytest.fixture
def ablate(engine: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ablate:
    """Runs the flow with its data below `tmp_path` / data and returns the final state."""

    async def run(
        recipe: Recipe, dataset: str | None = None, *, progress: AblationProgress | None = None
    ) -> Any:
        from flows.ablate import ablate as flow

        monkeypatch.setenv("WEAK2WISE_DATA", str(tmp_path / "data"))
        token = PROGRESS.set(progress)
        try:
            return await flow(recipe, dataset, return_state=True)
        finally:
            PROGRESS.reset(token)

    return run


@pytest.fixture
def ablation_recipe(testbed_recipe: MakeRecipe, repository: Path) -> MakeRecipe:
    """A small ablation on the testbed, with changes."""

    def make(ablation: dict[str, Any] | None = None, **changes: Any) -> Recipe:
        benchmark = {
            "kind": "aime24",
            "name": "held-out",
            "path": str(repository / "testbed" / "questions_test.jsonl"),
            "limit": 4,
        }
        questions = {"path": str(repository / "testbed" / "questions.jsonl"), "limit": 7}
        given = {
            "questions": questions,
            "evaluation": {"benchmarks": [benchmark], "temperature": 0, "top_p": None},
            "ablation": {"seeds": 2, "arms": ["highest", "random"], **(ablation or {})},
        }
        return testbed_recipe(**given | changes)

    return make


async def test_arms_are_trained_on_the_same_questions_and_never_twice(
    ablate: Ablate, ablation_recipe: MakeRecipe, laboratory: Laboratory
) -> None:
    """Two pools, two seeds: one training a distinct set and seed; again, nothing is done."""
    recipe = ablation_recipe(
        {"length_balanced": True, "length_balanced_arms": ["highest"], "side_by_side": 2,
         "per_process": 1}
    )  # fmt: skip
    state = await ablate(recipe)
    assert state.is_completed(), state.message
    first = await state.aresult()
    assert len(laboratory.trained) == 6
    assert laboratory.most_processes == 2
    assert len(laboratory.evaluated) == len(set(laboratory.folders)) == 7
    choices = pd.read_parquet(first.folder / "choices.parquet")
    per_arm = choices.groupby(["pool", "arm", "seed"])["question_id"].agg(list)
    for pool in ("all", "length-balanced"):
        assert len({tuple(questions) for questions in per_arm[pool]}) == 1
    by_seed = choices[(choices["pool"] == "all") & (choices["arm"] == "random")]
    names = by_seed["strong_model"] + by_seed["draw"].astype(str)
    first_seed, second_seed = names.groupby(by_seed["seed"]).agg(list)
    assert first_seed != second_seed
    assert [job.settings.seed for job in laboratory.trained] == [0, 1, 0, 1, 0, 1]
    for job in laboratory.trained:
        rows = [json.loads(line) for line in job.train_file.read_text().splitlines()]
        assert all("<think>" in row["completion"][0]["content"] for row in rows)
        assert not job.output.exists()  # weights go once their answers are kept
    again = await (await ablate(recipe)).aresult()
    assert (again.folder, again.result) == (first.folder, first.result)
    assert (len(laboratory.trained), len(laboratory.evaluated)) == (6, 7)


async def test_highest_trains_on_the_rows_of_the_dataset(
    ablate: Ablate, build: Build, ablation_recipe: MakeRecipe, laboratory: Laboratory
) -> None:
    """The arm is the product itself: the same rows, byte for byte, as its train.jsonl."""
    recipe = ablation_recipe({"arms": ["highest"], "seeds": 1})
    published = await (await build(recipe)).aresult()
    await ablate(recipe)
    (job,) = laboratory.trained
    assert job.train_file.read_bytes() == (published.folder / "train.jsonl").read_bytes()
    assert job.dataset_version == published.version


async def test_an_interrupted_ablation_goes_on_where_it_stopped(
    ablate: Ablate, ablation_recipe: MakeRecipe, laboratory: Laboratory, tmp_path: Path
) -> None:
    """Models that were evaluated are not trained again, and what is trained is not lost."""
    recipe = ablation_recipe({"per_process": 1})
    laboratory.fails_at = 3
    state = await ablate(recipe)
    assert state.is_failed()
    assert not list((tmp_path / "data" / "ablations").glob("testbed/*"))
    known = set(laboratory.evaluated)
    assert len(known) == 3
    laboratory.fails_at = None
    progress = AblationProgress()
    state = await ablate(recipe, progress=progress)
    assert state.is_completed(), state.message
    assert progress.known == 3
    assert len(laboratory.evaluated) == len(set(laboratory.evaluated)) == 5
    assert known < set(laboratory.evaluated)
    more = ablation_recipe({"per_process": 1, "seeds": 3})
    await ablate(more)
    assert len(laboratory.trained) == 6  # only the new seed's
    assert len(laboratory.evaluated) == 7


async def test_a_raced_pool_is_completed_without_asking_twice(
    ablate: Ablate, build: Build, ablation_recipe: MakeRecipe, laboratory: Laboratory
) -> None:
    """The missing levels are asked, the others come from the store, and `lowest` is exact."""
    arms = {"arms": ["highest", "lowest"], "seeds": 1}
    raced = ablation_recipe(arms, step_mask={"policy": "race"})
    published = await (await build(raced)).aresult()
    counts = published.manifest["counts"]
    progress = AblationProgress()
    state = await ablate(raced, str(published.folder), progress=progress)
    found = (await state.aresult()).result
    cells = 6 * counts["scored"]
    assert progress.scoring.calls + progress.scoring.stored == cells
    assert 0 < progress.scoring.calls <= cells - counts["mask_levels_asked"]
    whole = ablation_recipe(arms)
    untouched = AblationProgress()
    exact = (await (await ablate(whole, progress=untouched)).aresult()).result
    assert untouched.scoring.calls == untouched.scoring.stored == 0
    assert [arm.mean_score for arm in found.pools[0].arms] == [
        arm.mean_score for arm in exact.pools[0].arms
    ]
    assert len(laboratory.trained) == 2  # the same rows: nothing more to train


async def test_another_scorer_chooses_other_traces_of_the_same_candidates(
    ablate: Ablate, build: Build, ablation_recipe: MakeRecipe, laboratory: Laboratory,
    tmp_path: Path,
) -> None:  # fmt: skip
    """Every level is asked of it; lengths, and the model that is trained, stay the same."""
    own = ablation_recipe({"arms": ["highest"], "seeds": 1})
    published = await (await build(own)).aresult()
    # Cut off before the answer, this scorer is always wrong: no score tells candidates apart.
    mute = {"backend": "testbed", "model": "weak", "temperature": 0, "max_tokens": 1}
    progress = AblationProgress()
    other = ablation_recipe(
        {"arms": ["highest"], "seeds": 1, "scorer": mute}, zero_score={"action": "keep"}
    )
    state = await ablate(other, str(published.folder), progress=progress)
    result = (await state.aresult()).result
    asked, shared = progress.scoring.calls, progress.scoring.stored
    assert asked + shared == 6 * published.manifest["counts"]["scored"]
    assert asked > 2 * shared  # the same hint at two levels is one call, an old reply is none
    assert result.pools[0].arms[0].mean_score == 0
    assert result.inputs["scorer"]["max_tokens"] == 1
    choices = pd.read_parquet((await state.aresult()).folder / "choices.parquet")
    outcomes = pd.read_parquet(published.folder / "outcomes.parquet")
    shortest = outcomes.sort_values(["normal_tokens", "strong_model", "draw"]).drop_duplicates(
        "question_id"
    )
    key = ["question_id", "strong_model", "draw"]
    assert set(choices[key].itertuples(index=False, name=None)) == set(
        shortest[key].itertuples(index=False, name=None)
    )
    assert {job.model for job in laboratory.trained} == {laboratory.trained[0].model}


async def test_a_budget_stops_the_scoring_and_what_was_paid_is_kept(
    ablate: Ablate, build: Build, ablation_recipe: MakeRecipe, laboratory: Laboratory
) -> None:
    """Completing a race is paid for too, and told; started again with more, it goes on."""
    raced = ablation_recipe(step_mask={"policy": "race"})
    published = await (await build(raced)).aresult()
    poor = ablation_recipe(step_mask={"policy": "race"}, budget={"calls": 5})
    spent = AblationProgress()
    state = await ablate(poor, "testbed", progress=spent)
    assert state.name == "StoppedAtBudget"
    assert not laboratory.trained
    show(run_facts(state, spent, seconds=1.0), None, console := Console(record=True, width=200))
    assert "5 calls paid in this run" in console.export_text()
    progress = AblationProgress()
    await ablate(raced, str(published.folder), progress=progress)
    counts = published.manifest["counts"]
    assert progress.scoring.stored >= 5 + counts["mask_levels_asked"]


async def test_a_build_that_ends_without_a_dataset_ends_the_ablation(
    ablate: Ablate, ablation_recipe: MakeRecipe, laboratory: Laboratory
) -> None:
    """Its state is the ablation's state; nothing is trained."""
    state = await ablate(ablation_recipe(budget={"calls": 3}))
    assert (state.name, state.is_failed()) == ("StoppedAtBudget", True)
    assert not laboratory.trained


async def test_a_dataset_of_another_scoring_is_refused_before_anything_is_paid(
    ablate: Ablate, build: Build, ablation_recipe: MakeRecipe, laboratory: Laboratory
) -> None:
    """The message names the setting that differs."""
    published = await (await build(ablation_recipe())).aresult()
    other = ablation_recipe(step_mask={"policy": "exhaustive", "beta": 0.9})
    state = await ablate(other, str(published.folder))
    with pytest.raises(RecipeError, match="step_mask"):
        await state.aresult()
    assert not laboratory.trained


def test_a_small_ablation_really_trains_and_evaluates(
    engine: None, tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the command line to the figure: mechanics on real models, not the order of arms."""
    monkeypatch.chdir(repository)
    monkeypatch.setenv("WEAK2WISE_DATA", str(tmp_path))  # put back what --data-dir changes
    benchmark = "[{kind: aime24, name: held-out, path: testbed/questions_test.jsonl, limit: 12}]"
    changes = [
        f"evaluation.benchmarks={benchmark}", "evaluation.max_tokens=96", "training.epochs=1",
        "training.global_batch_size=2", "training.per_device_batch_size=2",
        "ablation.length_balanced=false", "ablation.keep_models=true",
    ]  # fmt: skip
    command = [
        "ablate", "deployments/recipes/ablation.yaml", "--json", "--limit", "6", "--seeds", "1",
        "--arms", "highest,lowest", "--data-dir", str(tmp_path),
        *(part for change in changes for part in ("--set", change)),
    ]  # fmt: skip
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output[-3000:]
    facts = json.loads(done.stdout)
    assert facts["run"]["trained"] == 2
    folder = Path(facts["folder"])
    verdicts = pd.read_parquet(folder / "verdicts.parquet")
    assert verdicts.groupby("arm").size().to_dict() == {"base": 12, "highest": 12, "lowest": 12}
    assert set(verdicts["verdicts"].map(lambda found: found[0])) <= {"correct", "incorrect"}
    (comparison,) = facts["comparisons"]
    accuracy = {one["arm"]: one["accuracy"]["value"] for one in comparison["arms"]}
    correct = verdicts["verdicts"].map(lambda found: found[0] == "correct")
    assert accuracy == pytest.approx(correct.groupby(verdicts["arm"]).mean().to_dict())
    weights = list((tmp_path / "ablations" / "runs").glob("*/model/model.safetensors"))
    original = (repository / "testbed" / "weak_model" / "model.safetensors").read_bytes()
    assert len(weights) == 2
    assert len({path.read_bytes() for path in weights} - {original}) == 2
    assert (folder / "accuracy-held-out.svg").stat().st_size > 1000
