"""`weak2wise plan`: what a build will still ask and cost; with a pilot, measured."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Annotated, Any

import typer
from rich.console import Console

from flows.commands.building import (
    AsJson,
    Data,
    Limit,
    Overrides,
    RecipeFile,
    read_recipe,
    use_data_folder,
)
from flows.commands.display import page, watching
from flows.commands.plans import announce_pilot, show_pilot, show_plan
from flows.commands.stopping import clean_stop, interruptible
from tasks.identities import reply_identity
from tasks.progress import Progress, account
from weak2wise_core.annotations import annotations_of
from weak2wise_core.config import ModelSpec, Recipe
from weak2wise_core.dataset.drift import earlier_ids, model_changes
from weak2wise_core.equivalence import AnswerChecker
from weak2wise_core.errors import BudgetReachedError
from weak2wise_core.gateway import ModelHandle
from weak2wise_core.importing import load_imported
from weak2wise_core.planning.pilot import Sample, pilot_of, run_pilot
from weak2wise_core.planning.plan import Plan, plan_of
from weak2wise_core.planning.replay import Outlook
from weak2wise_core.planning.scene import FILTER, GENERATE, SCORE, TRUNCATE, Scene
from weak2wise_core.planning.survey import survey
from weak2wise_core.prompts import load_prompts
from weak2wise_core.questions import decontaminate, load_questions
from weak2wise_core.recipe_files import check_files
from weak2wise_core.records import CandidateTrace, Question

Pilot = Annotated[
    int | None,
    typer.Option(
        min=2,
        help="really ask N questions, the same ones every time, and judge the others by them; "
        "their replies are kept, so the build pays nothing for them",
        metavar="N",
    ),
]


def plan(
    recipe: RecipeFile,
    *,
    pilot: Pilot = None,
    limit: Limit = None,
    set_: Overrides = None,
    data_dir: Data = None,
    as_json: AsJson = False,
) -> None:
    """Say what a build will still ask and cost. Without a pilot nothing is asked or written.

    What the reply store answers already is subtracted, question by question. Calls are bounds,
    exact where they are equal. A pilot asks within the recipe's budget and publishes nothing.

    Example: `weak2wise plan deployments/recipes/gr1k.yaml --pilot 20`
    """
    wanted = read_recipe(recipe, limit, set_)
    use_data_folder(data_dir)
    console = Console(stderr=True)
    stopped_by: list[int] = []
    with clean_stop("plan", stopped_by, console), _ground(wanted) as ground:
        facts, found = asyncio.run(
            interruptible(_work(ground, pilot=pilot, console=console), stopped_by)
        )
    if as_json:
        typer.echo(json.dumps(found.as_dict() | facts, indent=2))
    else:
        show_plan(found, page())
        show_pilot(facts, page())
    if facts.get("state", "Completed") != "Completed":
        raise typer.Exit(1)


async def _work(
    ground: "_Ground", *, pilot: int | None, console: Console
) -> tuple[dict[str, Any], Plan]:
    """The plan, and what the pilot did."""
    outlooks = await ground.survey()
    if pilot is None:
        return {}, ground.plan(outlooks)
    chosen = pilot_of(ground.questions, size=pilot)
    ids = {one.id for one in chosen}
    ahead = ground.plan([one for one in outlooks if one.question_id in ids], questions=chosen)
    announce_pilot(ahead, ground.recipe.budget, console)
    facts, samples = await _ask(ground, chosen, console)
    facts["pilot"] |= {"most": ahead.most, "usd_most": ahead.usd("usd_most")}
    return facts, ground.plan(await ground.survey(), samples=samples)


async def _ask(
    ground: "_Ground", chosen: Sequence[Question], console: Console
) -> tuple[dict[str, Any], list[Sample]]:
    """Run the pilot with the models, the store and the budget of a build."""
    from tasks.runtime import open_runtime

    progress = Progress(questions=len(chosen))
    samples: list[Sample] = []
    state, message = "Completed", ""
    with watching(progress, console, stages=(FILTER, GENERATE, SCORE, TRUNCATE)):
        async with open_runtime(ground.recipe, data=ground.data, progress=progress) as runtime:
            await asyncio.to_thread(ground.scene.count_tokens, "")  # before anything is paid

            def handle(name: str, stage: str) -> ModelHandle:
                return runtime.ask(name, stage=stage)

            try:
                samples = await run_pilot(
                    chosen, scene=ground.scene, handle=handle, watcher=progress
                )
            except BudgetReachedError as stop:
                state, message = "StoppedAtBudget", str(stop)
    lost = {one.question_id: one.failed for one in samples if one.failed}
    if samples and len(lost) == len(samples):
        state, message = "PilotFailed", f"all questions failed; {next(iter(lost.items()))}"
    earlier = earlier_ids(ground.data / "datasets")
    changes = model_changes(ground.recipe, progress.returned, earlier=earlier)
    facts = {
        "state": state,
        "message": message,
        "pilot": {
            "questions": [one.id for one in chosen],
            "failed": lost,
            **progress.sums,
            "accounts": account(progress),
        },
        "model_changes": [change.as_dict() for change in changes],
    }
    return facts, samples


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ground:
    """A recipe with its questions, and what is opened to plan for them."""

    recipe: Recipe
    rows: int
    rejected: int
    questions: Sequence[Question]
    scene: Scene
    data: Path

    async def survey(self) -> list[Outlook]:
        """What the reply store has for every question."""
        from tasks.runtime import REPLIES

        specs = self.recipe.models.specs()
        identities = {name: reply_identity(spec) for name, spec in specs.items()}
        return await survey(
            self.questions, scene=self.scene, identities=identities, replies=self.data / REPLIES
        )

    def plan(
        self,
        outlooks: Sequence[Outlook],
        *,
        questions: Sequence[Question] | None = None,
        samples: Sequence[Sample] = (),
    ) -> Plan:
        """The plan for all questions, or for some."""
        return plan_of(
            self.scene,
            self.questions if questions is None else questions,
            outlooks,
            rows=self.rows,
            rejected=self.rejected,
            samples=samples,
        )


@contextmanager
def _ground(recipe: Recipe) -> Iterator[_Ground]:
    """Read the questions and open what a plan needs; no model, no store.

    Raises:
        UsageError: The questions, imported candidates, annotations or prompts cannot be used.
    """
    from tasks.runtime import data_folder

    check_files(recipe, data=data_folder())
    loaded = load_questions(recipe.questions)
    questions, dropped = decontaminate(loaded.questions, settings=recipe.decontaminate)
    with AnswerChecker() as checker:
        scene = Scene(
            recipe=recipe,
            prompts=load_prompts(recipe.prompts),
            checker=checker,
            count_tokens=_Tokens(recipe.models.weak).count,
            imported=_by_question(load_imported(recipe, questions, check=checker.check)),
            notes=annotations_of(recipe, questions),
        )
        yield _Ground(
            recipe=recipe,
            rows=loaded.rows,
            rejected=len(loaded.rejections) + len(dropped),
            questions=questions,
            scene=scene,
            data=data_folder(),
        )


def _by_question(candidates: Sequence[CandidateTrace]) -> dict[str, list[CandidateTrace]]:
    found: dict[str, list[CandidateTrace]] = {}
    for one in candidates:
        found.setdefault(one.question_id, []).append(one)
    return found


class _Tokens:
    """The weak model's tokenizer, loaded when the first text is counted: a plan may need none."""

    def __init__(self, weak: ModelSpec) -> None:
        self._weak = weak
        self._tokens: Any = None
        self._loading = Lock()

    def count(self, text: str) -> int:
        from tasks.runtime import load_tokens

        with self._loading:
            if self._tokens is None:
                self._tokens = load_tokens(self._weak)
        return int(self._tokens.count(text))
