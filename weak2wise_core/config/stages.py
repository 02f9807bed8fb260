"""The stages of the method: what each reads of a recipe."""

from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from weak2wise_core.config.base import PositiveInt, Settings


class Reading(StrEnum):
    """The three readings of equation 6; see `weak2wise_core.scoring`."""

    UNIT_RANGE = "unit_range"
    AS_PRINTED = "as_printed"
    REFERENCE_CODE = "reference_code"


class Policy(StrEnum):
    """How many mask levels are asked; the golden reasoning is the same."""

    RACE = "race"
    EXHAUSTIVE = "exhaustive"


class JudgeMethod(StrEnum):
    """Who decides whether an attempt is correct."""

    LLM = "llm"
    RULE = "rule"
    RULE_THEN_LLM = "rule_then_llm"


class TruncationMethod(StrEnum):
    """Who finds the place where the correct answer is first deduced."""

    ENDPOINT = "endpoint"
    REEMIT = "reemit"
    RULE = "rule"


class ZeroScoreAction(StrEnum):
    """What happens to a question whose best candidate scores 0."""

    DROP = "drop"
    KEEP = "keep"
    RESAMPLE = "resample"
    ANNOTATE = "annotate"


class QuestionsSettings(Settings):
    """Where the question-answer set lies."""

    path: Path = Field(description="a .jsonl, .parquet or .csv file")
    question_field: str = Field("question", description="column that holds the question")
    answer_field: str = Field("answer", description="column that holds the ground-truth answer")
    id_field: str = Field(
        "id", description="column with a stable id; where absent the id is a hash of the question"
    )
    limit: PositiveInt | None = Field(None, description="only the first N rows")
    max_chars: PositiveInt = Field(
        100_000, description="longer questions are rejected by name (ours)"
    )


class DecontaminationSettings(Settings):
    """Questions that overlap with a benchmark are dropped before anything is paid (ours)."""

    against: tuple[Path, ...] = Field((), description="benchmark files, same formats as questions")
    question_field: str = Field("question", description="column that holds the benchmark question")
    ngram: int = Field(8, ge=2, le=50, description="words in a row that count as an overlap")


class FilterSettings(Settings):
    """Only questions that the weak model cannot answer alone are kept (section 3.2)."""

    enabled: bool = Field(True, description="false: keep every question and make no call at all")


class GenerateSettings(Settings):
    """Traces of the strong models, which are told the answer (section 3.3)."""

    samples_per_model: int = Field(3, ge=1, le=64, description="draws of each strong model (4.1)")
    imported: tuple[Path, ...] = Field(
        (), description="candidates files of `weak2wise import-traces`, added to the pool (ours)"
    )
    refuse_answer_leak: bool = Field(
        False, description="refuse a candidate whose answer stands in a step before the last (ours)"
    )
    refuse_told_answer: bool = Field(
        True, description="refuse thinking that betrays it was told the answer (ours)"
    )


class StepMaskSettings(Settings):
    """How traces are masked and scored (section 3.4)."""

    granularity: int = Field(6, ge=2, le=12, description="n, the number of mask levels (4.1)")
    beta: float = Field(0.5, ge=0, le=1, description="weight of s_avg in equation 7 (4.1)")
    reading: Reading = Field(Reading.UNIT_RANGE, description="how equation 6 is read")
    policy: Policy = Field(
        Policy.RACE,
        description="race asks until the winner is proven (ours); exhaustive asks every level",
    )

    @property
    def exact_beta(self) -> Fraction:
        """Beta as the fraction that was written: 0.1 is 1/10, not its binary neighbour."""
        return Fraction(str(self.beta))


class JudgingSettings(Settings):
    """Whether an answer is correct (section 3.2 and appendix A)."""

    method: JudgeMethod = Field(JudgeMethod.LLM, description="llm is the paper's judge")
    votes: int = Field(3, ge=1, le=9, description="votes on one attempt (3.2); odd")

    @model_validator(mode="after")
    def _odd(self) -> Self:
        if self.votes % 2 == 0:
            raise ValueError(f"votes must be odd to have a majority, found {self.votes}")
        return self


class TruncationSettings(Settings):
    """A long golden trace is cut where the answer is first deduced (section 3.5)."""

    method: TruncationMethod = Field(
        TruncationMethod.ENDPOINT, description="tried first; `rule` is tried last (ours)"
    )
    over_tokens: int = Field(
        4096, ge=0, description="longer Normal-Reasoning traces are cut (ours; 0 cuts every trace)"
    )


class ZeroScoreSettings(Settings):
    """Questions no candidate helps with: 6% in the paper (3.5)."""

    action: ZeroScoreAction = Field(
        ZeroScoreAction.DROP, description="drop, keep, resample, annotate"
    )
    max_draws: int = Field(
        12, ge=1, le=256, description="resample: most draws of each strong model for one question"
    )
    annotations: Path | None = Field(
        None, description="annotate: the queue file with the reasoning that a person filled in"
    )


class SFTFormatSettings(Settings):
    """What a training example looks like (section 3.6 and figure 6)."""

    max_tokens: PositiveInt = Field(
        32_768, description="the length gate: longer examples are refused, not cut (ours)"
    )
    prompt_suffix: str = Field(
        "", description="text after the question in every training prompt (ours; none in figure 6)"
    )


class PromptFiles(Settings):
    """Files whose text replaces the wording of a template; the contract stays."""

    generate: Path | None = Field(None, description="C_gen, figure 4")
    solve: Path | None = Field(None, description="the filter's question, section 3.2")
    hint: Path | None = Field(None, description="P_qr, figure 5")
    judge: Path | None = Field(None, description="P_judge, appendix A")
    truncate_endpoint: Path | None = Field(None, description="P_trunc, our short form")
    truncate_reemit: Path | None = Field(None, description="P_trunc, the paper's form")
