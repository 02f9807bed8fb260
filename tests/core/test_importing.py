"""Laws of importing existing replies: every row is a candidate or has a named reason."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from weak2wise_core.equivalence import AnswerChecker
from weak2wise_core.importing import import_rows, short_name, with_titles
from weak2wise_core.questions import read_objects
from weak2wise_core.records import Question, Refusal, Verdict
from weak2wise_core.steps import split_steps

STEPS = "## Add\n1 + 1 = 2\n\n## Final Answer\n2"
ROW = {"id": "q", "question": "1 + 1?", "gold": 2, "model": "R1 (API)"}


def check(gold: str, answer: str) -> Verdict:
    """A rule that knows equal texts only."""
    return Verdict.CORRECT if gold in answer else Verdict.INCORRECT


@pytest.mark.parametrize(
    "reply",
    [
        {"reasoning_content": "thinking", "content": STEPS},
        {"reasoning": "thinking", "content": STEPS},
        {"content": f"<think>thinking</think>{STEPS}"},
        {"raw": f"thinking</think>\n{STEPS}"},
        {"raw": f"think\nthinking\nanswer\n{STEPS}"},
        {
            "response_object": {
                "choices": [
                    {
                        "finish_reason": "stop",
                        "message": {"content": STEPS, "reasoning_content": "thinking"},
                    }
                ],
                "model": "R1 (API)",
            }
        },
    ],
)
def test_every_shape_of_a_reply_is_read(reply: dict[str, Any]) -> None:
    """Thinking and steps come out the same, however the reply was kept."""
    found = import_rows([ROW | reply], check=check)
    (one,) = found.candidates
    assert (one.normal_reasoning.strip(), one.refusal, one.strong_model) == (
        "thinking",
        None,
        "R1-API",
    )


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"id": "q", "question": "?", "content": STEPS}, "no_gold_answer"),
        ({"id": "q", "gold": "2", "content": STEPS}, "no_question"),
        (ROW, "no_reply"),
        (ROW | {"content": 5}, "no_reply"),
        (ROW | {"response_object": {"choices": []}}, "bad_response_object"),
    ],
)
def test_a_row_that_is_no_candidate_is_named(row: dict[str, Any], reason: str) -> None:
    """Nothing is lost: rows are candidates plus rejections."""
    found = import_rows([row], check=check)
    assert [item.reason for item in found.rejections] == [reason]
    assert (found.rows, found.candidates) == (1, ())


def test_a_question_file_fills_in_what_a_row_lacks() -> None:
    """Question and gold answer are found by id."""
    known = [Question(id="q", question="1 + 1?", answer="2")]
    row = {"id": "q", "model": "m", "raw": f"thinking</think>{STEPS}"}
    (one,) = import_rows([row], questions=known, check=check).candidates
    assert one.refusal is None


def test_replies_of_one_model_to_one_question_are_its_draws() -> None:
    """Draws are numbered in the order of the file."""
    rows = [ROW | {"reasoning_content": str(i), "content": STEPS} for i in range(3)]
    assert [one.draw for one in import_rows(rows, check=check).candidates] == [0, 1, 2]


def test_text_without_steps_gets_titles_on_request_only() -> None:
    """Paragraphs become steps and the final answer the last one; nothing is invented."""
    row = ROW | {"reasoning_content": "t", "content": "One and one.\n\nSo it is \\boxed{2}."}
    (plain,) = import_rows([row], check=check).candidates
    assert plain.refusal is Refusal.NO_STEP
    (titled,) = import_rows([row], check=check, titles=True).candidates
    assert titled.refusal is None
    steps = split_steps(titled.step_reasoning)
    assert [step.is_final for step in steps] == [False, False, True]
    assert with_titles(STEPS) == STEPS


def test_a_model_id_becomes_a_short_name() -> None:
    """Names hold letters, digits, dots, dashes and underscores."""
    assert short_name("DeepSeek-R1 (deepseek-reasoner API)") == "DeepSeek-R1-deepseek-reasoner-API"
    assert short_name("") == "unknown"


@pytest.fixture(scope="module")
def checker() -> Callable[[str, str], Verdict]:
    """The rule-based checker."""
    return AnswerChecker().check


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("gsm8k_r1_qwq_s11_dsq_120q", 480),
        ("gsm8k_raw_strings_48", 48),
        ("deepseek_r1_api_objects_50", 50),
        ("mrgsm8k_step_solutions_120", 115),
    ],
)
def test_real_traces_are_loaded_with_every_refusal_named(
    shared_data: Path, checker: Callable[[str, str], Verdict], name: str, rows: int
) -> None:
    """Each published row is a candidate, refused or not, or a rejection with a reason."""
    path = shared_data / "traces" / f"{name}.jsonl"
    found = import_rows(read_objects(path), check=checker)
    assert found.rows == rows == len(found.candidates) + len(found.rejections)
    assert all(item.reason and item.detail for item in found.rejections)
    assert all(one.detail for one in found.candidates if one.refusal is not None)


def test_most_real_traces_are_usable_with_titles(
    shared_data: Path, checker: Callable[[str, str], Verdict]
) -> None:
    """Of 480 real replies without steps, those with the right answer become candidates."""
    path = shared_data / "traces" / "gsm8k_r1_qwq_s11_dsq_120q.jsonl"
    labels = [json.loads(line)["label"] for line in path.read_text().splitlines()]
    found = import_rows(read_objects(path), check=checker, titles=True)
    usable = [one.refusal is None for one in found.candidates]
    wrong = sum(ok for ok, label in zip(usable, labels, strict=True) if label == "incorrect")
    assert sum(usable) >= 440
    assert wrong <= 2
