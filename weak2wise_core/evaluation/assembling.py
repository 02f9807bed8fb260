"""From what the harness found to an `Evaluation`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from weak2wise_core.answers.normalising import plain, squeezed
from weak2wise_core.config import EvaluationSettings
from weak2wise_core.errors import EvaluationError, RequestRefusedError
from weak2wise_core.evaluation.benchmarks import Benchmark, Problem
from weak2wise_core.evaluation.bridge import Asking, Bridge, Outcome
from weak2wise_core.evaluation.grading import Grade
from weak2wise_core.evaluation.harness import Found, own_sampling, task_config
from weak2wise_core.evaluation.records import (
    BenchmarkResult,
    Evaluation,
    ItemResult,
)
from weak2wise_core.hashing import content_hash
from weak2wise_core.records import EvaluatedSample, FinishReason, Verdict

_TOLERANCE = 1e-9


def assemble(
    benchmarks: Sequence[Benchmark],
    found: Found,
    *,
    bridge: Bridge,
    asking: Asking,
    settings: EvaluationSettings,
) -> Evaluation:
    """Every answer with its verdict, and the results by question.

    Raises:
        EvaluationError: The harness counts otherwise than the answers do.
    """
    samples = [sample for one in benchmarks for sample in _samples(one, found=found, bridge=bridge)]
    results = tuple(_result(one, samples) for one in benchmarks)
    for result in results:
        _check(result, found.pass_at_1[result.name])
    return Evaluation(
        name=asking.name,
        model=asking.handle(own_sampling(settings)).identity,
        settings=_described(settings, benchmarks),
        benchmarks=results,
        samples=tuple(samples),
        stock=found.stock,
        majorities=_majorities(samples) if settings.samples > 1 else {},
        returned=dict(sorted(bridge.returned().items())),
    )


def _samples(benchmark: Benchmark, *, found: Found, bridge: Bridge) -> list[EvaluatedSample]:
    return [
        _sample(benchmark.name, problem, draw, outcome=outcome, grade=grade, bridge=bridge)
        for number, problem in enumerate(benchmark.problems)
        for draw, (outcome, grade) in enumerate(
            zip(
                bridge.outcomes[benchmark.name, number],
                found.grades[benchmark.name, problem.id],
                strict=True,
            )
        )
    ]


def _sample(
    benchmark: str, problem: Problem, draw: int, *, outcome: Outcome, grade: Grade, bridge: Bridge
) -> EvaluatedSample:
    reply = None if isinstance(outcome, RequestRefusedError) else outcome
    visible = bridge.visible(outcome)
    return EvaluatedSample(
        benchmark=benchmark,
        item=problem.id,
        draw=draw,
        gold=problem.gold,
        verdict=grade.verdict if reply else Verdict.UNJUDGED,
        answer=grade.answer,
        cut=reply is not None and visible is None,
        finish_reason=reply.finish_reason if reply else FinishReason.OTHER,
        prompt_tokens=reply.usage.prompt_tokens if reply else 0,
        completion_tokens=reply.usage.completion_tokens if reply else 0,
        reply=visible or "",
        error="" if reply else str(outcome),
    )


def _result(benchmark: Benchmark, samples: Sequence[EvaluatedSample]) -> BenchmarkResult:
    return results_of(samples, kinds={benchmark.name: benchmark.kind})[0]


def results_of(
    samples: Sequence[EvaluatedSample], *, kinds: Mapping[str, Any]
) -> tuple[BenchmarkResult, ...]:
    """The verdicts by benchmark and question.

    Args:
        samples: Answers, by benchmark, question and draw.
        kinds: The kind of each benchmark, in order.
    """
    verdicts: dict[str, dict[str, list[Verdict]]] = {name: {} for name in kinds}
    for sample in samples:
        if sample.benchmark in verdicts:
            verdicts[sample.benchmark].setdefault(sample.item, []).append(sample.verdict)
    return tuple(
        BenchmarkResult(
            name=name,
            kind=kind,
            items=tuple(
                ItemResult(id=item, verdicts=tuple(found)) for item, found in verdicts[name].items()
            ),
        )
        for name, kind in kinds.items()
    )


def _check(result: BenchmarkResult, harness: float) -> None:
    if abs(result.accuracy - harness) > _TOLERANCE:
        raise EvaluationError(
            f"{result.name}: lm-evaluation-harness counts {harness}, the answers {result.accuracy}."
            " This is a fault of the program: please report it"
        )


def _described(settings: EvaluationSettings, benchmarks: Sequence[Benchmark]) -> dict[str, Any]:
    """How the model was asked; no path."""
    return settings.model_dump(mode="json", exclude={"benchmarks"}) | {
        "lm_eval": version("lm_eval"),
        "benchmarks": {
            one.name: {
                "kind": one.kind.value,
                "task_version": task_config(one.kind)["metadata"]["version"],
                "questions": len(one.problems),
                "content": content_hash(one.problems),
            }
            for one in benchmarks
        },
    }


def _majorities(samples: Sequence[EvaluatedSample]) -> dict[str, float]:
    """maj@k by benchmark; of answers that are equally frequent the first given one counts."""
    questions: dict[tuple[str, str], list[EvaluatedSample]] = {}
    for sample in samples:
        questions.setdefault((sample.benchmark, sample.item), []).append(sample)
    right: dict[str, list[bool]] = {}
    for (benchmark, _), answers in questions.items():
        right.setdefault(benchmark, []).append(_majority(answers))
    return {name: sum(outcomes) / len(outcomes) for name, outcomes in right.items()}


def _majority(answers: Sequence[EvaluatedSample]) -> bool:
    """Whether the most frequent answer of one question is right."""
    stated = [(squeezed(plain(one.answer)).casefold(), one) for one in answers if one.answer]
    if not stated:
        return False
    ((winner, _),) = Counter(answer for answer, _ in stated).most_common(1)
    first = next(one for answer, one in stated if answer == winner)
    return first.verdict is Verdict.CORRECT
