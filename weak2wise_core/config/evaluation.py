"""Evaluation of a model on benchmarks (section 4.1)."""

from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from weak2wise_core.config.base import Name, PositiveInt, Settings


class BenchmarkKind(StrEnum):
    """What an answer of a benchmark looks like."""

    AIME = "aime24"
    MATH = "math500"
    GPQA = "gpqa_diamond"


class BenchmarkSettings(Settings):
    """One benchmark: its data are the user's, its task definition and grader are ours."""

    kind: BenchmarkKind = Field(description="aime24, math500 or gpqa_diamond")
    name: Name | None = Field(None, description="name in tables; the kind where absent")
    path: Path | None = Field(None, description="a .jsonl, .parquet or .csv file")
    hub: str | None = Field(None, description="a dataset of the hub, in place of a file")
    split: str = Field("test", description="split of the hub's dataset")
    question_field: str | None = Field(None, description="column; the benchmark's own if absent")
    answer_field: str | None = Field(None, description="column; the benchmark's own if absent")
    limit: PositiveInt | None = Field(None, description="only the first N questions")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.path is None) == (self.hub is None):
            raise ValueError("name either path or hub")
        return self


class EvaluationSettings(Settings):
    """How a model is evaluated."""

    benchmarks: tuple[BenchmarkSettings, ...] = Field((), description="what is asked")
    stock_tasks: tuple[str, ...] = Field(
        (), description="tasks of lm-evaluation-harness as they are, labelled as such"
    )
    samples: PositiveInt = Field(1, description="k, answers to one question, with distinct seeds")
    temperature: float = Field(0.6, ge=0, le=2, description="sampling temperature (ours)")
    top_p: float = Field(0.95, gt=0, le=1, description="nucleus sampling (ours)")
    max_tokens: PositiveInt = Field(32_768, description="limit of one answer, in tokens (ours)")
    seed: int = Field(0, ge=0, description="draw j of a question is asked with seed + j")
