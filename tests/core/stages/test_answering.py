"""Laws of asking a question as it stands: every draw is a call, and nobody is told the answer."""

from collections.abc import Sequence

import pytest

from tests.core.stages.conftest import Handle, prompt_of
from weak2wise_core.equivalence import AnswerChecker
from weak2wise_core.errors import ModelError, TransientModelError
from weak2wise_core.llm.protocol import Sampling
from weak2wise_core.records import ChatReply, FinishReason, Message, Question, Usage, Verdict
from weak2wise_core.stages.answering import answer_question


async def test_each_draw_is_an_answer_with_its_verdict(
    question: Question, checker: AnswerChecker, handle: Handle
) -> None:
    """In the order of the draws; thinking and visible text apart."""
    asked, model = handle(lambda _m, _s, draw: rf"<think> t{draw} </think>\boxed{{{41 + draw}}}")
    found = await answer_question(question, model=asked, draws=range(3), judge=checker)
    assert [one.draw for one in found] == [0, 1, 2]
    assert [one.verdict for one in found] == [
        Verdict.INCORRECT,
        Verdict.CORRECT,
        Verdict.INCORRECT,
    ]
    assert (found[1].reasoning.strip(), found[1].content) == ("t1", r"\boxed{42}")
    assert {prompt_of(call.messages) for call in model.calls} == {question.question}
    assert all(spent.calls == 1 for one in found for spent in one.spent)


async def test_without_a_judge_nobody_looks_at_the_ground_truth(
    question: Question, handle: Handle
) -> None:
    """Not judged is not wrong."""
    asked, _ = handle(lambda *_: r"\boxed{1}")
    (found,) = await answer_question(question, model=asked, draws=range(1), judge=None)
    assert found.verdict is Verdict.UNJUDGED


async def test_a_cut_reply_is_an_answer_that_says_so(
    question: Question, checker: AnswerChecker, handle: Handle
) -> None:
    """Who selects leaves it out by name."""

    def script(messages: Sequence[Message], sampling: Sampling, draw: int) -> ChatReply:
        return ChatReply(
            content="6 times", reasoning=None, finish_reason=FinishReason.LENGTH, usage=Usage(),
            model="m",
        )  # fmt: skip

    asked, _ = handle(script)
    (found,) = await answer_question(question, model=asked, draws=range(1), judge=checker)
    assert found.finish_reason is FinishReason.LENGTH
    assert found.verdict is Verdict.INCORRECT


async def test_a_failed_call_is_an_error_and_no_answer(
    question: Question, checker: AnswerChecker, handle: Handle
) -> None:
    """The question is named with the model's error."""

    def script(*_: object) -> str:
        raise TransientModelError("the line is dead")

    asked, _ = handle(script)
    with pytest.raises(ModelError, match="dead"):
        await answer_question(question, model=asked, draws=range(2), judge=checker)
