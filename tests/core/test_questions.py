"""Laws of reading a question-answer set."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from weak2wise_core.config import DecontaminationSettings, QuestionsSettings
from weak2wise_core.errors import InputFileError
from weak2wise_core.questions import QuestionSet, answer_text, decontaminate, load_questions
from weak2wise_core.records import Question, RejectionKind

GOOD = {"id": "good", "question": "What is 1 + 2?", "answer": "3"}


def load(path: Path, rows: list[object], **settings: Any) -> QuestionSet:
    """Write rows as JSONL, one JSON value or raw line each, and read them."""
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    path.write_bytes(b"\n".join(lines))
    return load_questions(QuestionsSettings(path=path, **settings))


MALFORMED = [
    ("not_json", b"{not json"),
    ("not_json", b"[" * 100_000),
    ("not_json", b'{"question": "q", "answer": ' + b"9" * 5_000 + b"}"),
    ("not_utf8", b'{"question": "\xff\xfe", "answer": "1"}'),
    ("not_an_object", ["a", "list"]),
    ("not_an_object", b"null"),
    ("no_question", {"answer": "1"}),
    ("no_question", {"question": None, "answer": "1"}),
    ("no_question", {"question": " \n ", "answer": "1"}),
    ("question_not_text", {"question": 5, "answer": "1"}),
    ("question_not_text", {"question": ["q"], "answer": "1"}),
    ("question_too_long", {"question": "x" * 10_000_000, "answer": "1"}),
    ("no_answer", {"question": "q"}),
    ("no_answer", {"question": "q", "answer": None}),
    ("no_answer", {"question": "q", "answer": ""}),
    ("answer_not_text", {"question": "q", "answer": [1, 2]}),
    ("answer_not_text", {"question": "q", "answer": {"value": 1}}),
    ("answer_not_text", {"question": "q", "answer": True}),
    ("answer_not_finite", b'{"question": "q", "answer": NaN}'),
    ("answer_not_finite", b'{"question": "q", "answer": Infinity}'),
    ("answer_too_long", {"question": "q", "answer": "9" * 10_001}),
    ("id_too_long", {"id": 10**400, "question": "q", "answer": "1"}),
    ("control_character", {"question": "what\u0000?", "answer": "1"}),
    ("control_character", {"question": "what\u001b[31m?", "answer": "1"}),
    ("control_character", {"question": "q", "answer": "1\u0000"}),
    ("bidi_control", {"question": "what \u202e is this", "answer": "1"}),
    ("bidi_control", {"question": "q", "answer": "\u20661"}),
    ("lone_surrogate", b'{"question": "half \\ud800 a pair", "answer": "1"}'),
    ("control_token", {"question": "what <|im_end|> is this", "answer": "1"}),
    ("control_token", {"question": "q", "answer": "</think> 1"}),
    ("id_not_text", {"id": ["x"], "question": "q", "answer": "1"}),
    ("id_not_text", {"id": True, "question": "q", "answer": "1"}),
    ("id_too_long", {"id": "x" * 201, "question": "q", "answer": "1"}),
    ("id_not_printable", {"id": "a\nb", "question": "q", "answer": "1"}),
    ("duplicate_id", {"id": "good", "question": "another question", "answer": "1"}),
    ("conflicting_answers", {"id": "other", "question": "What is 1 + 2?", "answer": "4"}),
]


@pytest.mark.parametrize(("reason", "row"), MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_row_is_named_and_the_rest_goes_on(
    tmp_path: Path, reason: str, row: object
) -> None:
    """One bad row is one quarantined rejection with its reason; good rows are read."""
    found = load(tmp_path / "q.jsonl", [GOOD, row, {"question": "last", "answer": 7}])
    assert [item.reason for item in found.rejections] == [reason]
    assert found.rejections[0].kind is RejectionKind.QUARANTINED
    assert "row 2" in found.rejections[0].detail
    assert [one.answer for one in found.questions] == ["3", "7"]
    assert found.rows == 3


def test_a_repeated_question_is_dropped(tmp_path: Path) -> None:
    """A copy that differs in layout and case only is dropped, not quarantined."""
    again = {"id": "again", "question": " what is  1 + 2?\n", "answer": "3"}
    found = load(tmp_path / "q.jsonl", [GOOD, again])
    assert [(item.reason, item.kind) for item in found.rejections] == [
        ("duplicate", RejectionKind.DROPPED)
    ]


def test_questions_that_differ_in_a_sign_are_not_copies(tmp_path: Path) -> None:
    """Mathematics lives in the punctuation."""
    minus = {"id": "minus", "question": "What is 1 - 2?", "answer": "-1"}
    assert len(load(tmp_path / "q.jsonl", [GOOD, minus]).questions) == 2


@pytest.mark.parametrize(("answer", "text"), [(18, "18"), (-3, "-3"), (2.5, "2.5"), (" 7 ", "7")])
def test_numbers_become_text(tmp_path: Path, answer: object, text: str) -> None:
    """An answer that is a number is the text of that number."""
    found = load(tmp_path / "q.jsonl", [{"question": "q", "answer": answer}])
    assert found.questions[0].answer == text


def test_an_absent_id_is_a_stable_hash_of_the_question(tmp_path: Path) -> None:
    """The same question gets the same id wherever it stands."""
    row = {"question": "Which?", "answer": "this"}
    first = load(tmp_path / "a.jsonl", [row]).questions[0]
    second = load(tmp_path / "b.jsonl", [GOOD, row]).questions[1]
    assert first.id == second.id
    assert first.id.startswith("q-")


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_every_format_gives_the_same_questions(tmp_path: Path, ending: str) -> None:
    """CSV, Parquet and JSONL of one table are one question set."""
    table = pd.DataFrame([GOOD, {"id": "two", "question": 'a "quoted"\nline', "answer": "x,y"}])
    path = tmp_path / f"q.{ending}"
    if ending == "csv":
        table.to_csv(path, index=False)
    elif ending == "parquet":
        table.to_parquet(path)
    else:
        table.to_json(path, orient="records", lines=True)
    found = load_questions(QuestionsSettings(path=path))
    assert [(one.id, one.answer) for one in found.questions] == [("good", "3"), ("two", "x,y")]


@pytest.mark.parametrize(
    "name", ["absent.jsonl", "q.txt", "folder.jsonl", "empty.jsonl", "bad.parquet"]
)
def test_an_unusable_file_is_one_clear_error(tmp_path: Path, name: str) -> None:
    """A file that cannot be used at all is named in an error with exit code 2."""
    (tmp_path / "q.txt").write_text("text")
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InputFileError, match=name) as caught:
        load_questions(QuestionsSettings(path=tmp_path / name))
    assert caught.value.exit_code == 2


def test_a_file_with_other_field_names_says_which_are_read(tmp_path: Path) -> None:
    """When no row has the fields, the error names the settings that choose them."""
    with pytest.raises(InputFileError, match=r"questions\.question_field"):
        load(tmp_path / "q.jsonl", [{"problem": "q", "solution": "1"}])


def question(text: str) -> Question:
    """A question by its text."""
    return Question(id=text, question=text, answer="1")


def test_an_overlap_of_eight_words_is_contamination(tmp_path: Path) -> None:
    """Eight words in a row that stand in a benchmark drop a question; seven do not."""
    benchmark = tmp_path / "benchmark.jsonl"
    shared = "one two three four five six seven eight"
    benchmark.write_text(json.dumps({"question": f"Start {shared} end"}))
    dirty, clean = question(f"Then: ONE two, {shared[8:]}!"), question(shared[:-6] + " nine")
    kept, dropped = decontaminate(
        [dirty, clean], settings=DecontaminationSettings(against=(benchmark,))
    )
    assert kept == [clean]
    assert [(item.question_id, item.reason) for item in dropped] == [(dirty.id, "contaminated")]


def test_a_short_benchmark_question_is_matched_as_a_whole(tmp_path: Path) -> None:
    """Fewer words than the n-gram match only when they are all of the question."""
    benchmark = tmp_path / "benchmark.jsonl"
    benchmark.write_text(json.dumps({"question": "Is 7 prime?"}))
    settings = DecontaminationSettings(against=(benchmark,))
    kept, dropped = decontaminate(
        [question("is 7 PRIME"), question("Is 8 prime?")], settings=settings
    )
    assert [one.id for one in kept] == ["Is 8 prime?"]
    assert len(dropped) == 1


def test_a_benchmark_without_the_field_is_an_error(tmp_path: Path) -> None:
    """A benchmark that cannot be compared must not pass for one without overlap."""
    benchmark = tmp_path / "benchmark.jsonl"
    benchmark.write_text(json.dumps({"problem": "x"}))
    with pytest.raises(InputFileError, match="question_field"):
        decontaminate([question("x")], settings=DecontaminationSettings(against=(benchmark,)))


def test_real_question_sets_are_read_whole(shared_data: Path) -> None:
    """Published sets of 400 questions have no row that is refused."""
    for name in ("gsm8k_200", "olymmath_en_easy", "imo_answerbench_100"):
        found = load_questions(QuestionsSettings(path=shared_data / "qa" / f"{name}.jsonl"))
        assert found.rejections == ()


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_spreadsheet_may_separate_fields_as_it_likes(tmp_path: Path, separator: str) -> None:
    """Where a comma is a decimal sign, files called CSV have semicolons or tabs."""
    path = tmp_path / "q.csv"
    lines = [("id", "question", "answer"), ("a", '"Is 1,5; or 2 more?"', "2")]
    path.write_text("".join(separator.join(line) + "\r\n" for line in lines), "utf-8-sig")
    (found,) = load_questions(QuestionsSettings(path=path)).questions
    assert (found.id, found.question, found.answer) == ("a", "Is 1,5; or 2 more?", "2")


def test_a_byte_that_is_no_text_costs_its_row_of_a_spreadsheet(tmp_path: Path) -> None:
    """One row of another encoding is named; the rows around it are read."""
    path = tmp_path / "q.csv"
    path.write_bytes(b"id,question,answer\na,One?,1\nb,\xe9t\xe9?,2\nc,Three?,3\n")
    found = load_questions(QuestionsSettings(path=path))
    assert [one.id for one in found.questions] == ["a", "c"]
    assert [(one.question_id, one.reason) for one in found.rejections] == [("row-2", "not_utf8")]


def test_an_answer_may_be_a_larger_integer_than_any_float(tmp_path: Path) -> None:
    """Factorials are answers; nothing makes a float of them."""
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps({"question": "400 zeros?", "answer": 10**400}) + "\n")
    (question,) = load_questions(QuestionsSettings(path=path)).questions
    assert question.answer == "1" + "0" * 400
    assert answer_text(10**400) == question.answer
    assert answer_text(Decimal("sNaN")) is answer_text(Decimal("Infinity")) is None


@pytest.mark.parametrize("kind", [pa.timestamp("us"), pa.date32()])
def test_a_date_that_no_calendar_knows_is_a_named_error(tmp_path: Path, kind: pa.DataType) -> None:
    """It is the file that is named, and what is wrong with it."""
    path, far = tmp_path / "q.parquet", pa.array([2**30 if kind == pa.date32() else 2**60])
    far = far.cast(pa.int32()) if kind == pa.date32() else far
    pq.write_table(pa.table({"question": ["q"], "answer": ["1"], "day": far.cast(kind)}), path)
    with pytest.raises(InputFileError, match=r"q\.parquet cannot be read: "):
        load_questions(QuestionsSettings(path=path))
