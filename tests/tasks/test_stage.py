"""What every stage task does beside its stage."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tasks.caching import StageKey
from tasks.results import ParquetStageResult, StageResult
from tasks.stage import StageTask, keyed, stage_task, stored_in
from weak2wise_core.errors import StoreError
from weak2wise_core.records import Question, Rejection, RejectionKind

ROWS = [Question(id="a", question="1 + 1", answer="2")]
LOST = Rejection(
    question_id="b", stage="format_sft", kind=RejectionKind.QUARANTINED, reason="r", detail="d"
)


def stage_giving(result: StageResult[Question]) -> Any:
    """The coroutine of a stage, as the engine runs it."""

    @stage_task("format_sft")
    async def stage(*, questions: Sequence[Question]) -> StageResult[Question]:
        return result

    return stage.fn


async def test_a_result_that_is_stored_brings_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made outside of the event loop's thread, and taken as it is."""
    makers = []
    dumps = ParquetStageResult.dumps

    def noted(self: ParquetStageResult, result: Any) -> bytes:
        makers.append(threading.current_thread())
        return dumps(self, result)

    monkeypatch.setattr(ParquetStageResult, "dumps", noted)
    plain = StageResult(record_type=Question, rows=tuple(ROWS))
    found = await stage_giving(plain)(questions=ROWS)
    assert found == plain
    assert makers != []
    assert threading.current_thread() not in makers
    assert dumps(ParquetStageResult(), found) is found.packed
    assert found.packed == dumps(ParquetStageResult(), plain)


@pytest.mark.parametrize(
    "result",
    [
        StageResult(record_type=Question, rows=tuple(ROWS), rejections=(LOST,)),
        StageResult(record_type=Question, rows=tuple(ROWS), settled=False),
    ],
)
async def test_a_result_that_is_not_stored_has_none(result: StageResult[Question]) -> None:
    """A question failed: the next build asks again."""
    assert (await stage_giving(result)(questions=ROWS)).packed is None


async def test_rows_that_no_file_can_hold_are_left_to_the_engine() -> None:
    """It meets the same error when it stores the result, and tells."""
    half = StageResult(
        record_type=Question, rows=(Question(id="a", question="\ud83d", answer="2"),)
    )
    found = await stage_giving(half)(questions=ROWS)
    with pytest.raises(StoreError):
        ParquetStageResult().dumps(found)


@pytest.fixture
def stored(tmp_path: Path) -> StageTask[..., Question]:
    """A stage of the related methods, whose key reads one model and no recipe."""

    @stage_task("answer_questions")
    async def stage(**_: Any) -> StageResult[Question]:
        raise AssertionError("it is not run")

    return stored_in(stage, tmp_path)


async def test_the_key_is_known_before_the_engine_asks(
    stored: StageTask[..., Question], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the one that the engine would find, worked out in another thread."""
    makers = []

    def noted(self: StageKey, inputs: Any) -> str:
        makers.append(threading.current_thread())
        return f"{self.stage}/{len(inputs)}"

    monkeypatch.setattr(StageKey, "of", noted)
    ready = await keyed(stored, {"questions": ROWS})
    policy = ready.cache_policy
    assert isinstance(policy, StageKey)
    assert policy.compute_key(None, {}, {}) == "answer_questions/1"  # type: ignore[arg-type]
    assert len(makers) == 1
    assert threading.current_thread() not in makers
    assert isinstance(stored.cache_policy, StageKey)
    assert stored.cache_policy.known is None
    assert policy.key_storage is stored.cache_policy.key_storage


async def test_inputs_without_a_key_are_left_to_the_engine(
    stored: StageTask[..., Question], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says why, and stores nothing."""

    def refused(self: StageKey, inputs: Any) -> str:
        raise TypeError(f"no plain data: {inputs} of {self.stage}")

    monkeypatch.setattr(StageKey, "of", refused)
    assert await keyed(stored, {"questions": ROWS}) is stored
