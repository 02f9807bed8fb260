"""Questions for a build and for a test: `python -m testbed.questions --count 120 --seed 7`.

Both come from chains that the weak model never met in pretraining, and share none between them.
The files of the ablation are `--count 300 --out testbed/questions_ablation.jsonl` and
`--test --count 400 --out testbed/questions_test.jsonl`.
"""

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from testbed.language import tell_problem
from testbed.world import POOL_LENGTHS, Problem, Share, draw_problem
from weak2wise_core.records import Question

QUESTIONS_FILE = Path(__file__).parent / "questions.jsonl"
ABLATION_FILE = Path(__file__).parent / "questions_ablation.jsonl"
"""A larger pool, whose first questions are those of `QUESTIONS_FILE`."""
TEST_FILE = Path(__file__).parent / "questions_test.jsonl"


def pool_questions(*, count: int, seed: int) -> list[Question]:
    """Questions to build a dataset from, no chain twice.

    Args:
        count: How many; a larger count adds questions at the end and changes none.
        seed: Decides all of them.
    """
    return _questions(Share.POOL, count=count, seed=seed, prefix="testbed")


def held_out_questions(*, count: int, seed: int) -> list[Question]:
    """Questions to test a fine-tuned model on; their chains are in no pool, whatever the seeds.

    Args:
        count: How many; a larger count adds questions at the end and changes none.
        seed: Decides all of them.
    """
    return _questions(Share.TEST, count=count, seed=seed, prefix="testbed-test")


def _questions(share: Share, *, count: int, seed: int, prefix: str) -> list[Question]:
    rng = random.Random(f"{share.value}/{seed}")  # noqa: S311 - not secret
    problems = islice(_distinct(rng, share), count)
    return [
        Question(id=f"{prefix}-{number:05}", question=tell_problem(problem), answer=problem.answer)
        for number, problem in enumerate(problems)
    ]


def _distinct(rng: random.Random, share: Share) -> Iterator[Problem]:
    seen: set[str] = set()
    while True:
        problem = draw_problem(rng, length=rng.choice(POOL_LENGTHS), share=share)
        if problem.chain not in seen:
            seen.add(problem.chain)
            yield problem


def write_questions(questions: Sequence[Question], *, path: Path) -> None:
    """One JSON object a line, in the order of the ids; the same questions give the same bytes."""
    rows = (
        {"id": question.id, "question": question.question, "answer": question.answer}
        for question in sorted(questions, key=lambda question: question.id)
    )
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8", newline="\n")


def main() -> None:
    """Read the command line and write the pool, or the test."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--count", type=int, default=120, help="how many questions")
    parser.add_argument("--seed", type=int, default=7, help="which questions")
    parser.add_argument("--out", type=Path, default=QUESTIONS_FILE, help="JSONL file to write")
    parser.add_argument("--test", action="store_true", help="questions of the test, not the pool")
    given = parser.parse_args()
    draw = held_out_questions if given.test else pool_questions
    write_questions(draw(count=given.count, seed=given.seed), path=given.out)


if __name__ == "__main__":
    main()
