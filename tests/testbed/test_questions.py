"""Pool and test: unseen, disjoint, and the same bytes for the same seed."""

from pathlib import Path

import pytest

from testbed.language import read_problem
from testbed.questions import (
    QUESTIONS_FILE,
    held_out_questions,
    main,
    pool_questions,
    write_questions,
)
from testbed.world import Share, share_of


def test_pool_and_test_come_from_their_own_shares() -> None:
    """No chain of the pool is in the test, and the model met neither in pretraining."""
    pool = [read_problem(one.question) for one in pool_questions(count=150, seed=1)]
    test = [read_problem(one.question) for one in held_out_questions(count=150, seed=1)]
    assert {share_of(problem) for problem in pool} == {Share.POOL}
    assert {share_of(problem) for problem in test} == {Share.TEST}
    assert not {problem.chain for problem in pool} & {problem.chain for problem in test}


def test_no_chain_comes_twice_and_answers_are_true() -> None:
    """Every question is a new chain of two to four operations with its answer as text."""
    questions = pool_questions(count=200, seed=3)
    problems = [read_problem(one.question) for one in questions]
    assert len({problem.chain for problem in problems}) == 200
    assert {len(problem.operations) for problem in problems} == {2, 3, 4}
    assert [one.answer for one in questions] == [problem.answer for problem in problems]


def test_ids_are_stable() -> None:
    """More questions are added at the end: no question changes and no id moves."""
    few, many = pool_questions(count=18, seed=7), pool_questions(count=30, seed=7)
    assert many[:18] == few
    assert few[-1].id == "testbed-00017"
    assert held_out_questions(count=1, seed=7)[0].id == "testbed-test-00000"


def test_another_seed_gives_other_questions() -> None:
    """The seed decides the pool."""
    assert pool_questions(count=5, seed=1) != pool_questions(count=5, seed=2)


def test_the_stored_pool_is_what_the_command_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The committed file is the documented command's output, byte by byte."""
    path = tmp_path / "questions.jsonl"
    arguments = ["questions", "--count", "120", "--seed", "7", "--out", str(path)]
    monkeypatch.setattr("sys.argv", arguments)
    main()
    assert path.read_bytes() == QUESTIONS_FILE.read_bytes()


def test_rows_are_sorted_by_id(tmp_path: Path) -> None:
    """The order of the questions does not reach the file."""
    questions = pool_questions(count=12, seed=1)
    write_questions(questions, path=tmp_path / "a.jsonl")
    write_questions(questions[::-1], path=tmp_path / "b.jsonl")
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
