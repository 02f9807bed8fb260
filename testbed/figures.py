"""Measure the stored weak model: `python -m testbed.figures`.

Prints the tables of the testbed's README: what the model can do alone, what it can do with a hint
at every mask level, by teacher and hidden quality, and how well the step-mask score tells sound
traces from others. It asks through the same seam, prompts and masks as a build.
"""

import argparse
import asyncio
import random
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from testbed.language import tell_problem
from testbed.models import WEAK, open_testbed_model
from testbed.questions import pool_questions
from testbed.teachers import WEIGHTS, Quality, Teacher, quality_of, teach, write_lesson
from testbed.world import LENGTHS, POOL_LENGTHS, Problem, Share, draw_problem
from weak2wise_core.config import Backend, ModelSpec, Reading
from weak2wise_core.llm.protocol import ChatModel, Sampling
from weak2wise_core.masking import mask_trace
from weak2wise_core.prompts import HINT, SOLVE
from weak2wise_core.records import Message, Question
from weak2wise_core.scoring import level_weights
from weak2wise_core.steps import split_steps

GRANULARITY = 6
DRAWS = 3
GREEDY = Sampling(temperature=0)
_RULE = "|---"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One prompt with the answer it should lead to."""

    prompt: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One candidate of the pool with its outcomes, lightest mask first."""

    question_id: str
    quality: Quality
    outcomes: tuple[bool, ...]

    @property
    def score(self) -> Fraction:
        """Equation 7 with beta = 1/2 in the reading `unit_range`."""
        weights, denominator = level_weights(
            GRANULARITY, beta=Fraction(1, 2), reading=Reading.UNIT_RANGE
        )
        right = sum(w for w, good in zip(weights, self.outcomes, strict=True) if good)
        return Fraction(right, denominator)


def is_right(reply: str, *, answer: str) -> bool:
    """Whether the last box of a reply holds the answer; in this world all are plain numbers."""
    boxes = re.findall(r"\\boxed\{(\d+)\}", reply)
    return bool(boxes) and boxes[-1] == answer


async def ask_all(weak: ChatModel, tasks: Sequence[Task]) -> list[bool]:
    """Whether each task was answered correctly, all of them asked at once."""

    async def ask(task: Task) -> bool:
        message = Message(role="user", content=task.prompt)
        reply = await weak.chat([message], sampling=GREEDY, draw=0)
        return is_right(reply.content, answer=task.answer)

    return await asyncio.gather(*(ask(task) for task in tasks))


def hint_tasks(question: str, answer: str, *, steps: str) -> list[Task]:
    """The prompts of Step-Mask for one trace, lightest mask first."""
    split = split_steps(steps)
    hints = [mask_trace(split, level=n, granularity=GRANULARITY) for n in range(GRANULARITY)]
    prompts = [HINT.fill(question=question, step_reasoning=hint) for hint in hints]
    return [Task(prompt=prompt, answer=answer) for prompt in prompts]


def _problems(rng: random.Random, lengths: Sequence[int], count: int) -> list[Problem]:
    """Unseen problems; chains of one operation have no unseen ones."""
    shares = {length: Share.TEST if length > 1 else Share.PRETRAINING for length in lengths}
    drawn = (rng.choice(lengths) for _ in range(count))
    return [draw_problem(rng, length=length, share=shares[length]) for length in drawn]


async def unaided(weak: ChatModel, *, count: int) -> list[tuple[int, float, float]]:
    """Accuracy without a hint, for each number of operations: with SOLVE, and bare."""
    rows = []
    for length in LENGTHS:
        problems = _problems(_chance(f"unaided/{length}"), (length,), count)
        bare = [Task(prompt=tell_problem(p), answer=p.answer) for p in problems]
        asked = [replace(task, prompt=SOLVE.fill(question=task.prompt)) for task in bare]
        rows.append((length, _mean(await ask_all(weak, asked)), _mean(await ask_all(weak, bare))))
    return rows


async def mask_curves(
    weak: ChatModel, *, count: int
) -> Mapping[tuple[Teacher, Quality], list[float]]:
    """Accuracy at every mask level, for each habit of each teacher; 2 to 4 operations."""
    curves = {}
    for teacher, quality in [(t, q) for t in Teacher for q in WEIGHTS[t]]:
        rng = _chance(f"curve/{teacher.value}/{quality.value}")
        tasks: list[Task] = []
        for problem in _problems(rng, POOL_LENGTHS, count):
            lesson = write_lesson(rng, problem=problem, teacher=teacher, quality=quality)
            tasks += hint_tasks(tell_problem(problem), problem.answer, steps=lesson.steps)
        curves[teacher, quality] = _by_level(await ask_all(weak, tasks))
    return curves


async def score_pool(weak: ChatModel, questions: Sequence[Question]) -> list[Scored]:
    """Every candidate of every question, both teachers, `DRAWS` draws each, all levels."""
    tasks: list[Task] = []
    samples: list[tuple[str, Quality]] = []
    for question in questions:
        for teacher, draw in [(t, d) for t in Teacher for d in range(DRAWS)]:
            lesson = teach(question.question, teacher=teacher, draw=draw)
            tasks += hint_tasks(question.question, question.answer, steps=lesson.steps)
            quality = quality_of(question.question, teacher=teacher, draw=draw)
            samples.append((question.id, quality))
    outcomes = _rows(await ask_all(weak, tasks))
    return [
        Scored(question_id=question_id, quality=quality, outcomes=tuple(levels))
        for (question_id, quality), levels in zip(samples, outcomes, strict=True)
    ]


def area_under_curve(better: Sequence[Fraction], *, worse: Sequence[Fraction]) -> float:
    """Chance that one of the better has the higher score than one of the worse; ties count half."""
    wins = sum((high > low) + (high == low) / 2 for high in better for low in worse)
    return wins / (len(better) * len(worse))


async def report(weak: ChatModel, *, count: int, pool: int, seed: int) -> str:
    """All tables, as Markdown."""
    alone = await unaided(weak, count=count)
    curves = await mask_curves(weak, count=count)
    questions = pool_questions(count=pool, seed=seed)
    kept, share_right = await keep_failed(weak, questions)
    began, cpu = time.perf_counter(), time.process_time()
    scored = await score_pool(weak, kept)
    spent = time.perf_counter() - began, time.process_time() - cpu
    tables = (
        _unaided_table(alone, count),
        _curve_table(curves, count),
        f"Filter: {len(questions)} pool questions of 2 to 4 operations, {share_right:.3f} answered "
        f"alone, {len(kept)} kept.",
        _pool_table(scored),
        _speed(len(scored) * GRANULARITY, *spent),
    )
    return "\n\n".join(tables) + "\n"


async def keep_failed(
    weak: ChatModel, questions: Sequence[Question]
) -> tuple[list[Question], float]:
    """The questions that the weak model fails alone (section 3.2), and the share of the others."""
    tasks = [Task(prompt=SOLVE.fill(question=q.question), answer=q.answer) for q in questions]
    right = await ask_all(weak, tasks)
    kept = [question for question, good in zip(questions, right, strict=True) if not good]
    return kept, _mean(right)


def _unaided_table(rows: Sequence[tuple[int, float, float]], count: int) -> str:
    lines = [
        f"| operations | with the filter's prompt | bare question | (n = {count}) |",
        f"{_RULE * 4}|",
    ]
    lines += [f"| {length} | {asked:.3f} | {bare:.3f} | |" for length, asked, bare in rows]
    return "\n".join(lines)


def _curve_table(curves: Mapping[tuple[Teacher, Quality], Sequence[float]], count: int) -> str:
    head = " | ".join(f"level {level}" for level in range(GRANULARITY))
    lines = [f"| teacher, quality (n = {count}) | {head} |", f"{_RULE * (GRANULARITY + 1)}|"]
    for (teacher, quality), levels in curves.items():
        cells = " | ".join(f"{accuracy:.2f}" for accuracy in levels)
        lines.append(f"| {teacher.value}, {quality.value} | {cells} |")
    return "\n".join(lines)


def _pool_table(scored: Sequence[Scored]) -> str:
    good = [one.score for one in scored if one.quality is Quality.GOOD]
    rest = [one.score for one in scored if one.quality is not Quality.GOOD]
    by_question: dict[str, list[Fraction]] = {}
    for one in scored:
        by_question.setdefault(one.question_id, []).append(one.score)
    accuracy = _by_level([right for one in scored for right in one.outcomes])
    rows = (
        (
            f"accuracy of all {len(scored)} candidates at levels 0 to {GRANULARITY - 1}",
            " ".join(f"{value:.2f}" for value in accuracy),
        ),
        ("area under the curve, good against the rest", area_under_curve(good, worse=rest)),
        ("mean score of a question's best candidate", _mean(map(max, by_question.values()))),
        ("mean score of its worst", _mean(map(min, by_question.values()))),
        ("share of candidates that help at no level", _mean(not any(s.outcomes) for s in scored)),
    )
    lines = [f"| {name} | {v if isinstance(v, str) else f'{v:.3f}'} |" for name, v in rows]
    return "\n".join(["| pool | |", f"{_RULE * 2}|", *lines])


def _speed(queries: int, wall: float, cpu: float) -> str:
    return (
        f"Scoring: {queries} queries in {wall:.0f} s, {cpu:.0f} CPU seconds, "
        f"{queries / wall:.0f} queries a second."
    )


def _rows(outcomes: Sequence[bool]) -> list[Sequence[bool]]:
    return [outcomes[n : n + GRANULARITY] for n in range(0, len(outcomes), GRANULARITY)]


def _by_level(outcomes: Sequence[bool]) -> list[float]:
    return [_mean(level) for level in zip(*_rows(outcomes), strict=True)]


def _mean(values: Iterable[float | Fraction]) -> float:
    numbers = list(values)
    return float(sum(numbers) / len(numbers))


def _chance(purpose: str) -> random.Random:
    return random.Random(f"figures/{purpose}")  # noqa: S311 - not secret


async def _measured(spec: ModelSpec, *, count: int, pool: int, seed: int) -> str:
    weak = open_testbed_model(spec)
    try:
        return await report(weak, count=count, pool=pool, seed=seed)
    finally:
        await weak.aclose()


def main() -> None:
    """Read the command line, measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--count", type=int, default=200, help="problems behind each cell")
    parser.add_argument("--pool", type=int, default=300, help="pool questions to score")
    parser.add_argument("--seed", type=int, default=7, help="which pool questions")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    given = parser.parse_args()
    import torch

    torch.set_num_threads(given.threads)
    spec = ModelSpec(backend=Backend.TESTBED, model=WEAK)
    text = asyncio.run(_measured(spec, count=given.count, pool=given.pool, seed=given.seed))
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
