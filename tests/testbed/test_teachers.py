"""The teachers: each hidden quality has its documented effect on both traces."""

import random
import re
from collections import Counter
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.language import tell_problem
from testbed.teachers import (
    WEIGHTS,
    Lesson,
    Quality,
    Teacher,
    draw_plan,
    quality_of,
    teach,
    write_lesson,
)
from testbed.world import LENGTHS, VALUES, Kind, Operation, Problem, Share, draw_problem
from weak2wise_core.steps import final_answer, split_steps

Equation: TypeAlias = tuple[int, Kind, int, int]

HABITS = [(teacher, quality) for teacher in Teacher for quality in WEIGHTS[teacher]]


def _problem(seed: int, length: int) -> Problem:
    return draw_problem(random.Random(seed), length=length, share=Share.PRETRAINING)


problems = st.builds(_problem, st.integers(), st.sampled_from(LENGTHS))
longer_problems = st.builds(_problem, st.integers(), st.sampled_from(LENGTHS[1:]))
seeds = st.integers(0, 1000)
teachers = st.sampled_from(Teacher)


@given(problems, teachers, st.integers(0, 20), seeds)
def test_a_lesson_is_fixed_by_question_teacher_draw_and_seed(
    problem: Problem, teacher: Teacher, draw: int, seed: int
) -> None:
    """The same request gives the same words, however often it is made."""
    question = tell_problem(problem)
    first = teach(question, teacher=teacher, draw=draw, seed=seed)
    assert teach(question, teacher=teacher, draw=draw, seed=seed) == first


def test_draws_seeds_and_teachers_differ() -> None:
    """Twenty draws are not one: the hidden quality and the words vary with draw and seed."""
    question = tell_problem(_problem(3, 4))
    lessons = {teach(question, teacher=Teacher.B, draw=draw) for draw in range(20)}
    reseeded = {teach(question, teacher=Teacher.B, draw=draw, seed=1) for draw in range(20)}
    assert len(lessons) > 10
    assert lessons != reseeded


@given(problems, st.sampled_from(HABITS), seeds)
def test_every_lesson_passes_the_split_and_states_the_true_answer(
    problem: Problem, habit: tuple[Teacher, Quality], seed: int
) -> None:
    """Steps come before one final step; answer and thinking agree with the question."""
    lesson = _lesson(problem, habit, seed)
    steps = split_steps(lesson.steps)
    assert [step.is_final for step in steps] == [False] * (len(steps) - 1) + [True]
    assert len(steps) > 1
    assert final_answer(steps) == problem.answer
    way, *doubts = lesson.thinking.split("\n\n")
    assert way.endswith(f"So the answer is {problem.answer}.")
    assert all(doubt.startswith("Wait, ") for doubt in doubts)


@given(problems, st.sampled_from(HABITS), seeds)
def test_no_wrong_turn_states_the_answer(
    problem: Problem, habit: tuple[Teacher, Quality], seed: int
) -> None:
    """A trace may be cut after its answer; a wrong turn must not look like one."""
    for turn in re.findall(
        r"= (\d+)\. Wait, that is wrong", _lesson(problem, habit, seed).thinking
    ):
        assert turn != problem.answer


@given(
    problems, st.sampled_from([h for h in HABITS if h[1] in (Quality.GOOD, Quality.LONG)]), seeds
)
def test_sound_lessons_hold_the_whole_true_chain(
    problem: Problem, habit: tuple[Teacher, Quality], seed: int
) -> None:
    """Good and long traces go through every operation, in order, with right results."""
    lesson = _lesson(problem, habit, seed)
    way = lesson.thinking.split("\n\n")[0]
    assert _equations(lesson.steps) == _truth(problem)
    assert _equations(_without_wrong_turns(way)) == _truth(problem)


@given(longer_problems, teachers, seeds)
def test_a_slip_is_wrong_before_the_last_step_and_carried_on(
    problem: Problem, teacher: Teacher, seed: int
) -> None:
    """One result is wrong, the next steps build on it, and the last is bent to the truth."""
    lesson = _lesson(problem, (teacher, Quality.SLIP), seed)
    written = _equations(lesson.steps)
    wrong = [
        n
        for n, (before, kind, k, after) in enumerate(written)
        if Operation(kind=kind, amount=k).apply(before) != after
    ]
    values = [problem.start, *(after for *_, after in written)]
    assert values[:-1] == [before for before, *_ in written]
    assert wrong == [wrong[0], len(written) - 1]
    assert values[: wrong[0] + 1] == list(problem.values[: wrong[0] + 1])
    assert all(values[n] != problem.values[n] for n in range(wrong[0] + 1, len(written)))
    assert values[-1] == problem.values[-1]
    assert all(value in VALUES for value in values)
    assert _equations(_without_wrong_turns(lesson.thinking.split("\n\n")[0])) == written


@given(longer_problems, teachers, seeds)
def test_a_skip_leaves_out_two_or_more_operations(
    problem: Problem, teacher: Teacher, seed: int
) -> None:
    """The told part is right, and the rest is a leap to the answer."""
    lesson = _lesson(problem, (teacher, Quality.SKIP), seed)
    told = _equations(lesson.steps)
    assert len(told) <= len(problem.operations) - 2
    assert told == _truth(problem)[: len(told)]
    assert "## The rest" in lesson.steps
    assert _equations(_without_wrong_turns(lesson.thinking.split("\n\n")[0])) == told


@given(longer_problems, st.sampled_from(HABITS), seeds)
def test_a_plan_follows_the_operations(
    problem: Problem, habit: tuple[Teacher, Quality], seed: int
) -> None:
    """Whatever goes wrong, the operations stand in the question's order."""
    plan = draw_plan(random.Random(seed), problem=problem, quality=habit[1])
    assert tuple(line.operation for line in plan.lines) == problem.operations


@pytest.mark.parametrize("teacher", Teacher)
def test_qualities_come_as_often_as_the_weights_say(teacher: Teacher) -> None:
    """Over many draws each quality has its weight, within four standard errors."""
    question = tell_problem(_problem(5, 3))
    draws = 2_000
    counts = Counter(quality_of(question, teacher=teacher, draw=draw) for draw in range(draws))
    for quality, weight in WEIGHTS[teacher].items():
        error = (weight * (1 - weight) / draws) ** 0.5
        assert counts[quality] / draws == pytest.approx(weight, abs=4 * error)


@given(longer_problems, teachers, st.integers(0, 20), seeds)
def test_the_told_quality_is_the_one_behind_the_lesson(
    problem: Problem, teacher: Teacher, draw: int, seed: int
) -> None:
    """`quality_of` names what the traces of the same sample show."""
    question = tell_problem(problem)
    quality = quality_of(question, teacher=teacher, draw=draw, seed=seed)
    steps = teach(question, teacher=teacher, draw=draw, seed=seed).steps
    sound = _equations(steps) == _truth(problem)
    assert sound is (quality in (Quality.GOOD, Quality.LONG))
    assert ("## The rest" in steps) is (quality is Quality.SKIP)


@given(st.builds(_problem, st.integers(), st.just(1)), teachers, st.integers(0, 20))
def test_one_operation_leaves_nothing_to_slip_on_or_skip(
    problem: Problem, teacher: Teacher, draw: int
) -> None:
    """A question of one operation is answered soundly by everyone."""
    quality = quality_of(tell_problem(problem), teacher=teacher, draw=draw)
    assert quality in (Quality.GOOD, Quality.LONG)


def _lesson(problem: Problem, habit: tuple[Teacher, Quality], seed: int) -> Lesson:
    teacher, quality = habit
    if len(problem.operations) == 1 and quality in (Quality.SLIP, Quality.SKIP):
        quality = Quality.GOOD
    rng = random.Random(seed)
    return write_lesson(rng, problem=problem, teacher=teacher, quality=quality)


def _truth(problem: Problem) -> list[Equation]:
    steps = zip(problem.operations, problem.values[:-1], problem.values[1:], strict=True)
    return [(before, o.kind, o.amount, after) for o, before, after in steps]


def _equations(text: str) -> list[Equation]:
    """Equations, also where the task stands in the title and the result in the line below."""
    found = re.findall(r"(\d+) ([-+*]) (\d+)(?: = |\n.*so now it is )(\d+)\.", text)
    return [(int(before), kind, int(amount), int(after)) for before, kind, amount, after in found]


def _without_wrong_turns(text: str) -> str:
    return re.sub(r"\d+ [-+*] \d+ = \d+\. Wait, that is wrong\. ", "", text)
