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

    kind: BenchmarkKind = Field(
        description="aime24 (whole numbers 0 to 999), math500 (any mathematical answer) or "
        "gpqa_diamond (one of four choices)"
    )
    name: Name | None = Field(None, description="name in tables; the kind where absent")
    path: Path | None = Field(None, description="a .jsonl, .parquet or .csv file")
    hub: str | None = Field(None, description="a dataset of the hub, in place of a file")
    hub_config: str | None = Field(
        None, description="configuration of the hub's dataset, such as gpqa_diamond"
    )
    split: str | None = Field(
        None, description="split of the hub's dataset; `test`, or the only one, where absent"
    )
    id_field: str | None = Field(
        None, description="column; unique_id, id or record id if absent, else the row's number"
    )
    question_field: str | None = Field(
        None, description="column; the names of the public releases if absent"
    )
    answer_field: str | None = Field(
        None, description="column; the names of the public releases if absent"
    )
    wrong_answer_fields: tuple[str, ...] = Field(
        (), description="gpqa_diamond: the other three columns; incorrect answer 1, 2, 3 if absent"
    )
    limit: PositiveInt | None = Field(None, description="only the first N questions")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.path is None) == (self.hub is None):
            raise ValueError("name either path or hub")
        if self.wrong_answer_fields and self.kind is not BenchmarkKind.GPQA:
            raise ValueError("wrong_answer_fields is read for kind gpqa_diamond only")
        return self

    @property
    def label(self) -> str:
        """The name in tables."""
        return self.name or self.kind.value


class EvaluationSettings(Settings):
    """How a model is evaluated."""

    benchmarks: tuple[BenchmarkSettings, ...] = Field((), description="what is asked")
    stock_tasks: tuple[str, ...] = Field(
        (), description="tasks of lm-evaluation-harness as they are, labelled as such"
    )
    samples: PositiveInt = Field(1, description="k, answers to one question, with distinct seeds")
    temperature: float | None = Field(
        0.6, ge=0, le=2, description="sampling temperature (ours); null: as the model's entry says"
    )
    top_p: float | None = Field(
        0.95, gt=0, le=1, description="nucleus sampling (ours); null: as the model's entry says"
    )
    max_tokens: PositiveInt | None = Field(
        None,
        description="limit of one answer, in tokens; absent: that of the model's entry, else what "
        "is left of its context (ours)",
    )
    seed: int = Field(0, ge=0, description="draw j of a question is asked with seed + j")
    prompt_suffix: str | None = Field(
        None,
        description="text after every question; where absent the one that the model was trained "
        "with, and none for a model that was not trained here",
    )
    resamples: PositiveInt = Field(10_000, description="bootstrap over questions (ours)")

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        names = [benchmark.label for benchmark in self.benchmarks] + list(self.stock_tasks)
        if len(set(names)) < len(names):
            raise ValueError(f"benchmarks need different names, found {', '.join(names)}")
        if self.temperature == 0 and self.samples > 1:
            raise ValueError(
                f"{self.samples} samples at temperature 0 are one answer {self.samples} times; "
                "raise temperature or set samples: 1"
            )
        return self
