"""Running tasks as every flow does it: inputs handed over, one stage over some questions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

from prefect.utilities.annotations import quote

from tasks.results import StageResult
from tasks.runtime import Session
from tasks.stage import StageTask, anew, keyed
from weak2wise_core.errors import InputFileError
from weak2wise_core.records import Question

R = TypeVar("R")


def handed_over(value: R) -> R:
    """A task's input as it is: the engine would walk every nested value."""
    return cast("R", quote(value))


async def run_stage(
    stage: StageTask[..., R],
    questions: Sequence[Question],
    *,
    session: Session,
    shard: str,
    inputs: Mapping[str, Any],
) -> StageResult[R]:
    """Run a stage over some questions of a shard; with none of them, do not run it.

    Args:
        stage: The task, with its results below the data folder of the run.
        questions: What it is run over.
        session: The run's models and counters.
        shard: Name of the shard, for messages.
        inputs: The task's other parameters. They are handed over as they are: the engine would walk
            every nested value of rows and recipe.

    Raises:
        StoreError: A stage result could not be written.
    """
    if not questions:
        return StageResult(record_type=object, rows=())  # type: ignore[arg-type]
    session.progress.enter(stage.name, shard, len(questions))
    plain: dict[str, Any] = {**inputs, "questions": list(questions)}
    quoted = {key: handed_over(one) for key, one in plain.items()} | {"shard": shard}
    stage = await keyed(stage, plain)
    try:
        result: StageResult[R] = await stage(**quoted)
    except (InputFileError, ValueError):
        # A stored result that is damaged, of an older format, deleted, or in a folder that was
        # moved is made anew, from the reply store; any other error comes again.
        result = await anew(stage)(**quoted)
    if session.unwritten is not None:
        raise session.unwritten
    session.progress.finish(stage.name, shard, len(questions))
    return replace(result, packed=None)
