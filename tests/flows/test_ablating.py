"""Laws of the command `weak2wise ablate`, without running it."""

from pathlib import Path

import pytest
from rich.console import Console

from flows.ablate import rest_of_budget
from flows.commands.ablating import scorer, with_options
from flows.commands.ablation_display import line, show
from tasks.ablating import AblationProgress
from tasks.progress import Progress
from tests.core.ablation.making import recipe
from tests.core.ablation.test_writing import RESULT_OF_ALL
from weak2wise_core.accounts import Account
from weak2wise_core.config import Backend
from weak2wise_core.config.ablation import Arm
from weak2wise_core.errors import RecipeError
from weak2wise_core.recipes import load_recipe
from weak2wise_core.training.events import EventKind, TrainingEvent


def test_options_replace_what_the_recipe_says() -> None:
    """Without options the recipe is as it was; `--arms` counts for both pools."""
    plain = recipe(ablation={"seeds": 4, "length_balanced": True})
    assert with_options(plain, seeds=None, arms=None, score_with=None) == plain
    changed = with_options(plain, seeds=2, arms="lowest, highest", score_with=None).ablation
    assert changed.seeds == 2
    assert changed.arms == changed.length_balanced_arms == (Arm.LOWEST, Arm.HIGHEST)
    assert changed.length_balanced


@pytest.mark.parametrize("arms", ["highest,best", "highest,highest", " , "])
def test_arms_that_make_no_ablation_are_refused(arms: str) -> None:
    """An unknown arm, one named twice, or none at all."""
    with pytest.raises(RecipeError):
        with_options(recipe(), seeds=None, arms=arms, score_with=None)


def test_a_scorer_is_a_recipes_weak_model_or_a_folder(repository: Path) -> None:
    """A folder or hub id takes the weak model's sampling; a recipe brings its own."""
    weak = recipe().models.weak.model_copy(update={"temperature": 0.0, "max_tokens": 24})
    weak = type(weak).model_validate(weak.model_dump(exclude_unset=True))
    path = str(repository / "deployments" / "recipes" / "gr1k.yaml")
    assert scorer(path, like=weak) == load_recipe(Path(path), {}).models.weak
    found = scorer("models/other", like=weak)
    assert (found.backend, found.model) == (Backend.TRANSFORMERS, "models/other")
    assert (found.temperature, found.max_tokens) == (0.0, 24)
    merged = with_options(recipe(), seeds=None, arms=None, score_with="models/other")
    assert merged.ablation.scorer is not None
    assert merged.ablation.scorer.model == "models/other"


def test_the_screen_names_every_ordering_that_fails() -> None:
    """The tables are followed by the sentences, what was left out, what was done, what was paid."""
    console = Console(record=True, width=100)
    account = Account(calls=7, usd=0.25, lost=2, lost_usd=0.5)
    progress = AblationProgress(scoring=Progress(accounts={("score_step_masks", "weak"): account}))
    done = {"trained": 4, "evaluated": 5, "known": 0, "seconds": 1.0}
    facts = {"state": "Completed", "message": "compared", "run": done | progress.sums}
    show(facts, RESULT_OF_ALL, console)
    text = console.export_text()
    assert "the order fails: pool all, seed 1: highest 0.000 is not above random 0.500" in text
    assert "left out of every arm: 2 zero_score" in text
    assert "highest - random" in text
    assert "4 models trained, 5 evaluated" in text
    assert "7 calls paid in this run, 0 answered by the reply store, 0.2500 USD" in text
    assert "2 tries gave no reply and may be charged for" in text


def test_progress_says_what_runs_and_forgets_what_is_done() -> None:
    """Each training shows its last step until it is finished."""
    progress = AblationProgress(phase="training and evaluating", trainings=2, evaluations=3)
    for step in (1, 2):
        progress.heard(TrainingEvent(kind=EventKind.STEP, job="a", step=step, steps=9))
    assert "trained 0/2, evaluated 0/3" in line(progress, 5.0)
    assert "a 2/9" in line(progress, 5.0)
    progress.heard(TrainingEvent(kind=EventKind.FINISHED, job="a"))
    assert "a 2/9" not in line(progress, 5.0)
    assert "trained 1/2" in line(progress, 5.0)
    progress.heard(TrainingEvent(kind=EventKind.SKIPPED, job="b"))
    assert (progress.trained, progress.left_trained) == (2, 1)


def test_a_later_part_of_a_run_has_what_earlier_ones_left_of_the_budget() -> None:
    """As the budget held it: also for a server that counts nothing."""
    account = Account(calls=5, uncounted=5, unpriced=5, held_usd=0.75)
    spent = Progress(accounts={("filter_qa", "weak"): account})
    rest = rest_of_budget(recipe(budget={"usd": 1.0, "calls": 9}), spent, Progress()).budget
    assert (rest.usd, rest.calls) == (0.25, 4)
