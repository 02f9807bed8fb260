"""Laws of what an ablation needs, and of the trainings that it is made of."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.core.ablation.making import recipe
from tests.core.ablation.test_writing import row
from weak2wise_core.ablation.planning import (
    arms_of,
    check_dataset,
    check_recipe,
    evaluation_settings,
    plan_arms,
    scoring_recipe,
    seeds_of,
    training_recipe,
    within_budget,
)
from weak2wise_core.ablation.preparing import PreparedPool, Training
from weak2wise_core.ablation.runs import (
    BenchmarkVerdicts,
    Run,
    Runs,
    evaluation_identity,
    evaluation_key,
)
from weak2wise_core.config import EvaluationSettings, Policy, TrainingSettings
from weak2wise_core.config.ablation import Arm
from weak2wise_core.dataset.manifest import settings_of
from weak2wise_core.dataset.reading import DatasetFolder
from weak2wise_core.errors import BuildError, InputFileError, RecipeError
from weak2wise_core.records import Verdict
from weak2wise_core.training.examples import read_rows

SERVED = {"backend": "openai", "model": "t", "base_urls": ["http://127.0.0.1:1/v1"]}


def dataset(**changes: Any) -> DatasetFolder:
    """A dataset that was built from the recipe with these changes."""
    settings = json.loads(json.dumps(settings_of(recipe(**changes))))
    return DatasetFolder(
        folder=Path("nowhere"), name="d", version="0" * 12, manifest={"settings": settings}
    )


def test_an_ablation_needs_a_benchmark() -> None:
    """Nothing is built for a comparison that could not be made."""
    check_recipe(recipe())
    with pytest.raises(RecipeError, match=r"evaluation\.benchmarks"):
        check_recipe(recipe(evaluation={}))


def test_a_dataset_that_was_scored_otherwise_is_refused() -> None:
    """Another beta, or another weak model, would make another `highest`; racing would not."""
    raced = {"granularity": 3, "policy": "race"}
    check_dataset(dataset(step_mask=raced), recipe())
    other = {"granularity": 3, "policy": "exhaustive", "beta": 0.7}
    with pytest.raises(RecipeError, match="step_mask"):
        check_dataset(dataset(step_mask=other), recipe())
    models = {"weak": SERVED, "strong": [{"name": "a", **SERVED}]}
    with pytest.raises(RecipeError, match=r"models\.weak"):
        check_dataset(dataset(models=models), recipe())
    check_dataset(dataset(models=models), recipe(ablation={"scorer": SERVED}))


def test_scoring_asks_every_level_of_the_scorer() -> None:
    """A race is completed; with a scorer its answers count and no teacher is asked."""
    wanted = scoring_recipe(recipe(step_mask={"policy": "race"}))
    assert wanted.step_mask.policy is Policy.EXHAUSTIVE
    assert wanted.models.weak == recipe().models.weak
    other = scoring_recipe(recipe(ablation={"scorer": SERVED}))
    assert other.models.weak.model == "t"
    assert other.models.strong == ()


def test_keys_of_models_that_no_arm_asks_are_not_needed() -> None:
    """With the rule, only the weak model's tokenizer is left; a truncating model is kept."""
    models = recipe().models.model_dump(mode="json", exclude_unset=True)
    asked = {"models": models | {"truncator": SERVED, "judge": SERVED}}
    assert set(training_recipe(recipe(**asked)).models.specs()) == {"weak"}
    cuts = recipe(**asked, truncation={"method": "endpoint"})
    assert set(training_recipe(cuts).models.specs()) == {"weak", "truncator"}


def test_the_parts_of_a_run_share_its_budget() -> None:
    """What the build spent is gone; what is overdrawn leaves nothing, and no cap stays none."""
    capped = recipe(budget={"usd": 5, "calls": 10})
    rest = within_budget(capped, usd=2, calls=11).budget
    assert (rest.usd, rest.calls) == (3, 0)
    assert within_budget(recipe(), usd=2, calls=1).budget.usd is None


def test_seeds_follow_the_seed_of_the_training_and_pools_the_recipe() -> None:
    """The balanced pool has arms of its own, and is there only where it is wanted."""
    wanted = recipe(training={"seed": 7}, ablation={"seeds": 3, "arms": ["highest"]})
    assert seeds_of(wanted) == [7, 8, 9]
    assert arms_of(wanted) == {"all": (Arm.HIGHEST,)}
    both = recipe(ablation={"length_balanced": True, "length_balanced_arms": ["random"]})
    assert arms_of(both)["length-balanced"] == (Arm.RANDOM,)


def test_every_model_is_asked_with_the_prompt_that_the_arms_were_trained_with() -> None:
    """The base model is asked as its children are; a suffix of the evaluation's own wins."""
    assert evaluation_settings(recipe(sft={"prompt_suffix": "Think."})).prompt_suffix == "Think."
    own = {"benchmarks": [{"kind": "aime24", "path": "t"}], "prompt_suffix": ""}
    assert (
        evaluation_settings(recipe(sft={"prompt_suffix": "T"}, evaluation=own)).prompt_suffix == ""
    )


def pool(name: str = "all", **texts: int) -> PreparedPool:
    """A pool of arms with one row each; the figure is the length of its row."""
    return PreparedPool(
        name=name,
        questions=("q",),
        rows={
            Training(Arm(arm), seed): (row("q", tokens=tokens),)
            for arm, tokens in texts.items()
            for seed in (0, 1)
        },
        left_out={},
    )


def test_equal_rows_are_one_training_and_every_seed_another(
    tmp_path: Path, repository: Path
) -> None:
    """Two arms of the same traces are trained once; their rows are a file that training reads."""
    model = str(repository / "testbed" / "weak_model")
    planned = plan_arms(
        [pool(highest=1, shortest=1, lowest=2)],
        runs=Runs(tmp_path),
        recipe=recipe(),
        model=model,
        dataset_version="v",
    )
    versions = {(one.training.arm, one.training.seed): one.run.version for one in planned}
    assert versions[Arm.HIGHEST, 0] == versions[Arm.SHORTEST, 0]
    assert len(set(versions.values())) == 4
    job = planned[0].run.job
    assert job is not None
    assert job.output == tmp_path / planned[0].run.version / "model"
    assert job.settings.seed == 0
    assert [one.id for one in read_rows(job.train_file)] == ["q"]


def test_a_pool_without_a_question_is_an_error(tmp_path: Path) -> None:
    """It says why no question was left."""
    empty = PreparedPool(name="all", questions=(), rows={}, left_out={"over_length": 3})
    with pytest.raises(BuildError, match="over_length"):
        plan_arms([empty], runs=Runs(tmp_path), recipe=recipe(), model="m", dataset_version="v")


def test_answers_are_kept_by_run_and_by_question_asked(tmp_path: Path) -> None:
    """Another evaluation, another model or a damaged file is not known."""
    runs, run = Runs(tmp_path), Run(name="r", version="v", job=None)
    found = (BenchmarkVerdicts(benchmark="b", items={"q": (Verdict.CORRECT, Verdict.UNJUDGED)}),)
    assert runs.verdicts(run, "k") is None
    runs.keep(run, "k", found)
    assert runs.verdicts(run, "k") == found
    assert runs.verdicts(run, "l") is None
    assert runs.verdicts(Run(name="r", version="w", job=None), "k") is None
    (tmp_path / "v" / "evaluation-k.json").write_text('[{"benchmark"')
    assert runs.verdicts(run, "k") is None


def test_dropping_weights_keeps_the_answers(tmp_path: Path) -> None:
    """Weights are large and can be made again; answers are what was wanted."""
    runs = Runs(tmp_path)
    run = runs.run(
        [row("q")], name="r", dataset_version="v", model="hub/id", settings=TrainingSettings()
    )
    assert run.job is not None
    run.job.output.mkdir(parents=True)
    half = run.job.output.with_name(f".model.{'0' * 32}.tmp")
    half.mkdir()
    runs.keep(run, "k", ())
    runs.drop_weights(run)
    assert not run.job.output.exists()
    assert half.exists(), "what others left goes when an ablation starts, not here"
    runs.remove_abandoned()
    assert not half.exists()
    assert runs.verdicts(run, "k") == ()


def test_an_evaluation_is_known_by_the_content_of_its_files(tmp_path: Path) -> None:
    """A benchmark that moved is the same one; one that changed is not; a missing one is named."""
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    first.write_text("{}\n")
    second.write_text("{}\n")

    def key(path: Path, **changes: Any) -> str:
        benchmarks = [{"kind": "aime24", "path": str(path)}]
        settings = EvaluationSettings.model_validate({"benchmarks": benchmarks, **changes})
        return evaluation_key(evaluation_identity(settings, sampling={}))

    assert key(first) == key(second)
    assert key(first) != key(first, max_tokens=7)
    assert key(first) == key(first, resamples=7)
    second.write_text("{ }\n")
    assert key(first) != key(second)
    with pytest.raises(InputFileError, match=r"gone\.jsonl"):
        key(tmp_path / "gone.jsonl")
