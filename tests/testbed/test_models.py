"""The testbed's models behind the seam: teachers, the weak model, and what both refuse."""

import asyncio

import pytest

from testbed.figures import Task, ask_all, hint_tasks
from testbed.language import read_problem
from testbed.models import MODELS, WEAK, WEAK_MODEL_FOLDER, open_testbed_model
from testbed.questions import held_out_questions, pool_questions
from testbed.teachers import Quality, Teacher, quality_of, teach
from weak2wise_core.config import Backend, GenerateSettings, ModelSpec
from weak2wise_core.errors import OutOfWorldError, RecipeError
from weak2wise_core.llm.protocol import Sampling
from weak2wise_core.prompts import GENERATE, HINT, SOLVE
from weak2wise_core.records import ChatReply, FinishReason, Message, Question, Verdict
from weak2wise_core.traces import candidate_from_reply


def _spec(model: str) -> ModelSpec:
    return ModelSpec(backend=Backend.TESTBED, model=model)


def _conversation(question: Question) -> list[Message]:
    return [
        Message(role="user", content=question.question),
        Message(role="assistant", content=question.answer),
        Message(role="user", content=GENERATE.text),
    ]


async def _lesson(
    question: Question, *, teacher: Teacher, draw: int, sampling: Sampling | None = None
) -> ChatReply:
    model = open_testbed_model(_spec(teacher.value))
    return await model.chat(_conversation(question), sampling=sampling or Sampling(), draw=draw)


def _equal(answer: str, stated: str) -> Verdict:
    return Verdict.CORRECT if answer == stated else Verdict.INCORRECT


@pytest.mark.slow
async def test_every_lesson_becomes_a_usable_candidate() -> None:
    """The product's own checks refuse no teacher's reply and find no word about a told answer."""
    for question in pool_questions(count=10, seed=7):
        for teacher, draw in [(t, d) for t in Teacher for d in range(3)]:
            reply = await _lesson(question, teacher=teacher, draw=draw)
            candidate = candidate_from_reply(
                question,
                strong_model=teacher.value,
                draw=draw,
                reply=reply,
                check=_equal,
                settings=GenerateSettings(),
            )
            assert candidate.refusal is None
            assert not candidate.told_answer


@pytest.mark.slow
async def test_a_reply_says_the_lesson_and_counts_its_tokens() -> None:
    """Thinking and steps arrive unchanged, with the teacher's name and token counts."""
    question = pool_questions(count=1, seed=7)[0]
    reply = await _lesson(question, teacher=Teacher.B, draw=2, sampling=Sampling(seed=5))
    lesson = teach(question.question, teacher=Teacher.B, draw=2, seed=5)
    assert (reply.reasoning, reply.content) == (lesson.thinking, lesson.steps)
    assert reply.model == "teacher-b"
    assert reply.finish_reason is FinishReason.STOP
    assert 0 < reply.usage.reasoning_tokens < reply.usage.completion_tokens
    assert reply.usage.prompt_tokens > 50


@pytest.mark.slow
async def test_a_limit_cuts_a_lesson_as_a_server_would() -> None:
    """A reply at its limit ends there and says so; thinking comes first."""
    question = pool_questions(count=1, seed=7)[0]
    whole = await _lesson(question, teacher=Teacher.A, draw=0)
    limited = Sampling(max_tokens=whole.usage.reasoning_tokens + 5)
    cut = await _lesson(question, teacher=Teacher.A, draw=0, sampling=limited)
    assert cut.finish_reason is FinishReason.LENGTH
    assert cut.reasoning == whole.reasoning
    assert whole.content.startswith(cut.content)
    assert cut.usage.completion_tokens == limited.max_tokens


@pytest.mark.parametrize("model", MODELS)
async def test_questions_from_outside_are_refused(model: str) -> None:
    """Every model of the testbed says what to use for a question that is not its own."""
    asked = Message(role="user", content=SOLVE.fill(question="What is 2 + 2?"))
    opened = open_testbed_model(_spec(model))
    with pytest.raises(OutOfWorldError, match="backend: openai"):
        await opened.chat([asked], sampling=Sampling(), draw=0)
    await opened.aclose()


async def test_an_empty_conversation_is_refused() -> None:
    """No message is no question."""
    with pytest.raises(OutOfWorldError):
        await open_testbed_model(_spec("teacher-a")).chat([], sampling=Sampling(), draw=0)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    """A recipe with a wrong name learns the right ones."""
    with pytest.raises(RecipeError, match="teacher-a, teacher-b, lm-teacher-a, lm-teacher-b, weak"):
        open_testbed_model(_spec("teacher-c"))


def test_identities_tell_models_apart_and_hold_no_path() -> None:
    """A cache key depends on which model and which weights, not on where they lie."""
    identities = [open_testbed_model(_spec(model)).identity for model in MODELS]
    assert len({str(identity) for identity in identities}) == len(MODELS)
    assert not any(str(WEAK_MODEL_FOLDER.parent) in str(identity) for identity in identities)


@pytest.fixture(scope="module")
def answers() -> dict[str, list[bool]]:
    """What the stored model gets right: alone, and with good hints of teacher A at each level."""
    questions = held_out_questions(count=40, seed=3)
    alone = [Task(prompt=SOLVE.fill(question=one.question), answer=one.answer) for one in questions]
    hinted = [
        task
        for one in questions
        for task in hint_tasks(one.question, one.answer, steps=_good_steps(one.question))
    ]

    async def ask() -> tuple[list[bool], list[bool]]:
        weak = open_testbed_model(_spec(WEAK))
        try:
            return await ask_all(weak, alone), await ask_all(weak, hinted)
        finally:
            await weak.aclose()

    unaided, aided = asyncio.run(ask())
    levels = {f"level {level}": aided[level::6] for level in range(6)}
    return {"alone": unaided, **levels}


@pytest.mark.slow
def test_the_weak_model_is_weak_alone(answers: dict[str, list[bool]]) -> None:
    """Of unseen problems of two to four operations it fails most."""
    assert sum(answers["alone"]) <= 12


@pytest.mark.slow
def test_the_weak_model_reads_hints(answers: dict[str, list[bool]]) -> None:
    """With a good trace in view it answers nearly all of the same problems."""
    assert sum(answers["level 0"]) >= 36


@pytest.mark.slow
def test_heavy_masks_take_the_help_away(answers: dict[str, list[bool]]) -> None:
    """When the last step's task is hidden, it is as lost as alone."""
    assert sum(answers["level 5"]) <= 14


@pytest.mark.slow
async def test_the_weak_model_has_a_name_and_ends_its_reply() -> None:
    """A reply names the testbed's model, not a path, and stops by itself."""
    question = held_out_questions(count=1, seed=3)[0]
    prompt = HINT.fill(question=question.question, step_reasoning="(to be continued...)")
    weak = open_testbed_model(_spec(WEAK))
    reply = await weak.chat([Message(role="user", content=prompt)], sampling=Sampling(), draw=0)
    await weak.aclose()
    assert reply.model == WEAK
    assert reply.finish_reason is FinishReason.STOP
    assert r"\boxed{" in reply.content


def _good_steps(question: str) -> str:
    good = next(
        draw
        for draw in range(100)
        if quality_of(question, teacher=Teacher.A, draw=draw) is Quality.GOOD
    )
    steps = teach(question, teacher=Teacher.A, draw=good).steps
    assert steps.endswith(read_problem(question).answer)
    return steps
