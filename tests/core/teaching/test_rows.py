"""Laws of what is trained on: nothing is cut, nothing is lost without a name."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weak2wise_core.config import TrainingSettings
from weak2wise_core.records import Answer, FinishReason, Question, Verdict
from weak2wise_core.related.records import PairKind, PlainExample, PreferencePair, TeacherTrace
from weak2wise_core.teaching.rows import (
    fitting_pairs,
    plain_examples,
    responses,
    said,
    trace_examples,
    traces,
)

THINKING = TrainingSettings(max_length=100)
PLAIN = THINKING.model_copy(update={"thinking": False})


def count(prompt: str, reply: str) -> int:
    """Characters stand for tokens."""
    return len(prompt) + len(reply)


def answer(**changes: Any) -> Answer:
    """An answer of a model that thinks."""
    given: dict[str, Any] = {
        "question_id": "q",
        "prompt": "as it was sent",
        "draw": 0,
        "reasoning": " 1 + 1 = 2. ",
        "content": r"\boxed{2}",
        "finish_reason": FinishReason.STOP,
        "verdict": Verdict.CORRECT,
        "model": "m",
        "spent": (),
    }
    return Answer(**given | changes)


QUESTIONS = {"q": Question(id="q", question="1 + 1?", answer="2")}


def trace(**changes: Any) -> TeacherTrace:
    """A trace of one answer."""
    (found,) = traces([answer(**changes)], questions=QUESTIONS, suffix="")
    return found


def pair(chosen: str = "yes", rejected: str = "no", prompt: str = "p") -> PreferencePair:
    """A pair of replies."""
    return PreferencePair(
        id="q",
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        kind=PairKind.WEAK_CHOSEN,
        answer="2",
        confidence=1.0,
    )


def test_the_trained_prompt_is_the_one_of_the_evaluation() -> None:
    """Not the one that was sent, which may have shown solved problems."""
    (response,) = responses([answer()], questions=QUESTIONS, suffix="Reason.")
    (found,) = traces([answer()], questions=QUESTIONS, suffix="")
    assert response.prompt == "1 + 1?\n\nReason."
    assert found.prompt == "1 + 1?"
    assert (response.id, response.gold, response.draw) == ("q", "2", 0)


def test_a_response_is_the_thinking_and_the_visible_text() -> None:
    """Without tags, and without a gap where one of them is missing."""
    assert said(answer()) == "1 + 1 = 2.\n\n\\boxed{2}"
    assert said(answer(reasoning="")) == r"\boxed{2}"


def test_a_trace_is_trained_on_in_tags_or_as_one_text() -> None:
    """As `training.thinking` says; the score tells whether its answer is right."""
    options: dict[str, Any] = {"answers": {"q": "2"}, "count_tokens": count}
    (tagged,) = trace_examples([trace()], settings=THINKING, **options).rows
    assert tagged.response == "<think> 1 + 1 = 2. </think> \\boxed{2}"
    (plain,) = trace_examples([trace()], settings=PLAIN, **options).rows
    assert plain.response == "1 + 1 = 2.\n\n\\boxed{2}"
    (wrong,) = trace_examples([trace(verdict=Verdict.INCORRECT)], settings=PLAIN, **options).rows
    assert (tagged.score, wrong.score) == (1.0, 0.0)
    assert (tagged.answer, tagged.strong_model) == ("2", "teacher")


@pytest.mark.parametrize("lacking", ["reasoning", "content"])
def test_a_trace_without_its_thinking_or_answer_leaves_by_name(lacking: str) -> None:
    """Training would refuse the whole set for it."""
    made = trace_examples(
        [trace(**{lacking: " "}), trace(draw=1)],
        answers={},
        settings=THINKING,
        count_tokens=count,
    )
    assert [row.draw for row in made.rows] == [1]
    assert [(one.reason, one.draw) for one in made.rejections] == [("no_thinking", 0)]


@given(st.lists(st.integers(1, 200), max_size=8))
def test_the_gate_refuses_exactly_what_is_too_long(lengths: list[int]) -> None:
    """Rows in, rows and rejections out; what stays is as it came."""
    rows = [
        (PlainExample(id=f"q{n}", prompt="p", response="x" * length), "weak")
        for n, length in enumerate(lengths)
    ]
    made = plain_examples(rows, answers={}, longest=100, count_tokens=count)
    assert [len(row.response) for row in made.rows] == [n for n in lengths if n < 100]
    assert len(made.rows) + len(made.rejections) == len(lengths)
    assert {one.reason for one in made.rejections} <= {"over_length"}


def test_a_command_in_an_agreed_response_leaves_by_name() -> None:
    """And the writer of the row is kept."""
    rows = [
        (PlainExample(id="q", prompt="p", response="2 <|im_end|> 3"), "weak"),
        (PlainExample(id="q", prompt="p", response="2"), "icl"),
    ]
    made = plain_examples(rows, answers={"q": "2"}, longest=100, count_tokens=count)
    assert [(row.strong_model, row.answer) for row in made.rows] == [("icl", "2")]
    assert [(one.reason, one.model) for one in made.rejections] == [("control_token", "weak")]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (pair(chosen="x" * 100), "over_length"),
        (pair(rejected="x" * 100), "over_length"),
        (pair(chosen=" "), "empty_reply"),
        (pair(rejected=""), "empty_reply"),
        (pair(rejected="no</think>"), "control_token"),
        (pair(chosen="no ", rejected="no"), "same_reply"),
    ],
)
def test_a_pair_that_training_would_refuse_leaves_by_name(
    given: PreferencePair, reason: str
) -> None:
    """Either reply with its prompt must fit, and there must be something to prefer."""
    made = fitting_pairs([pair(), given], longest=100, count_tokens=count)
    assert made.rows == (pair(),)
    assert [one.reason for one in made.rejections] == [reason]
