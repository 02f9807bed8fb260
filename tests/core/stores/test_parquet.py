import dataclasses
import subprocess
import types
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from weak2wise_core import records
from weak2wise_core.errors import InputFileError, StoreError
from weak2wise_core.records import Question, Rejection, RejectionKind, ScoredTrace, Verdict
from weak2wise_core.related.records import PreferencePair
from weak2wise_core.stores.parquet import (
    TABLES,
    TableSpec,
    describe,
    from_bytes,
    read,
    to_bytes,
    write,
)

Start = Callable[..., subprocess.Popen[str]]

PARTS_OF_OTHERS = {"ChatReply", "Judgement", "Message", "Spent", "Usage"}
"""Records that have no table of their own."""

VALUES: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(),
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
}

every_table = pytest.mark.parametrize("record_type", TABLES, ids=lambda kind: kind.__name__)


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """All values that a field of this type can have."""
    if hint in VALUES:
        return VALUES[hint]
    if get_origin(hint) is tuple:
        return st.lists(values_of(get_args(hint)[0]), max_size=4).map(tuple)
    if get_origin(hint) in (Union, types.UnionType):
        return st.none() | values_of(get_args(hint)[0])
    if issubclass(hint, Enum):
        return st.sampled_from(hint)
    return records_of(hint)


def records_of(record_type: Any) -> st.SearchStrategy[Any]:
    """All records of a type."""
    hints = get_type_hints(record_type)
    return st.builds(record_type, **{name: values_of(hint) for name, hint in hints.items()})


def column_of(name: str, hint: Any) -> pa.Field:
    """The column that a field of this type should have."""
    if get_origin(hint) in (Union, types.UnionType):
        return column_of(name, get_args(hint)[0]).with_nullable(True)
    return pa.field(name, type_of(hint), nullable=False)


def type_of(hint: Any) -> pa.DataType:
    """The Arrow type in which values of this type are stored."""
    if get_origin(hint) is tuple:
        return pa.list_(column_of("element", get_args(hint)[0]))
    if dataclasses.is_dataclass(hint):
        return pa.struct(columns_of(hint))
    if issubclass(hint, Enum):
        return pa.string()
    return {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}[hint]


def columns_of(record_type: Any) -> list[pa.Field]:
    """The columns that a record type should have, in the order of its fields."""
    hints = get_type_hints(record_type)
    return [column_of(item.name, hints[item.name]) for item in dataclasses.fields(record_type)]


def questions(count: int) -> list[Question]:
    """As many questions."""
    return [Question(id=str(n), question=f"What is {n}?", answer=str(n)) for n in range(count)]


def rewritten(data: bytes, *, metadata: dict[bytes, bytes]) -> bytes:
    """The same columns under other metadata."""
    table = pq.read_table(pa.BufferReader(data))
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(metadata), sink)
    return bytes(sink.getvalue())


@every_table
def test_a_table_has_a_column_for_each_field(record_type: type) -> None:
    """A field without a column, or a column of another type, is a change that needs a version."""
    assert TABLES[record_type].schema.equals(pa.schema(columns_of(record_type)))


def test_every_record_has_a_table() -> None:
    """Each noun that travels between stages has one table, and no two share a name."""
    nouns = {
        kind
        for name, kind in vars(records).items()
        if dataclasses.is_dataclass(kind) and name not in PARTS_OF_OTHERS
    }
    assert nouns | {PreferencePair} == set(TABLES)
    names = [spec.name for spec in TABLES.values()]
    assert sorted(names) == [
        "annotation_queue",
        "answers",
        "attempts",
        "audits",
        "candidates",
        "evaluated_samples",
        "golden",
        "measures",
        "outcomes",
        "pairs",
        "quarantine",
        "questions",
        "scores",
        "train",
    ]
    assert TABLES[Question].id == "questions/1"


@every_table
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_what_is_written_is_read(record_type: type, data: st.DataObject) -> None:
    """Any records come back as they were, in their order, from the same bytes each time."""
    rows = data.draw(st.lists(records_of(record_type), max_size=4))
    written = to_bytes(rows, record_type)
    back: list[Any] = from_bytes(written, record_type)
    assert back == rows
    assert all(type(row) is record_type for row in back)
    assert to_bytes(back, record_type) == written


def test_long_and_odd_texts_are_read_as_written() -> None:
    """NUL, emoji, line ends, an empty text and two million characters survive."""
    texts = ["", "\x00", "a\x00b", "😀\u200d🧠", "\r\n\u2028", "ß∑" * 1_000_000]
    rows = [Question(id=str(n), question=text, answer="") for n, text in enumerate(texts)]
    assert from_bytes(to_bytes(rows, Question), Question) == rows


def test_enums_and_tuples_come_back_as_such() -> None:
    """A verdict read is a Verdict and compares by identity; a list is a tuple again."""
    rows = [
        ScoredTrace(
            question_id="q",
            strong_model="m",
            draw=0,
            outcomes=(Verdict.CORRECT, Verdict.UNJUDGED),
            asked=(True, False),
            normal_tokens=3,
            reading="unit_range",
            beta=0.5,
            s_avg=None,
            s_ew=None,
            score=None,
            lower=0.25,
            upper=1.0,
        )
    ]
    row = from_bytes(to_bytes(rows, ScoredTrace), ScoredTrace)[0]
    assert row.outcomes[0] is Verdict.CORRECT
    assert isinstance(row.outcomes, tuple)
    assert row.score is None


def test_many_rows_keep_their_order() -> None:
    """Rows beyond one row group stand where they stood."""
    rows = questions(2500)
    data = to_bytes(rows, Question)
    assert from_bytes(data, Question) == rows
    assert pq.ParquetFile(pa.BufferReader(data)).metadata.num_row_groups == 3


@pytest.mark.slow
def test_every_process_writes_the_same_bytes(start: Start) -> None:
    """The same rows have the same digest in another process."""
    digests = {start("digest", 1500).communicate(timeout=60)[0] for _ in range(2)}
    assert len(digests) == 1
    assert len(digests.pop().strip()) == 64


def test_extra_metadata_travels(tmp_path: Path) -> None:
    """What is given as `extra` is described again, together with the type of the records."""
    data = to_bytes(questions(1), Question, extra={"weak2wise.dropped": '["é"]', "b": ""})
    assert describe(data) == (Question, {"weak2wise.dropped": '["é"]', "b": ""})
    assert from_bytes(data, Question) == questions(1)
    assert describe(to_bytes([], Rejection)) == (Rejection, {})


def test_extra_metadata_cannot_change_the_table() -> None:
    """The name of the table is the project's own to set."""
    data = to_bytes([], Question, extra={"weak2wise.table": "train", "weak2wise.version": "9"})
    assert describe(data)[0] is Question


def test_other_programs_read_the_files(tmp_path: Path) -> None:
    """DuckDB and pandas find the columns, the words of enums and the lists."""
    path = tmp_path / "quarantine.parquet"
    rows = [
        Rejection(
            question_id="1", stage="filter", kind=RejectionKind.DROPPED, reason="r", detail=""
        ),
        Rejection(
            question_id="2",
            stage="score",
            kind=RejectionKind.QUARANTINED,
            reason="unjudged",
            detail="😀",
            model="m",
            draw=2,
        ),
    ]
    write(path, rows, Rejection)
    with duckdb.connect() as connection:
        relation = connection.execute("select kind, draw, detail from read_parquet(?)", [str(path)])
        assert relation.fetchall() == [("dropped", None, ""), ("quarantined", 2, "😀")]
    frame = pd.read_parquet(path)
    assert list(frame["kind"]) == ["dropped", "quarantined"]
    assert list(frame.columns) == [item.name for item in dataclasses.fields(Rejection)]


def test_lists_are_lists_for_other_programs(tmp_path: Path) -> None:
    """DuckDB can take the outcomes and what was spent apart."""
    spent = records.Spent(
        model="weak",
        returned="m-1",
        calls=2,
        prompt_tokens=3,
        completion_tokens=4,
        reasoning_tokens=0,
        cached_tokens=0,
    )
    row = records.MaskOutcomes(
        question_id="q",
        strong_model="m",
        draw=0,
        outcomes=(Verdict.CORRECT, Verdict.INCORRECT),
        asked=(True, True),
        attempts=("a", ""),
        normal_tokens=1,
        spent=(spent,),
    )
    write(tmp_path / "outcomes.parquet", [row], records.MaskOutcomes)
    with duckdb.connect() as connection:
        found = connection.execute(
            "select outcomes[1], len(attempts), spent[1].calls from read_parquet(?)",
            [str(tmp_path / "outcomes.parquet")],
        ).fetchall()
    assert found == [("correct", 2, 2)]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """Rows that cannot be stored leave the old file as it was."""
    path = tmp_path / "questions.parquet"
    write(path, questions(2), Question)
    with pytest.raises(StoreError):
        write(path, [Question(id="a", question="\ud83d", answer="")], Question)
    assert read(path, Question) == questions(2)
    assert [item.name for item in tmp_path.iterdir()] == ["questions.parquet"]


def test_half_a_surrogate_pair_is_named() -> None:
    """UTF-8 cannot hold it: the error says in which record and column it stands."""
    rows = [*questions(3), Question(id="odd", question="ok", answer="x\ud83d")]
    with pytest.raises(StoreError, match=r"questions/1, id 'odd', column answer: .*surrogates"):
        to_bytes(rows, Question)


def test_numbers_that_do_not_fit_are_named() -> None:
    """Whole numbers have 64 bits, and a score that is no number is not stored."""
    row = Rejection(
        question_id="q", stage="s", kind=RejectionKind.DROPPED, reason="r", detail="", draw=2**63
    )
    with pytest.raises(StoreError, match="quarantine/1, question_id 'q', column draw"):
        to_bytes([row], Rejection)
    example_row = records.GoldenReasoning(
        question_id="q",
        strong_model="m",
        draw=0,
        source=records.GoldenSource.STEP_MASK,
        score=float("nan"),
        golden_reasoning="",
        truncation=records.Truncation.RULE,
        normal_tokens=0,
        golden_tokens=0,
        spent=(),
    )
    with pytest.raises(StoreError, match="column score: a value is NaN or infinite"):
        to_bytes([example_row], records.GoldenReasoning)


def test_records_of_another_type_are_refused() -> None:
    """A table takes its own records, with a value in each column that needs one."""
    with pytest.raises(TypeError, match="scores/1 takes ScoredTrace, found Question"):
        to_bytes(questions(1), ScoredTrace)
    with pytest.raises(TypeError, match="column answer: a value is missing"):
        to_bytes([Question(id="a", question="b", answer=None)], Question)  # type: ignore[arg-type]


def test_another_table_is_refused_by_name(tmp_path: Path) -> None:
    """Reading a file of another table says which one it is."""
    write(tmp_path / "file", questions(1), Question)
    with pytest.raises(InputFileError, match="file: holds the table questions, not quarantine"):
        read(tmp_path / "file", Rejection)


def test_another_version_is_refused_by_name() -> None:
    """A newer table is not guessed at."""
    metadata = {b"weak2wise.table": b"questions", b"weak2wise.version": b"7"}
    data = rewritten(to_bytes(questions(1), Question), metadata=metadata)
    with pytest.raises(InputFileError, match=r"holds questions/7, and .* reads questions/1"):
        from_bytes(data, Question)


def test_a_table_nobody_knows_is_refused() -> None:
    """`describe` names a table that a newer program may have invented."""
    data = rewritten(to_bytes([], Question), metadata={b"weak2wise.table": b"dreams"})
    with pytest.raises(InputFileError, match="table dreams, which"):
        describe(data)


def test_files_of_other_programs_are_refused() -> None:
    """A Parquet file without our metadata is not read, even if its columns fit."""
    data = rewritten(to_bytes(questions(1), Question), metadata={})
    for reading in (lambda: from_bytes(data, Question), lambda: describe(data)):
        with pytest.raises(InputFileError, match=r"without weak2wise\.table"):
            reading()


def test_other_columns_are_refused() -> None:
    """Our metadata over other columns is not believed."""
    sink = pa.BufferOutputStream()
    schema = pa.schema([("id", pa.int64())], metadata=TABLES[Question].schema.metadata)
    pq.write_table(pa.table({"id": [1]}, schema=schema), sink)
    with pytest.raises(InputFileError, match=r"Found: id int64. Expected: id string, question"):
        from_bytes(bytes(sink.getvalue()), Question)


def test_a_word_outside_an_enum_is_refused() -> None:
    """A verdict that does not exist is an error, not a string that slips in."""
    spec: TableSpec = TABLES[Rejection]
    columns = {name: ["x"] for name in spec.schema.names} | {"draw": [1]}
    sink = pa.BufferOutputStream()
    metadata = spec.schema.metadata | {b"weak2wise.rows": b"1"}
    pq.write_table(pa.table(columns, schema=spec.schema.with_metadata(metadata)), sink)
    with pytest.raises(InputFileError, match="'x' is not a valid RejectionKind"):
        from_bytes(bytes(sink.getvalue()), Rejection)


def test_another_number_of_rows_is_refused() -> None:
    """A count changed in the footer, which has no checksum, does not drop rows in silence."""
    metadata = TABLES[Question].schema.metadata | {b"weak2wise.rows": b"3"}
    data = rewritten(to_bytes(questions(2), Question), metadata=metadata)
    with pytest.raises(InputFileError, match="the number of rows is not the one"):
        from_bytes(data, Question)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A path without a file, or with a folder, is an error about that path."""
    with pytest.raises(InputFileError, match=r"nothing\.parquet cannot be read: No such file"):
        read(tmp_path / "nothing.parquet", Question)
    with pytest.raises(InputFileError, match="cannot be read: Is a directory"):
        read(tmp_path, Question)


GOOD = to_bytes(questions(5), Question)


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
@example(0, 1)
@settings(deadline=None)
def test_damage_is_never_read_as_content(position: int, change: int) -> None:
    """With any byte changed a file gives its rows or an error, never other rows."""
    data = bytearray(GOOD)
    data[position] ^= change
    try:
        rows = from_bytes(bytes(data), Question)
    except InputFileError:
        return
    assert rows == questions(5)


@given(st.integers(0, len(GOOD) - 1))
@example(0)
@settings(deadline=None)
def test_a_cut_file_is_refused(length: int) -> None:
    """No part of a file from its beginning passes for a file."""
    for reading in (lambda: from_bytes(GOOD[:length], Question), lambda: describe(GOOD[:length])):
        with pytest.raises(InputFileError, match="not a whole Parquet file"):
            reading()
