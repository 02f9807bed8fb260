"""Laws of stored stage results."""

import io
import pickle

import pyarrow.parquet as pq
import pytest

from tasks.results import ParquetStageResult, StageResult
from weak2wise_core.errors import InputFileError
from weak2wise_core.records import Question, Rejection, RejectionKind


def result(kind: RejectionKind = RejectionKind.DROPPED) -> StageResult[Question]:
    """A result with a row and a rejection."""
    return StageResult(
        record_type=Question,
        rows=(Question(id="a", question="é?", answer="1"),),
        rejections=(Rejection(question_id="b", stage="s", kind=kind, reason="r", detail="d"),),
    )


def test_a_result_comes_back_as_it_was() -> None:
    """Rows and dropped questions survive a round trip."""
    serializer = ParquetStageResult()
    assert serializer.loads(serializer.dumps(result())) == result()
    empty = StageResult(record_type=Question, rows=())
    assert serializer.loads(serializer.dumps(empty)) == empty


def test_the_bytes_are_a_plain_parquet_file() -> None:
    """Any reader of Parquet opens a stored result."""
    table = pq.read_table(io.BytesIO(ParquetStageResult().dumps(result())))
    assert table.to_pylist() == [{"id": "a", "question": "é?", "answer": "1"}]


def test_nothing_but_a_stage_result_is_stored() -> None:
    """Other objects are refused instead of pickled."""
    with pytest.raises(TypeError, match="only a StageResult"):
        ParquetStageResult().dumps({"a": 1})


def test_a_pickle_in_its_place_is_refused() -> None:
    """Bytes that are not a table of ours are never executed."""
    with pytest.raises(InputFileError):
        ParquetStageResult().loads(pickle.dumps(result().rows))


def test_a_result_with_a_failure_is_not_whole() -> None:
    """Dropped by rule would happen again; a failure would not."""
    assert result(RejectionKind.DROPPED).whole
    assert not result(RejectionKind.QUARANTINED).whole
