"""`weak2wise sft`: fine-tune the weak model on a dataset."""

import json
import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from flows.commands.building import AsJson, Data, Overrides, use_data_folder
from flows.commands.numbers import duration
from flows.commands.running import outcome_of, run_flow
from flows.commands.saying import now_and_then
from flows.commands.training_options import job_of, settings_of
from weak2wise_core.errors import UsageError
from weak2wise_core.recipe_files import trust_command_line

if TYPE_CHECKING:
    from tasks.train_sft import TrainingProgress
    from weak2wise_core.training.jobs import TrainingJob

Dataset = Annotated[
    str,
    typer.Argument(
        help="the folder of a dataset, or NAME or NAME/VERSION below the data folder",
        metavar="DATASET",
    ),
]
RecipeOption = Annotated[
    Path | None, typer.Option("--recipe", help="a recipe, whose section training is used")
]
Model = Annotated[
    str | None,
    typer.Option(
        help="hub id or folder of the model to train [default: the dataset's weak model]",
        metavar="MODEL",
    ),
]
Name = Annotated[
    str | None, typer.Option(help="name of the trained model [default: the dataset's]")
]
Plan = Annotated[
    bool, typer.Option("--plan", help="train nothing; say which GPUs would hold the training")
]
Gpus = Annotated[int | None, typer.Option(min=1, help="--plan: GPUs that train together")]
GpuMemory = Annotated[
    float | None, typer.Option(min=1, help="--plan: memory of one of them, in GB", metavar="GB")
]


def sft(
    dataset: Dataset,
    *,
    recipe: RecipeOption = None,
    model: Model = None,
    name: Name = None,
    plan: Plan = False,
    gpus: Gpus = None,
    gpu_memory: GpuMemory = None,
    set_: Overrides = None,
    data_dir: Data = None,
    as_json: AsJson = False,
) -> None:
    """Fine-tune the weak model on a dataset.

    Without a recipe or --set the settings are those of the paper's appendix B. A model that is
    there already is not trained again, and a training that was stopped goes on.

    Example: `weak2wise sft data/datasets/testbed/latest --recipe deployments/recipes/testbed.yaml`
    """
    use_data_folder(data_dir)
    settings = settings_of(recipe, set_, model=model)
    trust_command_line(recipe or Path(), [text for text in (dataset, model) if text])
    job = job_of(dataset, settings, name=name)
    if plan:
        from flows.commands.training_plan import plan_training

        plan_training(job, gpus=gpus, gigabytes=gpu_memory, as_json=as_json)
        return
    if gpus is not None or gpu_memory is not None:
        raise UsageError(
            "--gpus and --gpu-memory are for --plan; a training takes the GPUs it sees"
        )
    facts = run_training(dataset, job, console=Console(stderr=True))
    if as_json:
        typer.echo(json.dumps(facts, indent=2, sort_keys=True))
    else:
        show(facts, Console())


# --- training ---------------------------------------------------------------------------------


def run_training(dataset: str, job: "TrainingJob", *, console: Console) -> dict[str, Any]:
    """Run the flow in this process, with a display; what a person or a script wants to know.

    Raises:
        Weak2WiseError: It failed for a reason that has a name.
        typer.Exit: It was interrupted (130) or terminated (143).
    """
    from tasks.train_sft import PROGRESS, TrainingProgress
    from weak2wise_core.training.machine import look_at, require_packages

    require_packages(job.settings)
    look_at(job.settings)
    progress = TrainingProgress()

    def start() -> Awaitable[Any]:
        from flows.sft import sft as flow

        PROGRESS.set(progress)
        return flow(dataset, job.settings, job.name, return_state=True)

    state, seconds = run_flow(
        start,
        what="training",
        display=watching(progress, console),
        console=console,
        kept="its checkpoint",
    )
    return _facts(state, seconds=seconds)


def _facts(state: Any, *, seconds: float) -> dict[str, Any]:
    outcome = outcome_of(state)
    if isinstance(outcome, BaseException):
        raise outcome
    steps = outcome.manifest["steps"]
    return {
        "state": state.name,
        "message": state.message or "",
        "folder": str(outcome.folder),
        "version": outcome.manifest["version"],
        "skipped": outcome.skipped,
        "counts": outcome.manifest["counts"],
        "first_loss": steps[0]["loss"] if steps else None,
        "last_loss": steps[-1]["loss"] if steps else None,
        "seconds": round(seconds, 3),
    }


def show(facts: dict[str, Any], console: Console) -> None:
    """What was trained, and where it lies."""
    counts = facts["counts"]
    console.print(Text.assemble((facts["state"], "bold"), f": {facts['message']}"), soft_wrap=True)
    table = Table.grid(padding=(0, 2))
    table.add_row("examples", f"{counts['examples']:,} in {counts['rows']:,} rows")
    table.add_row(
        "tokens", f"{counts['tokens']:,}, {counts['tokens_in_loss']:,} of them in the loss"
    )
    if facts["first_loss"] is not None:
        losses = f"{facts['first_loss']:.4f} to {facts['last_loss']:.4f}"
        table.add_row("loss", f"{losses} in {counts['steps']:,} steps")
    table.add_row("time", f"{facts['seconds']:.0f} s")
    console.print(table)
    folder = facts["folder"]
    console.print(f"next: weak2wise evaluate {folder}", soft_wrap=True, highlight=False)


# --- display ----------------------------------------------------------------------------------


@contextmanager
def watching(progress: "TrainingProgress", console: Console) -> Iterator[None]:
    """Show a training while the block runs: a bar on a terminal, a line now and then elsewhere."""
    if console.is_terminal:
        with Live(Screen(progress), console=console, refresh_per_second=5, transient=True):
            yield
        return
    with now_and_then(lambda: console.print(line(progress), soft_wrap=True, highlight=False)):
        yield


class Screen:
    """The live display; drawn anew several times a second."""

    def __init__(self, progress: "TrainingProgress") -> None:
        self._progress = progress
        self._started = time.monotonic()

    def __rich__(self) -> RenderableType:
        if self._progress.last is None:
            seconds = time.monotonic() - self._started
            return Text(f"starting the task engine and loading the model ... {seconds:.0f} s")
        table = Table.grid(padding=(0, 2))
        bar = ProgressBar(total=1.0, completed=self._progress.fraction, width=30)
        table.add_row(bar, line(self._progress))
        return table


def line(progress: "TrainingProgress") -> str:
    """Step, loss, speed and time left."""
    last = progress.last
    if last is None:
        return "loading the model"
    parts = [progress.sentence, f"{last.tokens:,} tokens"]
    if progress.seconds_left is not None:
        parts.append(f"{duration(progress.seconds_left)} left")
    if progress.saved:
        parts.append(f"saved at step {progress.saved}")
    return ", ".join(parts)
