"""Pools, tokenizers and verdicts for the tests of ablations."""

from collections.abc import Mapping, Sequence
from typing import Any

from weak2wise_core.ablation.comparing import BASE, ItemVerdict
from weak2wise_core.ablation.pools import Pool, whole_pool
from weak2wise_core.config import Recipe
from weak2wise_core.config.ablation import Arm
from weak2wise_core.recipes import parse_recipe
from weak2wise_core.records import CandidateTrace, MaskOutcomes, Question, Refusal, Verdict

PAPERS = (Arm.HIGHEST, Arm.RANDOM, Arm.LOWEST, Arm.SHORTEST, Arm.UNTRUNCATED)
"""Arms whose selectors do not read the weak model."""
BITS = {"1": Verdict.CORRECT, "0": Verdict.INCORRECT, "?": Verdict.UNJUDGED}


def recipe(**changes: Any) -> Recipe:
    """A recipe with three mask levels that cuts every trace by rule."""
    content: dict[str, Any] = {
        "dataset": "d",
        "questions": {"path": "q.jsonl"},
        "models": {
            "weak": {"backend": "testbed", "model": "weak"},
            "strong": [{"name": "a", "backend": "testbed", "model": "teacher-a"}],
        },
        "judging": {"method": "rule"},
        "truncation": {"method": "rule", "over_tokens": 0},
        "step_mask": {"granularity": 3, "policy": "exhaustive"},
        "evaluation": {"benchmarks": [{"kind": "aime24", "path": "t.jsonl"}]},
    }
    return parse_recipe(content | changes)


def outcomes(
    bits: str, *, question: str = "q", model: str = "a", draw: int = 0, tokens: int = 100
) -> MaskOutcomes:
    """Outcomes by level: 1 correct, 0 incorrect, ? unjudged, - not asked."""
    return MaskOutcomes(
        question_id=question,
        strong_model=model,
        draw=draw,
        outcomes=tuple(BITS.get(bit, Verdict.UNJUDGED) for bit in bits),
        asked=tuple(bit != "-" for bit in bits),
        attempts=("",) * len(bits),
        normal_tokens=tokens,
        spent=(),
    )


def candidate(
    *,
    question: str = "q",
    model: str = "a",
    draw: int = 0,
    thinking: str = "So it is 42.\n\nWait, let me check. Yes.",
    refusal: Refusal | None = None,
) -> CandidateTrace:
    """A candidate whose thinking concludes before its end."""
    return CandidateTrace(
        question_id=question,
        strong_model=model,
        draw=draw,
        normal_reasoning=thinking,
        step_reasoning="## Step\n6 x 7\n\n## Final Answer\n42",
        refusal=refusal,
        detail="",
        answer_leak=False,
        told_answer=False,
        model="m",
        spent=(),
    )


def pool_of(
    rows: Mapping[str, Sequence[MaskOutcomes]],
    *,
    settings: Recipe,
    thinking: Mapping[tuple[str, int], str] | None = None,
) -> Pool:
    """A pool of these outcomes by question; `thinking` by question and draw."""
    texts = thinking or {}
    flat = [one for found in rows.values() for one in found]
    return whole_pool(
        [Question(id=name, question=f"What is 6 times 7, {name}?", answer="42") for name in rows],
        candidates=[
            candidate(
                question=one.question_id,
                model=one.strong_model,
                draw=one.draw,
                thinking=texts.get(
                    (one.question_id, one.draw),
                    f"Trace {one.draw}: so it is 42.\n\nWait, let me check. Yes.",
                ),
            )
            for one in flat
        ],
        outcomes=flat,
        recipe=settings,
    )


def verdicts(
    answers: Mapping[tuple[str, int | None], str], *, pool: str = "all", benchmark: str = "b"
) -> list[ItemVerdict]:
    """One verdict an item, by arm and seed: 1 correct, 0 incorrect, ? unjudged."""
    return [
        ItemVerdict(
            pool="" if arm == BASE else pool,
            arm=arm,
            seed=seed,
            benchmark=benchmark,
            item=f"item-{number}",
            verdicts=(BITS[bit],),
        )
        for (arm, seed), bits in answers.items()
        for number, bit in enumerate(bits)
    ]
