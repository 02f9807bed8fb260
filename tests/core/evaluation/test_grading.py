"""Laws of grading: every accepted form of a right answer is right, and no form of a wrong one."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.loopback_replies import Reply, completion_object
from tests.core.evaluation.shapes import (
    CHOICES,
    NEVER_33,
    NOT_SAME,
    SAME,
    WHOLE,
    choice_replies,
    gold_letter,
    unfinished_replies,
    whole_replies,
)
from weak2wise_core.config import BenchmarkKind
from weak2wise_core.equivalence import AnswerChecker
from weak2wise_core.evaluation.benchmarks import Problem
from weak2wise_core.evaluation.choices import LETTERS, in_order
from weak2wise_core.evaluation.grading import Grade, Grader, visible_text
from weak2wise_core.llm.replies import parse_completion, split_thinking
from weak2wise_core.records import ChatReply, FinishReason, Usage, Verdict


def shown(reply: Reply) -> str:
    """The name of a test case."""
    return str(reply.content)[:60]


THIRTY_THREE = Problem(id="q", question="How many?", gold="33")
ENZYME = Problem(
    id="q",
    question="Which enzyme?",
    gold=gold_letter("Which enzyme?"),
    choices=in_order("Which enzyme?", CHOICES),
)


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    """Our grader."""
    with AnswerChecker() as checker:
        yield Grader(checker)


def grade(grader: Grader, reply: Reply, *, problem: Problem, kind: BenchmarkKind) -> Grade:
    """Grade what a client reads out of a server's reply, by a model that is known to think."""
    parsed = parse_completion(completion_object({"model": "m"}, reply, fault=None))
    return grader.grade(visible_text(parsed, thinks=True), problem=problem, kind=kind)


@pytest.mark.parametrize(
    "reply", list(whole_replies(33)), ids=lambda reply: str(reply.content)[:60]
)
def test_a_whole_number_is_right_in_every_form(grader: Grader, reply: Reply) -> None:
    """Boxed, zero-padded, with a decimal point, in words, in JSON, behind thinking of any shape."""
    found = grade(grader, reply, problem=THIRTY_THREE, kind=BenchmarkKind.AIME)
    assert found.verdict is Verdict.CORRECT


@pytest.mark.parametrize(
    "reply",
    [
        *whole_replies(34),
        *unfinished_replies(33),
        *(Reply(content=text) for text in NEVER_33),
    ],
    ids=shown,
)
def test_another_number_is_right_in_no_form(grader: Grader, reply: Reply) -> None:
    """Nor is the right one in thinking that never ended, or in a sentence that denies it."""
    found = grade(grader, reply, problem=THIRTY_THREE, kind=BenchmarkKind.AIME)
    assert found.verdict is not Verdict.CORRECT


@pytest.mark.parametrize(("gold", "answer"), SAME)
def test_another_notation_of_the_answer_is_right(grader: Grader, gold: str, answer: str) -> None:
    """Scientific, mixed, grouped numbers; vectors and tuples; roots in any order; algebra."""
    problem = Problem(id="q", question="What?", gold=gold)
    found = grader.grade(rf"\boxed{{{answer}}}", problem=problem, kind=BenchmarkKind.MATH)
    assert found.verdict is Verdict.CORRECT


@pytest.mark.parametrize(("gold", "answer"), NOT_SAME)
def test_another_answer_is_not(grader: Grader, gold: str, answer: str) -> None:
    """Other units, rounded values, other roots, an order that matters."""
    problem = Problem(id="q", question="What?", gold=gold)
    found = grader.grade(rf"\boxed{{{answer}}}", problem=problem, kind=BenchmarkKind.MATH)
    assert found.verdict is not Verdict.CORRECT


@pytest.mark.parametrize(
    "reply",
    list(choice_replies(ENZYME.gold, CHOICES[0])),
    ids=shown,
)
def test_a_choice_is_right_by_letter_and_by_text(grader: Grader, reply: Reply) -> None:
    """Boxed or not, with its text or without, or by its text alone."""
    found = grade(grader, reply, problem=ENZYME, kind=BenchmarkKind.GPQA)
    assert (found.verdict, found.answer) == (Verdict.CORRECT, ENZYME.gold)


@pytest.mark.parametrize("text", CHOICES[1:])
def test_another_choice_is_wrong_in_every_form(grader: Grader, text: str) -> None:
    """Whichever of the other three it is."""
    letter = LETTERS[ENZYME.choices.index(text)]
    for reply in choice_replies(letter, text):
        found = grade(grader, reply, problem=ENZYME, kind=BenchmarkKind.GPQA)
        assert (found.verdict, found.answer) == (Verdict.INCORRECT, letter), reply.content


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No choice fits.",
        r"\boxed{E}",
        "The answer is A or B.",
        r"\boxed{A, B}",
        rf"\boxed{{{ENZYME.gold}}} Wait, actually it is something else.",
    ],
)
def test_no_choice_or_several_is_not_right(grader: Grader, text: str) -> None:
    """A reply that names none, names two, or takes its choice back."""
    found = grader.grade(text, problem=ENZYME, kind=BenchmarkKind.GPQA)
    assert found.verdict is not Verdict.CORRECT


def test_real_reasoning_is_graded_as_people_do(grader: Grader, shared_data: Path) -> None:
    """Replies of four reasoning models: every label is met, what is ambiguous stays unjudged."""
    source = shared_data / "traces" / "gsm8k_r1_qwq_s11_dsq_120q.jsonl"
    rows = [json.loads(line) for line in source.read_text().splitlines()]
    for row in rows:
        thinking, content = (
            split_thinking(row["raw"])
            if row.get("raw")
            else (row["reasoning_content"], row["content"])
        )
        reply = reply_of(content or "", reasoning=thinking, finish=FinishReason.STOP)
        problem = Problem(id=row["id"], question="?", gold=str(row["gold"]))
        text = visible_text(reply, thinks=True)
        found = grader.grade(text, problem=problem, kind=BenchmarkKind.MATH)
        wanted = {"ambiguous": "unjudged"}.get(row["label"], row["label"])
        assert found.verdict.value == wanted, row["id"]
    assert len(rows) == 480


def reply_of(content: str, *, reasoning: str | None = None, finish: FinishReason) -> ChatReply:
    """A reply as a model gives it."""
    return ChatReply(
        content=content, reasoning=reasoning, finish_reason=finish, usage=Usage(), model="m"
    )


def test_a_model_without_thinking_is_graded_up_to_its_limit() -> None:
    """A base model that rambles on after its answer has answered."""
    reply = reply_of(r"\boxed{33} and on", finish=FinishReason.LENGTH)
    assert visible_text(reply, thinks=False) == reply.content
    assert visible_text(reply, thinks=True) is None


def test_only_unended_thinking_is_cut() -> None:
    """A reply that says nothing after its thinking has no answer; one that closed it has."""
    assert visible_text(reply_of("", reasoning="t", finish=FinishReason.STOP), thinks=True) is None
    assert visible_text(reply_of("", finish=FinishReason.STOP), thinks=True) == ""
    ended = reply_of("33", reasoning="t", finish=FinishReason.LENGTH)
    assert visible_text(ended, thinks=True) == "33"


def test_what_was_read_is_kept(grader: Grader) -> None:
    """The answer that was compared is there to be looked at, right or wrong."""
    for shape in WHOLE[:3]:
        text = shape.replace("N", "34")
        found = grader.grade(text, problem=THIRTY_THREE, kind=BenchmarkKind.AIME)
        assert found.answer is not None
        assert "34" in found.answer
