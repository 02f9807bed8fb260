"""The teachers: programs whose habits are known, so that selection can be checked against truth.

Each sample draws a hidden quality that both of its traces share, as a language model's thinking
and its visible steps share one logical path (section 3.3). It is never part of a reply;
`quality_of` tells it afterwards. Teacher A is terse, teacher B wordy and prone to doubts.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from testbed.language import read_problem, tell_operation
from testbed.world import VALUES, Operation, Problem
from weak2wise_core.hashing import content_hash


class Quality(StrEnum):
    """What is hidden behind one sample."""

    GOOD = "good"
    """Every step in turn, every value right."""
    SLIP = "slip"
    """A wrong value before the last step, carried on; the answer, known beforehand, is right."""
    SKIP = "skip"
    """At some step the rest is left out and the answer stated."""
    LONG = "long"
    """Right, but with filler and wrong turns everywhere; teacher B only."""


class Teacher(StrEnum):
    """The two program teachers, by the name that a recipe gives as `model`."""

    A = "teacher-a"
    B = "teacher-b"


LESSONS = "1"
"""Version of everything that decides what the teachers say; part of their identity."""

WEIGHTS: Mapping[Teacher, Mapping[Quality, float]] = {
    Teacher.A: {Quality.GOOD: 0.55, Quality.SLIP: 0.25, Quality.SKIP: 0.20},
    Teacher.B: {Quality.GOOD: 0.40, Quality.SLIP: 0.25, Quality.SKIP: 0.15, Quality.LONG: 0.20},
}
"""How often each teacher falls into each quality."""

FILLERS = (
    "Let us read this part slowly before we count anything.",
    "It is important that no piece of the story is missed.",
    "Here the story goes on and the number changes again.",
)
_WRONG_BY = (-10, -3, -2, -1, 1, 2, 3, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One operation as a teacher writes it; the written result need not be the right one."""

    operation: Operation
    before: int
    after: int

    @property
    def equation(self) -> str:
        """Such as `17 + 5 = 22`."""
        return f"{self.task} = {self.after}"

    @property
    def task(self) -> str:
        """Such as `17 + 5`."""
        return f"{self.before} {self.operation.kind} {self.operation.amount}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The logical path that both traces of a sample follow."""

    lines: tuple[Line, ...]
    told: int
    """How many of the lines are told; the rest is skipped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What a teacher says to one question."""

    thinking: str
    """The Normal-Reasoning trace."""
    steps: str
    """The Step-Reasoning trace."""


def quality_of(question: str, *, teacher: Teacher, draw: int, seed: int = 0) -> Quality:
    """The hidden quality of one sample, for analysis.

    Args:
        question: The question as text.
        teacher: Who was asked.
        draw: Which of its samples, from 0.
        seed: The sampling seed of the model, 0 where the recipe sets none.

    Raises:
        OutOfWorldError: The question is not of this world.
    """
    problem = read_problem(question)
    return draw_quality(_chance(problem, teacher, draw, seed), teacher=teacher, problem=problem)


def teach(question: str, *, teacher: Teacher, draw: int, seed: int = 0) -> Lesson:
    """One sample of a teacher; the same arguments give the same words on every machine.

    Raises:
        OutOfWorldError: The question is not of this world.
    """
    problem = read_problem(question)
    rng = _chance(problem, teacher, draw, seed)
    quality = draw_quality(rng, teacher=teacher, problem=problem)
    return write_lesson(rng, problem=problem, teacher=teacher, quality=quality)


def write_lesson(
    rng: random.Random, *, problem: Problem, teacher: Teacher, quality: Quality
) -> Lesson:
    """Both traces of one sample whose quality is known."""
    plan = draw_plan(rng, problem=problem, quality=quality)
    long = quality is Quality.LONG
    return Lesson(
        steps=_write_steps(rng, problem, plan, teacher, long),
        thinking=_write_thinking(rng, problem, plan, teacher, long),
    )


def _chance(problem: Problem, teacher: Teacher, draw: int, seed: int) -> random.Random:
    return random.Random(content_hash("lesson", problem, teacher, draw, seed))  # noqa: S311 - not secret


def draw_quality(rng: random.Random, *, teacher: Teacher, problem: Problem) -> Quality:
    """A quality by the teacher's weights; one operation leaves nothing to slip on or to skip."""
    weights = WEIGHTS[teacher]
    quality = rng.choices(list(weights), list(weights.values()))[0]
    single = len(problem.operations) == 1 and quality in (Quality.SLIP, Quality.SKIP)
    return Quality.GOOD if single else quality


def draw_plan(rng: random.Random, *, problem: Problem, quality: Quality) -> Plan:
    """The logical path of a sample of this quality."""
    values = list(problem.values)
    if quality is Quality.SLIP:
        values = _slipped(rng, problem)
    lines = tuple(
        Line(operation=operation, before=before, after=after)
        for operation, before, after in zip(
            problem.operations, values[:-1], values[1:], strict=True
        )
    )
    told = rng.randrange(len(lines) - 1) if quality is Quality.SKIP else len(lines)
    return Plan(lines=lines, told=told)


def _slipped(rng: random.Random, problem: Problem) -> list[int]:
    """Values with one wrong result before the last, carried on; the last is bent to the truth."""
    slips = [
        _carried(problem, position, wrong_by)
        for position in range(1, len(problem.values) - 1)
        for wrong_by in _WRONG_BY
    ]
    return rng.choice([values for values in slips if all(value in VALUES for value in values)])


def _carried(problem: Problem, position: int, wrong_by: int) -> list[int]:
    values = list(problem.values[:position])
    values.append(problem.values[position] + wrong_by)
    for operation in problem.operations[position:-1]:
        values.append(operation.apply(values[-1]))
    return [*values, problem.values[-1]]


def _write_steps(
    rng: random.Random, problem: Problem, plan: Plan, teacher: Teacher, long: bool
) -> str:
    """Results stand at the end of a step: masking takes them first and leaves the task."""
    write = _terse_step if teacher is Teacher.A else _WordyStep(rng, problem, long)
    steps = [write(number, line) for number, line in enumerate(plan.lines[: plan.told], start=1)]
    if plan.told < len(plan.lines):
        leap = ("All the other changes together lead to", "Once all the rest has happened it is")
        steps.append(f"## The rest\n{rng.choice(leap)} {problem.answer}.")
    return "\n\n".join([*steps, f"## Final Answer\n{problem.answer}"])


def _terse_step(_number: int, line: Line) -> str:
    operation = line.operation
    title = {
        "+": f"Add {operation.amount}",
        "-": f"Remove {operation.amount}",
        "*": f"Times {operation.amount}",
    }[operation.kind]
    return f"## {title}\nThen {line.equation}."


class _WordyStep:
    """Teacher B's steps. Two traces in five put the task into the title, where it hides last."""

    def __init__(self, rng: random.Random, problem: Problem, long: bool) -> None:
        self._rng, self._problem, self._long = rng, problem, long
        self._task_in_title = not long and rng.random() < 0.4

    def __call__(self, number: int, line: Line) -> str:
        told = tell_operation(self._problem, line.operation)
        if self._task_in_title:
            return f"## Step {number}: {line.task}\n{told}, so now it is {line.after}."
        filler = f"{self._rng.choice(FILLERS)} " if self._long else ""
        return f"## Step {number}\n{filler}{told}: {line.equation}."


def _write_thinking(
    rng: random.Random, problem: Problem, plan: Plan, teacher: Teacher, long: bool
) -> str:
    """The way to the answer, and after it the doubts that truncation removes (section 3.5)."""
    terse = teacher is Teacher.A
    opening = (
        f"Start with {problem.start}."
        if terse
        else (f"Okay, {problem.name} has {problem.start} {problem.thing}.")
    )
    turns = 0.6 if long else 0.08 if terse else 0.2
    said = [opening]
    for line in plan.lines[: plan.told]:
        if long:
            said.append(f"Hmm. {rng.choice(FILLERS)}")
        if rng.random() < turns:
            said += [f"{line.task} = {_draw_wrong(rng, line, plan)}.", "Wait, that is wrong."]
        said.append(f"{line.equation}.")
    if plan.told < len(plan.lines):
        said.append(f"After the other changes it is {problem.answer}.")
    said.append(f"So the answer is {problem.answer}.")
    paragraphs = [" ".join(said)]
    if long or rng.random() < (0.3 if terse else 0.7):
        paragraphs += _doubts(rng, problem, plan, long)
    return "\n\n".join(paragraphs)


def _draw_wrong(rng: random.Random, line: Line, plan: Plan) -> int:
    """A result to take back at once; never the answer, after which a trace may be cut."""
    answer = plan.lines[-1].after
    wrong = [line.after + by for by in _WRONG_BY]
    return rng.choice([value for value in wrong if value in VALUES and value != answer])


def _doubts(rng: random.Random, problem: Problem, plan: Plan, long: bool) -> list[str]:
    again = " ".join(f"{line.equation}." for line in plan.lines)
    doubts = [f"Wait, let me check. {again} Yes, {problem.answer}."]
    if long:
        filler = rng.choice(FILLERS)
        doubts.append(f"Wait, is it really {problem.answer}? {filler} Yes, {problem.answer}.")
    return doubts
