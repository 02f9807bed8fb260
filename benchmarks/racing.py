"""What racing saves: the same winners from fewer calls, in less time.

Step-Mask scoring of mock questions, three ways with the same replies, side by side::

    python benchmarks/racing.py

*Exhaustive* asks every mask level and casts all three votes; *early stop* casts the third vote
only where two differ; *race* asks only what can still change the winner. Winners are compared for
every question and all three readings of equation 6; calls are counted without guesses.

The wall time is that of fewer questions with 64 slots, a weak model that takes 100 ms and a judge
that takes 20 ms. There a race asks ahead where slots are idle, as a build does; the calls in that
table hold those guesses. Exit code 1 if any way has another winner than exhaustive scoring.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.outcomes import MockJudge, MockQuestion, MockWeak, mock_question
from weak2wise_core.config import (
    Backend,
    JudgeMethod,
    JudgingSettings,
    ModelSpec,
    Policy,
    Reading,
    StepMaskSettings,
)
from weak2wise_core.equivalence import AnswerChecker
from weak2wise_core.gateway import Gateway
from weak2wise_core.judging import settled
from weak2wise_core.llm.protocol import ChatModel
from weak2wise_core.prompts import PromptSet
from weak2wise_core.records import ChatReply, JudgedBy, Judgement, Question
from weak2wise_core.selection import select_golden
from weak2wise_core.stages.gathering import gather_all
from weak2wise_core.stages.judge import Judge, vote_of
from weak2wise_core.stages.scoring import ask_mask_levels
from weak2wise_core.stages.wording import vote_request

WAYS = ("exhaustive", "early stop", "race")
QUESTIONS_AT_ONCE = 400
"""As a build with the default shards has in hand."""
WEAK_S, JUDGE_S = 0.1, 0.02


class AllVotes(Judge):
    """A judge that casts every vote, as the reference code does."""

    async def judge(
        self, question: Question, reply: ChatReply, *, insist: bool = False
    ) -> Judgement:
        """The majority of all votes."""
        assert self._model is not None
        request = vote_request(question, reply.content, prompts=PromptSet())
        votes = self._settings.votes
        replies = await gather_all([self._model.ask(request, draw=draw) for draw in range(votes)])
        verdict = settled([vote_of(one) for one in replies], of=votes)
        assert verdict is not None
        return Judgement(verdict=verdict, judged_by=JudgedBy.MODEL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One way of scoring the questions of one reading."""

    way: str
    reading: str
    questions: int
    weak_calls: int
    judge_calls: int
    seconds: float
    winners: tuple[str, ...]
    """For every question the strong model, draw and exact score of the winner."""

    @property
    def calls(self) -> int:
        """Weak and judge together."""
        return self.weak_calls + self.judge_calls


async def scored(
    way: str,
    questions: Sequence[MockQuestion],
    *,
    settings: StepMaskSettings,
    slots: int,
    speed: float,
    speculate: bool = False,
) -> Scored:
    """Score every question in one way.

    Args:
        way: One of `WAYS`.
        questions: What is asked, with the replies.
        settings: Granularity, beta and reading; the policy follows from the way.
        slots: Calls at once.
        speed: Seconds of the models' delays that take one second here; 0 for none at all.
        speculate: Whether a race asks ahead where slots are idle.
    """
    policy = Policy.RACE if way == "race" else Policy.EXHAUSTIVE
    settings = settings.model_copy(update={"policy": policy})
    gateway = Gateway(in_flight=slots)
    weak = MockWeak(questions, settings=settings, delay_s=WEAK_S / speed if speed else 0)
    voter = MockJudge(delay_s=JUDGE_S / speed if speed else 0)

    def ask(model: ChatModel, name: str) -> Any:
        spec = ModelSpec(backend=Backend.TESTBED, model=name)
        votes = name == "judge"
        return gateway.handle(model, spec=spec, name=name, stage="score_step_masks", votes=votes)

    kind = AllVotes if way == "exhaustive" else Judge
    checker = AnswerChecker()
    judge = kind(
        JudgingSettings(method=JudgeMethod.LLM), checker=checker, model=ask(voter, "judge")
    )
    weak_handle, gate = ask(weak, "weak"), asyncio.Semaphore(QUESTIONS_AT_ONCE)

    async def one(mock: MockQuestion) -> str:
        async with gate:
            rows = await ask_mask_levels(
                mock.question,
                mock.candidates,
                weak=weak_handle,
                judge=judge,
                count_tokens=lambda text: text.count(" "),
                settings=settings,
                prompts=PromptSet(),
                slots=gateway.slots if speculate else None,
            )
        choice = select_golden(rows, settings=settings)
        assert choice.winner is not None
        return f"{choice.winner.strong_model}{choice.winner.draw} {choice.score}"

    started = time.perf_counter()
    winners = await asyncio.gather(*(one(mock) for mock in questions))
    seconds = time.perf_counter() - started
    await asyncio.to_thread(checker.close)
    calls = {model: account.calls for (_, model), account in gateway.accounts.items()}
    return Scored(
        way=way,
        reading=settings.reading.value,
        questions=len(questions),
        weak_calls=calls["weak"],
        judge_calls=calls["judge"],
        seconds=seconds,
        winners=tuple(winners),
    )


def differing(found: Sequence[Scored]) -> list[str]:
    """One sentence for every way that has other winners than exhaustive scoring."""
    sentences = []
    for one in found:
        others = one.questions - _same(one, _base(one, found))
        if others:
            sentences.append(
                f"{one.way}, {one.reading}: {others:,} of {one.questions:,} questions have "
                "another winner than exhaustive scoring"
            )
    return sentences


def _base(one: Scored, found: Sequence[Scored]) -> Scored:
    return next(base for base in found if (base.reading, base.way) == (one.reading, WAYS[0]))


def _same(one: Scored, base: Scored) -> int:
    return sum(a == b for a, b in zip(one.winners, base.winners, strict=True))


def show(found: Sequence[Scored], console: Console, *, timed: bool) -> None:
    """A table with ratios to exhaustive scoring."""
    columns = ["seconds", "of exhaustive"] if timed else ["same winners"]
    table = Table("reading", "way", "weak a question", "votes a question", "calls", *columns)
    for one in found:
        base = _base(one, found)
        last = (
            [f"{one.seconds:.1f}", f"{one.seconds / base.seconds:.2f}"]
            if timed
            else [f"{_same(one, base):,} of {one.questions:,}"]
        )
        table.add_row(
            one.reading,
            one.way,
            f"{one.weak_calls / one.questions:.1f}",
            f"{one.judge_calls / one.questions:.1f}",
            f"{one.calls / base.calls:.3f}",
            *last,
        )
    console.print(table)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--questions", type=int, default=2000, help="for calls and winners")
    parser.add_argument("--timed-questions", type=int, default=300, help="for the wall time")
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--granularity", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    return parser.parse_args(arguments)


async def _all(options: argparse.Namespace) -> tuple[list[Scored], list[Scored]]:
    settings = StepMaskSettings(granularity=options.granularity)
    questions = [
        mock_question(number, seed=options.seed, settings=settings)
        for number in range(options.questions)
    ]
    counted = [
        await scored(
            way,
            questions,
            settings=settings.model_copy(update={"reading": reading}),
            slots=1024,
            speed=0,
        )
        for reading in Reading
        for way in WAYS
    ]
    few = [
        mock_question(number, seed=options.seed, settings=settings)
        for number in range(options.timed_questions)
    ]
    timed = [
        await scored(way, few, settings=settings, slots=options.slots, speed=1, speculate=True)
        for way in WAYS
    ]
    return counted, timed


def main(arguments: Sequence[str] | None = None) -> int:
    """Score in three ways, compare, print; the exit code."""
    options = _options(arguments)
    counted, timed = asyncio.run(_all(options))
    console = Console()
    show(counted, console, timed=False)
    console.print(
        f"{options.timed_questions} questions with {options.slots} slots, guesses included:"
    )
    show(timed, console, timed=True)
    if options.json:
        rows = [asdict(one) for one in (*counted, *timed)]
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
    broken = [*differing(counted), *differing(timed)]
    for sentence in broken:
        console.print(f"broken: {sentence}")
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
