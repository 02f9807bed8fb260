"""How a flow runs one stage over some questions."""

from types import SimpleNamespace
from typing import Any

import pytest

from flows.stages import run_stage
from tasks.results import StageResult
from weak2wise_core.errors import StoreError
from weak2wise_core.records import Question

QUESTIONS = [Question(id=f"q{number}", question="1 + 1", answer="2") for number in range(3)]


class Stage:
    """A task that gives back its questions with the bytes of their table."""

    name = "filter"
    cache_policy = None
    refresh_cache = False

    def __init__(self, *, damaged: type[Exception] | None = None) -> None:
        self.damaged = damaged
        self.runs: list[bool] = []

    async def __call__(self, *, questions: Any, shard: str) -> StageResult[Question]:
        """Count the run."""
        self.runs.append(self.refresh_cache)
        if self.damaged is not None and not self.refresh_cache:
            raise self.damaged("what was stored cannot be read")
        return StageResult(record_type=Question, rows=tuple(questions.value), packed=b"its table")


class Told:
    """The progress of a run."""

    def __init__(self) -> None:
        self.said: list[tuple[str, int]] = []

    def enter(self, stage: str, shard: str, questions: int) -> None:
        """A stage takes in questions."""
        self.said.append((f"{stage} takes {shard}", questions))

    def finish(self, stage: str, shard: str, questions: int) -> None:
        """It has done with them."""
        self.said.append((f"{stage} of {shard}", questions))


def session_of(unwritten: Exception | None = None) -> Any:
    """A run of which a stage result could be written, or not."""
    return SimpleNamespace(progress=Told(), unwritten=unwritten)


async def ran(stage: Stage, session: Any, questions: Any = QUESTIONS) -> StageResult[Question]:
    """The stage over the questions of a shard."""
    task: Any = stage
    result: StageResult[Question] = await run_stage(
        task, questions, session=session, shard="01", inputs={}
    )
    return result


async def test_rows_come_back_without_the_bytes_of_their_table() -> None:
    """The engine has written them by then; a build would hold every table twice."""
    session = session_of()
    result = await ran(Stage(), session)
    assert result.rows == tuple(QUESTIONS)
    assert result.packed is None
    assert session.progress.said == [("filter takes 01", 3), ("filter of 01", 3)]


async def test_a_stage_without_questions_is_not_run() -> None:
    """An empty shard costs no task and is no progress."""
    stage, session = Stage(), session_of()
    assert (await ran(stage, session, [])).rows == ()
    assert stage.runs == session.progress.said == []


async def test_a_stored_result_that_cannot_be_read_is_made_anew() -> None:
    """Once, and whatever is stored."""
    stage = Stage(damaged=ValueError)
    assert (await ran(stage, session_of())).rows == tuple(QUESTIONS)
    assert stage.runs == [False, True]


async def test_any_other_failure_of_a_stage_is_the_builds() -> None:
    """It is not tried again in vain."""
    stage = Stage(damaged=KeyError)
    with pytest.raises(KeyError):
        await ran(stage, session_of())
    assert stage.runs == [False]


async def test_a_result_that_was_not_written_stops_the_build() -> None:
    """The engine goes on without it; a build that is started again would ask once more."""
    with pytest.raises(StoreError, match="no space"):
        await ran(Stage(), session_of(unwritten=StoreError("no space")))
