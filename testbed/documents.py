"""What the weak model read in pretraining: four kinds of documents about unreserved chains.

Equation drills and worked examples teach arithmetic as plain text. Direct questions teach it to
blurt out a result, which goes wrong from two operations on. Questions with a masked hint teach it
to look for the last operation in the hint and to do that one only. Without this last habit the
model merely copies visible results, and no mask level above 0 helps it.

The prompts are the templates and masks that the method itself uses, so that what the model was
trained on and what it is asked cannot drift apart.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from testbed.language import tell_problem
from testbed.teachers import Line, Quality, Teacher, write_lesson
from testbed.tokenizer import END_OF_TEXT, END_OF_TURN, render_chat
from testbed.world import VALUES, Problem, Share, draw_operation, draw_problem
from weak2wise_core.masking import mask_trace
from weak2wise_core.prompts import HINT, SOLVE
from weak2wise_core.steps import split_steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One text to read; in a conversation the reply counts for more than the prompt."""

    prompt: str
    """The conversation up to the reply, empty in plain text."""
    text: str
    """The reply, or the plain text."""


MIX: Mapping[str, float] = {"drill": 0.12, "worked": 0.18, "direct": 0.30, "hint": 0.40}
"""How often each kind of document comes."""

_HABITS: Mapping[Teacher, tuple[Quality, ...]] = {
    Teacher.A: (Quality.GOOD, Quality.GOOD, Quality.SKIP),
    Teacher.B: (Quality.GOOD, Quality.GOOD, Quality.SKIP, Quality.LONG),
}
"""Hints in pretraining hold no slips: the model never learns to distrust one."""
_LEVELS = (0, 0, 1, 1, 2, 2, 3, 3, 4, 5)
"""Mask levels of the paper's granularity of 6, the lighter ones more often."""


def documents(rng: random.Random) -> Iterator[Document]:
    """Documents without end, in the proportions of `MIX`."""
    kinds, weights = list(MIX), list(MIX.values())
    while True:
        yield WRITERS[rng.choices(kinds, weights)[0]](rng)


def _draw(rng: random.Random, lengths: tuple[int, ...]) -> Problem:
    return draw_problem(rng, length=rng.choice(lengths), share=Share.PRETRAINING)


def _lines(problem: Problem) -> list[Line]:
    steps = zip(problem.operations, problem.values[:-1], problem.values[1:], strict=True)
    return [Line(operation=o, before=before, after=after) for o, before, after in steps]


def write_drill(rng: random.Random) -> Document:
    """Equations without a story."""
    equations = [f"{_draw_equation(rng)}." for _ in range(rng.randint(8, 16))]
    return Document(prompt="", text=" ".join(equations) + END_OF_TEXT)


def _draw_equation(rng: random.Random) -> str:
    while True:
        operation, before = draw_operation(rng), rng.choice(VALUES)
        if (after := operation.apply(before)) in VALUES:
            return Line(operation=operation, before=before, after=after).equation


def write_worked(rng: random.Random) -> Document:
    """A problem with its solution, as in a textbook."""
    problem = _draw(rng, (1, 2, 2, 3, 3, 4))
    lead = rng.choice(("Example: ", "Worked example: ", ""))
    solution = " ".join(f"{line.equation}." for line in _lines(problem))
    text = f"{lead}{tell_problem(problem)} Solution: {solution} Answer: {problem.answer}."
    return Document(prompt="", text=text + END_OF_TEXT)


def write_direct(rng: random.Random) -> Document:
    """A question, bare or with the filter's instruction, and its answer without reasoning."""
    problem = _draw(rng, (1, 1, 1, 1, 2, 2, 3, 4))
    question = tell_problem(problem)
    user = question if rng.random() < 0.5 else SOLVE.fill(question=question)
    reply = rf"\boxed{{{problem.answer}}}{END_OF_TURN}"
    return Document(prompt=render_chat(user), text=reply)


def write_hint(rng: random.Random) -> Document:
    """A question with a masked trace, and the last operation with the answer as the reply."""
    problem = _draw(rng, (1, 2, 2, 3, 3, 4, 4, 5))
    user = HINT.fill(question=tell_problem(problem), step_reasoning=_draw_hint(rng, problem))
    reply = rf"{_lines(problem)[-1].equation}. \boxed{{{problem.answer}}}{END_OF_TURN}"
    return Document(prompt=render_chat(user), text=reply)


def _draw_hint(rng: random.Random, problem: Problem) -> str:
    teacher = rng.choice(tuple(Teacher))
    quality = rng.choice(_HABITS[teacher]) if len(problem.operations) > 1 else Quality.GOOD
    lesson = write_lesson(rng, problem=problem, teacher=teacher, quality=quality)
    granularity, level = 6, rng.choice(_LEVELS)
    if rng.random() < 0.3:
        granularity = rng.randint(2, 12)
        level = rng.randrange(granularity)
    return mask_trace(split_steps(lesson.steps), level=level, granularity=granularity)


WRITERS: Mapping[str, Callable[[random.Random], Document]] = {
    "drill": write_drill,
    "worked": write_worked,
    "direct": write_direct,
    "hint": write_hint,
}
