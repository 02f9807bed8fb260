"""What an evaluation finds, as frozen records."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from weak2wise_core.config import BenchmarkKind
from weak2wise_core.records import EvaluatedSample, FinishReason, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemResult:
    """One question of a benchmark."""

    id: str
    verdicts: tuple[Verdict, ...]
    """One per sample, in the order of the draws."""

    @property
    def accuracy(self) -> float:
        """Share of the samples that are right."""
        return sum(verdict is Verdict.CORRECT for verdict in self.verdicts) / len(self.verdicts)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkResult:
    """One benchmark."""

    name: str
    kind: BenchmarkKind
    items: tuple[ItemResult, ...]

    @property
    def accuracy(self) -> float:
        """pass@1: the mean over the questions of the share of their samples that are right."""
        return sum(item.accuracy for item in self.items) / len(self.items)


@dataclass(frozen=True, slots=True, kw_only=True)
class StockResult:
    """One task of lm-evaluation-harness as it is, with the grader it brings."""

    task: str
    metrics: Mapping[str, float]
    """By metric and filter, as in `exact_match,none`."""
    questions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What one model did on all benchmarks."""

    name: str
    model: Mapping[str, Any]
    """What decides the model's replies: name, weights or id, backend."""
    settings: Mapping[str, Any]
    """How it was asked: samples, temperature, limits, prompt suffix."""
    benchmarks: tuple[BenchmarkResult, ...]
    samples: tuple[EvaluatedSample, ...] = ()
    """Every answer, by benchmark, question and draw."""
    stock: tuple[StockResult, ...] = ()
    majorities: Mapping[str, float] = field(default_factory=dict)
    """maj@k by benchmark: the share of questions whose most frequent answer is right."""
    returned: Mapping[str, int] = field(default_factory=dict)
    """Replies by the model id that they named."""

    def of(self, benchmark: str) -> tuple[EvaluatedSample, ...]:
        """The answers to one benchmark."""
        return tuple(sample for sample in self.samples if sample.benchmark == benchmark)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How the answers to one benchmark ended."""

    samples: int
    correct: int
    unjudged: int
    """No rule is certain; counted as wrong."""
    refused: int
    """The server refused the request; counted as wrong."""
    cut: int
    """The thinking never ended."""
    length: int
    """The reply reached its limit of tokens."""
    completion_tokens: int

    @classmethod
    def of(cls, samples: tuple[EvaluatedSample, ...]) -> "Counts":
        """Count the answers."""
        verdicts = Counter(sample.verdict for sample in samples)
        refused = sum(bool(sample.error) for sample in samples)
        return cls(
            samples=len(samples),
            correct=verdicts[Verdict.CORRECT],
            unjudged=verdicts[Verdict.UNJUDGED] - refused,
            refused=refused,
            cut=sum(sample.cut for sample in samples),
            length=sum(sample.finish_reason is FinishReason.LENGTH for sample in samples),
            completion_tokens=sum(sample.completion_tokens for sample in samples),
        )
