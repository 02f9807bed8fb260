"""Laws of the stages over one question."""

import re
from collections.abc import Callable, Sequence

import pytest

from weak2wise_core.config import (
    GenerateSettings,
    JudgeMethod,
    JudgingSettings,
    Policy,
    StepMaskSettings,
    TruncationMethod,
    TruncationSettings,
)
from weak2wise_core.equivalence import AnswerChecker
from weak2wise_core.errors import ModelError, RequestRefusedError, TransientModelError
from weak2wise_core.llm.protocol import Sampling
from weak2wise_core.prompts import PromptSet
from weak2wise_core.records import (
    CandidateTrace,
    GoldenReasoning,
    GoldenSource,
    Message,
    Question,
    Refusal,
    Rejection,
    Truncation,
    Verdict,
)
from weak2wise_core.scoring import has_unjudged
from weak2wise_core.stages.filtering import attempt_question
from weak2wise_core.stages.generating import generate_candidates
from weak2wise_core.stages.judge import Judge
from weak2wise_core.stages.scoring import ask_mask_levels
from weak2wise_core.stages.selecting import golden_of
from weak2wise_core.stages.truncating import truncate_golden

PROMPTS = PromptSet()
EXHAUSTIVE = StepMaskSettings(policy=Policy.EXHAUSTIVE)
STEPS = "## Multiply\nSix times seven gives forty-two\n\n## Final Answer\n42"
THINKING = "6 * 7 = 42. So the answer is 42. Wait, let me check: 7 * 6 = 42. Yes."


def candidate(
    *, steps: str = STEPS, draw: int = 0, refusal: Refusal | None = None
) -> CandidateTrace:
    """A candidate of one strong model."""
    return CandidateTrace(
        question_id="q1",
        strong_model="strong",
        draw=draw,
        normal_reasoning=THINKING,
        step_reasoning=steps,
        refusal=refusal,
        detail="",
        answer_leak=False,
        told_answer=False,
        model="strong-1",
        spent=(),
    )


@pytest.fixture
def judge(checker: AnswerChecker) -> Judge:
    """A judge by rule."""
    return Judge(JudgingSettings(method=JudgeMethod.RULE), checker=checker)


@pytest.mark.parametrize(
    ("said", "verdict"), [(r"\boxed{42}", Verdict.CORRECT), (r"\boxed{41}", Verdict.INCORRECT)]
)
async def test_the_filter_judges_the_unaided_attempt(
    question: Question,
    judge: Judge,
    handle: Callable,  # type: ignore[type-arg]
    said: str,
    verdict: Verdict,
) -> None:
    """The attempt keeps what was said, who judged it and what it took."""
    model, script = handle(lambda *_: said)
    attempt = await attempt_question(question, weak=model, judge=judge, prompts=PROMPTS)
    assert (attempt.attempt, attempt.verdict) == (said, verdict)
    assert [spent.calls for spent in attempt.spent] == [1]
    assert question.question in script.calls[0].messages[-1].content


async def test_filter_and_hint_prompts_differ_in_the_hint_only(
    question: Question,
    judge: Judge,
    handle: Callable,  # type: ignore[type-arg]
) -> None:
    """Filter and score measure the same model: same heading, same instruction."""
    model, script = handle(lambda *_: "42")
    await attempt_question(question, weak=model, judge=judge, prompts=PROMPTS)
    await ask_mask_levels(
        question,
        [candidate()],
        weak=model,
        judge=judge,
        count_tokens=len,
        settings=EXHAUSTIVE,
        prompts=PROMPTS,
    )
    solve, *hints = (call.messages[-1].content for call in script.calls)
    assert len(hints) == 6
    for hint in hints:
        assert re.sub(r"## Hint\n.*?\n\n(?=Please)", "", hint, flags=re.DOTALL) == solve


async def test_k_draws_of_each_model_are_k_candidates(
    question: Question,
    checker: AnswerChecker,
    handle: Callable,  # type: ignore[type-arg]
) -> None:
    """Every model and draw is one call of its own, shown the answer as the paper shows it."""
    model, script = handle(lambda _m, _s, draw: f"<think>{THINKING} {draw}</think>{STEPS}")
    other, other_script = handle(lambda _m, _s, draw: f"<think>{THINKING} {draw}</think>{STEPS}")
    found = await generate_candidates(
        question,
        strong={"b": other, "a": model},
        draws=range(3),
        checker=checker,
        settings=GenerateSettings(),
        prompts=PROMPTS,
    )
    assert [(one.strong_model, one.draw) for one in found] == [
        (n, d) for n in "ab" for d in range(3)
    ]
    assert all(one.refusal is None for one in found)
    assert len({one.normal_reasoning for one in found}) == 3
    roles = [
        [message.role for message in call.messages] for call in script.calls + other_script.calls
    ]
    assert roles == [["user", "assistant", "user"]] * 6
    assert script.calls[0].messages[1].content == question.answer


async def test_a_request_that_is_never_answered_is_a_refused_candidate(
    question: Question,
    checker: AnswerChecker,
    handle: Callable,  # type: ignore[type-arg]
) -> None:
    """HTTP 400 for one draw refuses that draw by name; the others are used."""

    def script(_messages: Sequence[Message], _sampling: Sampling, draw: int) -> str | ModelError:
        return RequestRefusedError("content policy") if draw == 1 else f"<think>x</think>{STEPS}"

    model, _ = handle(script)
    found = await generate_candidates(
        question,
        strong={"a": model},
        draws=range(2),
        checker=checker,
        settings=GenerateSettings(),
        prompts=PROMPTS,
    )
    assert [one.refusal for one in found] == [None, Refusal.REQUEST_REFUSED]
    assert "content policy" in found[1].detail


async def test_a_passing_failure_is_not_a_refused_candidate(
    question: Question,
    checker: AnswerChecker,
    handle: Callable,  # type: ignore[type-arg]
) -> None:
    """A server that is down says nothing about a candidate."""
    model, _ = handle(lambda *_: TransientModelError("down"))
    with pytest.raises(TransientModelError):
        await generate_candidates(
            question,
            strong={"a": model},
            draws=range(1),
            checker=checker,
            settings=GenerateSettings(),
            prompts=PROMPTS,
        )


async def test_every_mask_level_is_asked_and_none_shows_the_answer(
    question: Question,
    judge: Judge,
    handle: Callable,  # type: ignore[type-arg]
) -> None:
    """Outcomes follow what the hint still shows; the final step is in no prompt."""

    def weak(messages: Sequence[Message], _sampling: Sampling, _draw: int) -> str:
        return r"\boxed{42}" if "gives forty-two" in messages[-1].content else r"\boxed{0}"

    model, script = handle(weak)
    (row,) = await ask_mask_levels(
        question,
        [candidate()],
        weak=model,
        judge=judge,
        count_tokens=len,
        settings=EXHAUSTIVE,
        prompts=PROMPTS,
    )
    assert row.outcomes == (Verdict.CORRECT, *[Verdict.INCORRECT] * 5)
    assert row.normal_tokens == len(THINKING)
    assert row.asked == (True,) * 6
    assert not any("Final Answer" in call.messages[-1].content for call in script.calls)
    assert not any("42" in call.messages[-1].content for call in script.calls)


async def test_a_race_asks_less_and_finds_the_same_winner(
    question: Question,
    judge: Judge,
    handle: Callable,  # type: ignore[type-arg]
) -> None:
    """Levels that cannot change the winner are not asked, and say so in their rows."""
    clear = "## Think\nThe product of six and seven is forty-two\n\n## Final Answer\n42"
    clearer = clear.replace("product", "whole product")
    rows = [candidate(draw=0), candidate(steps=clear, draw=1), candidate(steps=clearer, draw=2)]

    def weak(messages: Sequence[Message], _sampling: Sampling, _draw: int) -> str:
        return r"\boxed{42}" if "of six" in messages[-1].content else r"\boxed{0}"

    found, calls = {}, {}
    for policy in Policy:
        model, script = handle(weak)
        settings = StepMaskSettings(policy=policy)
        outcomes = await ask_mask_levels(
            question,
            rows,
            weak=model,
            judge=judge,
            count_tokens=len,
            settings=settings,
            prompts=PROMPTS,
        )
        calls[policy] = len(script.calls)
        assert sum(sum(row.asked) for row in outcomes) == len(script.calls)
        assert [[spent.calls for spent in row.spent] for row in outcomes] == [
            [sum(row.asked)] if any(row.asked) else [] for row in outcomes
        ]
        found[policy] = golden_of(question, candidates=rows, outcomes=outcomes, settings=settings)
    assert found[Policy.RACE] == found[Policy.EXHAUSTIVE]
    assert calls[Policy.RACE] < calls[Policy.EXHAUSTIVE] == 18


@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("ballots", [1, 2])
async def test_a_level_without_a_verdict_is_voted_on_again_then_its_candidate_is_set_aside(
    question: Question,
    checker: AnswerChecker,
    handle: Callable,  # type: ignore[type-arg]
    policy: Policy,
    ballots: int,
) -> None:
    """A judge that is mute for one ballot costs no candidate; one that stays mute costs its own."""
    clear = "## Think\nSix of seven is forty-two\n\n## Check\nIt is\n\n## Final Answer\n42"
    rows = [candidate(draw=0), candidate(steps=clear, draw=1)]

    def vote(messages: Sequence[Message], _sampling: Sampling, draw: int) -> str:
        mute = "as shown" in messages[-1].content and draw < ballots * 6
        return "It depends." if mute else "Yes" if r"\boxed{42}" in messages[-1].content else "No"

    def weak(messages: Sequence[Message], _sampling: Sampling, _draw: int) -> str:
        told = "of seven" in messages[-1].content
        return r"\boxed{42}, as shown" if told else r"\boxed{0}"

    settings = StepMaskSettings(policy=policy)
    outcomes = await ask_mask_levels(
        question,
        rows,
        weak=handle(weak)[0],
        judge=Judge(
            JudgingSettings(method=JudgeMethod.LLM), checker=checker, model=handle(vote)[0]
        ),
        count_tokens=len,
        settings=settings,
        prompts=PROMPTS,
    )
    found = golden_of(question, candidates=rows, outcomes=outcomes, settings=settings)
    assert isinstance(found, GoldenReasoning)
    assert found.draw == (1 if ballots == 1 else 0)
    assert has_unjudged(outcomes[1]) == (ballots == 2)


def test_a_question_whose_candidates_are_all_refused_is_named(question: Question) -> None:
    """The rejection counts the reasons."""
    rows = [candidate(refusal=Refusal.NO_STEP), candidate(draw=1, refusal=Refusal.NO_THINKING)]
    found = golden_of(question, candidates=rows, outcomes=[], settings=StepMaskSettings())
    assert isinstance(found, Rejection)
    assert (found.reason, found.detail) == (
        "no_candidate",
        "all 2 candidates were refused: 1 no_step, 1 no_thinking",
    )


def golden(tokens: int = 100) -> GoldenReasoning:
    """A golden reasoning before truncation."""
    return GoldenReasoning(
        question_id="q1",
        strong_model="strong",
        draw=0,
        source=GoldenSource.STEP_MASK,
        score=1.0,
        golden_reasoning=THINKING,
        truncation=Truncation.NOT_NEEDED,
        normal_tokens=tokens,
        golden_tokens=tokens,
        spent=(),
    )


@pytest.mark.parametrize(
    ("method", "said", "how"),
    [
        (TruncationMethod.ENDPOINT, "So the answer is 42.", Truncation.ENDPOINT),
        (TruncationMethod.ENDPOINT, "Something else entirely.", Truncation.RULE),
        (TruncationMethod.REEMIT, "6 * 7 = 42.  So the answer is 42.", Truncation.REEMIT),
        (TruncationMethod.REEMIT, "", Truncation.RULE),
        (TruncationMethod.RULE, "", Truncation.RULE),
    ],
)
async def test_every_truncation_is_a_prefix_and_the_rule_comes_last(
    question: Question,
    handle: Callable,  # type: ignore[type-arg]
    method: TruncationMethod,
    said: str,
    how: Truncation,
) -> None:
    """A proposal that cannot be located falls back to the rule; the result is a prefix."""
    model, script = handle(lambda *_: said)
    cut = await truncate_golden(
        question,
        golden(),
        truncator=model,
        count_tokens=len,
        settings=TruncationSettings(method=method, over_tokens=10),
        prompts=PROMPTS,
    )
    assert cut.truncation is how
    assert THINKING.startswith(cut.golden_reasoning)
    assert "42" in cut.golden_reasoning
    assert cut.golden_tokens == len(cut.golden_reasoning) < len(THINKING)
    assert len(script.calls) == (method is not TruncationMethod.RULE)


async def test_a_short_trace_is_not_truncated(
    question: Question,
    handle: Callable,  # type: ignore[type-arg]
) -> None:
    """Only traces over the limit are cut, and nobody is asked about the others."""
    model, script = handle(lambda *_: "x")
    settings = TruncationSettings(over_tokens=100)
    kept = await truncate_golden(
        question, golden(100), truncator=model, count_tokens=len, settings=settings, prompts=PROMPTS
    )
    assert kept == golden(100)
    assert script.calls == []


async def test_what_nothing_can_cut_stays_whole(
    question: Question,
    handle: Callable,  # type: ignore[type-arg]
) -> None:
    """A trace that never states the answer is kept as it is, and says so."""
    model, _ = handle(lambda *_: "nothing of the kind")
    other = Question(id="q1", question="?", answer="1234")
    kept = await truncate_golden(
        other,
        golden(),
        truncator=model,
        count_tokens=len,
        settings=TruncationSettings(over_tokens=10),
        prompts=PROMPTS,
    )
    assert (kept.truncation, kept.golden_reasoning) == (Truncation.NONE_COULD, THINKING)
