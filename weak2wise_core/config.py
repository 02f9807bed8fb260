"""The recipe: everything that decides what a build does, as frozen pydantic settings.

Unknown keys are errors, so a typing error cannot change a build silently. Each default names its
source: the paper's section, or "ours" where the paper is silent.
"""

from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

PositiveInt = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class Settings(BaseModel):
    """Base of every part of a recipe: frozen, and strict about unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Backend(StrEnum):
    """How a model is reached."""

    OPENAI = "openai"
    TRANSFORMERS = "transformers"
    TESTBED = "testbed"


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


class Runner(StrEnum):
    """Where the tasks of a build run."""

    ASYNC = "async"


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


class Prices(Settings):
    """US dollars for a million tokens, as the provider's price list says."""

    input: float = Field(0.0, ge=0, description="prompt tokens")
    output: float = Field(0.0, ge=0, description="reply tokens, thinking included")
    cached_input: float | None = Field(
        None, ge=0, description="prompt tokens from the server's cache; as `input` where absent"
    )


_SERVED_ONLY = frozenset(
    {"base_urls", "api_key_env", "stream", "rpm", "tpm", "timeout_s", "retries"}
)
"""Settings of a model behind a server; a local one would ignore them."""


class ModelSpec(Settings):
    """One model: what decides its replies, and how it is reached."""

    backend: Backend = Field(description="openai (any compatible server), transformers or testbed")
    model: str = Field(min_length=1, description="model id, hub id or folder")
    base_urls: tuple[str, ...] = Field(
        (), description="openai only: one address per replica, with /v1 where the server wants it"
    )
    api_key_env: str | None = Field(
        None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="name of the environment variable that holds the key; never the key itself",
    )
    temperature: float | None = Field(
        None, ge=0, le=2, description="sampling temperature; the model's default where absent"
    )
    top_p: float | None = Field(None, gt=0, le=1, description="nucleus sampling")
    max_tokens: PositiveInt | None = Field(None, description="limit of one reply, in tokens")
    seed: int | None = Field(None, description="sent as seed + draw, for servers that honour seeds")
    stream: bool = Field(False, description="ask for a stream; some endpoints answer no other way")
    extra_body: dict[str, Any] = Field(
        default_factory=dict, description="further fields of the request, passed through"
    )
    tokenizer: str | None = Field(
        None, description="hub id or folder of the tokenizer; `model` where absent"
    )
    usd_per_mtok: Prices = Field(Prices(), description="prices, for `plan` and the final account")
    in_flight: PositiveInt | None = Field(None, description="calls to this model at once")
    rpm: PositiveInt | None = Field(None, description="calls a minute")
    tpm: PositiveInt | None = Field(None, description="tokens a minute, prompt and reply")
    timeout_s: float = Field(900.0, gt=0, description="seconds without a byte from the server")
    retries: int = Field(8, ge=0, le=50, description="further tries after a passing failure")
    batch_size: PositiveInt = Field(64, description="transformers: requests in one batch")
    device: str | None = Field(None, description="transformers: cuda, mps or cpu")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="transformers: number format of the weights"
    )

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.backend is Backend.OPENAI and not self.base_urls:
            raise ValueError("backend openai needs at least one address in base_urls")
        served = _SERVED_ONLY & self.model_fields_set
        if self.backend is not Backend.OPENAI and served:
            raise ValueError(
                f"{', '.join(sorted(served))}: only a model with backend openai reads this"
            )
        for url in self.base_urls:
            if not url.startswith(("http://", "https://")):
                raise ValueError(f"base_urls: {url!r} does not begin with http:// or https://")
        return self

    def identity(self) -> dict[str, Any]:
        """The part of the specification that decides the replies; no address, key or limit.

        Of a local model only the folder's name is part of it; its weights are known to whoever
        opens it.
        """
        identity = self.model_dump(
            mode="json",
            include={
                "backend",
                "model",
                "temperature",
                "top_p",
                "max_tokens",
                "seed",
                "extra_body",
                "dtype",
            },
        )
        if self.backend is not Backend.OPENAI and Path(self.model).is_absolute():
            identity["model"] = Path(self.model).name
        return identity


class StrongModelSpec(ModelSpec):
    """A strong model, with the name under which its traces are counted."""

    name: Name = Field(description="short name in tables, ties and reports")


class Models(Settings):
    """The four roles of a build."""

    weak: ModelSpec = Field(description="the model to be taught: filter and Step-Mask (3.2, 3.4)")
    strong: tuple[StrongModelSpec, ...] = Field(
        (), description="the teachers; two or more in the paper (3.3)"
    )
    judge: ModelSpec | None = Field(None, description="casts the votes of section 3.2")
    truncator: ModelSpec | None = Field(None, description="finds the end of a trace (3.5)")

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [spec.name for spec in self.strong]
        if len(set(names)) != len(names):
            raise ValueError(f"strong models need different names, found {names}")
        if taken := {"weak", "judge", "truncator"} & set(names):
            raise ValueError(f"a strong model cannot be called {min(taken)!r}: a role is")
        return self

    def specs(self) -> dict[str, ModelSpec]:
        """Every model by the name under which it is counted."""
        named: dict[str, ModelSpec] = {"weak": self.weak}
        named |= {spec.name: spec for spec in self.strong}
        named |= {"judge": self.judge} if self.judge else {}
        return named | ({"truncator": self.truncator} if self.truncator else {})

    def spec(self, name: str) -> ModelSpec:
        """One model by its name; see `specs`."""
        return self.specs()[name]


class FilterSettings(Settings):
    """Section 3.2."""

    enabled: bool = Field(True, description="false: keep every question and make no call at all")


class GenerateSettings(Settings):
    """Section 3.3."""

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
    """Section 3.4."""

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
    """Section 3.2 and appendix A."""

    method: JudgeMethod = Field(JudgeMethod.LLM, description="llm is the paper's judge")
    votes: int = Field(3, ge=1, le=9, description="votes on one attempt (3.2); odd")

    @model_validator(mode="after")
    def _odd(self) -> Self:
        if self.votes % 2 == 0:
            raise ValueError(f"votes must be odd to have a majority, found {self.votes}")
        return self


class TruncationSettings(Settings):
    """Section 3.5."""

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
    """Section 3.6 and figure 6."""

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


class BudgetSettings(Settings):
    """What a build may cost at most; reached, it stops cleanly and can be resumed."""

    usd: float | None = Field(None, ge=0, description="US dollars, by the recipe's prices")
    calls: int | None = Field(None, ge=0, description="paid model calls")


class ExecutionSettings(Settings):
    """How fast, never what: nothing here is part of a cache key."""

    in_flight: PositiveInt = Field(256, description="model calls at once, all models together")
    questions_per_task: int = Field(25, ge=1, le=1000, description="most questions in one shard")
    shards_in_flight: PositiveInt = Field(16, description="shards worked on at once")
    runner: Runner = Field(Runner.ASYNC, description="async: one event loop")
    max_quarantine_fraction: float = Field(
        0.05,
        ge=0,
        le=1,
        description="a build with more questions lost to failures publishes nothing (ours); "
        "malformed input rows are named but not counted here",
    )


class Recipe(Settings):
    """A whole build, from question file to published dataset."""

    dataset: Name = Field(description="name of the dataset that is built")
    questions: QuestionsSettings
    models: Models
    decontaminate: DecontaminationSettings = DecontaminationSettings()
    filter: FilterSettings = FilterSettings()
    generate: GenerateSettings = GenerateSettings()
    step_mask: StepMaskSettings = StepMaskSettings()
    judging: JudgingSettings = JudgingSettings()
    truncation: TruncationSettings = TruncationSettings()
    zero_score: ZeroScoreSettings = ZeroScoreSettings()
    sft: SFTFormatSettings = SFTFormatSettings()
    prompts: PromptFiles = PromptFiles()
    budget: BudgetSettings = BudgetSettings()
    execution: ExecutionSettings = ExecutionSettings()

    @model_validator(mode="after")
    def _roles_are_filled(self) -> Self:
        if not self.models.strong and not self.generate.imported:
            raise ValueError("models.strong is empty and generate.imported names no candidates")
        if self.judging.method is not JudgeMethod.RULE and self.models.judge is None:
            raise ValueError(
                f"judging.method {self.judging.method.value} needs models.judge; "
                "name one or set judging.method: rule"
            )
        if self.truncation.method is not TruncationMethod.RULE and self.models.truncator is None:
            raise ValueError(
                f"truncation.method {self.truncation.method.value} needs models.truncator; "
                "name one or set truncation.method: rule"
            )
        zero = self.zero_score
        again = zero.action is ZeroScoreAction.RESAMPLE
        if again and zero.max_draws < self.generate.samples_per_model:
            raise ValueError("zero_score.max_draws is less than generate.samples_per_model")
        if zero.annotations is not None and zero.action is not ZeroScoreAction.ANNOTATE:
            raise ValueError("zero_score.annotations is read with zero_score.action: annotate only")
        return self
