"""The two related methods: weak-to-strong reasoning, and W2SR, in which a weak reasoner teaches.

"W2S" is Yang et al., Weak-to-Strong Reasoning (arXiv 2407.13647), "W2SR" is Yuan et al.,
Incentivizing Strong Reasoning from Weak Supervision (arXiv 2505.20072).
"""

from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field, model_validator

from weak2wise_core.config.base import Name, PositiveInt, Settings
from weak2wise_core.config.evaluation import EvaluationSettings
from weak2wise_core.config.execution import BudgetSettings, ExecutionSettings
from weak2wise_core.config.models import ModelSpec
from weak2wise_core.config.stages import DecontaminationSettings, QuestionsSettings
from weak2wise_core.config.training import Objective, TrainingSettings


class AnswerStyle(StrEnum):
    """Where a response states its final answer."""

    ANY = "any"
    """A box, a field "answer", "####", "The answer is": the first of them that is there."""
    HASHES = "hashes"
    """The last line, after `#### `, as GSM8K writes it."""
    STATED = "stated"
    """The last line, after `The answer is: `, as the released MATH data write it."""
    RELEASED = "released"
    """`hashes` where the last line has its key, else `stated`: the released data of either kind."""
    BOXED = "boxed"
    r"""The last `\\boxed{}`."""
    LAST_NUMBER = "last_number"
    """The last number of the response."""


class Normalisation(StrEnum):
    """When two final answers are the same."""

    GAIR = "gair"
    """The same text once it is normalised as in the released code: 3.0 is 3, 75% is 75, and 0.5
    differs from 0.50."""
    OURS = "ours"
    """The rules of this project: equal values agree, whatever their notation, where that is certain
    whichever of the two is taken for the truth."""


class StageOneSet(StrEnum):
    """Which of two agreeing responses are trained on in stage I."""

    WEAK = "weak"
    ICL = "icl"
    HYBRID = "hybrid"
    """Both, two rows a question, the weak model's first."""


class TraceSelection(StrEnum):
    """Which traces of the weak reasoner are trained on."""

    ALL = "all"
    """W2SR: every trace, right or wrong."""
    CORRECT = "correct"
    """W2SR-P."""
    INCORRECT = "incorrect"
    """W2SR-N."""


class AnswerSettings(Settings):
    """How final answers are read and compared."""

    style: AnswerStyle = Field(
        AnswerStyle.ANY, description="any, hashes, stated, released, boxed or last_number (ours)"
    )
    normalise: Normalisation = Field(
        Normalisation.GAIR, description="gair: as in the released code (W2S); ours: equal values"
    )


class DemonstrationSettings(Settings):
    """What the strong model is shown before it answers in stage I."""

    count: PositiveInt = Field(4, description="solved questions in the prompt (W2S, released code)")
    seed: int = Field(0, ge=0, description="decides which ones (ours)")


class AgreementSettings(Settings):
    """Stage I: which questions are trained on."""

    train_on: StageOneSet = Field(
        StageOneSet.HYBRID, description="weak, icl or hybrid (W2S, section 3.1)"
    )
    require_answer: bool = Field(
        True,
        description="drop a question for which neither model states an answer (W2S, released "
        "code; its released data keep some of them)",
    )
    rounds: PositiveInt = Field(
        1, description="trainings of stage I; from the second on M_plus answers (W2S, section 3.1)"
    )


class ContrastSettings(Settings):
    """Stage II: which responses are preferred to which."""

    samples: PositiveInt = Field(10, description="answers of M_plus to one question (W2S)")
    temperature: float = Field(1.0, gt=0, le=2, description="sampling temperature (W2S)")
    min_confidence: float = Field(
        0.6, ge=0, le=1, description="share of the most frequent answer, at least (W2S)"
    )
    min_confidence_against_weak: float = Field(
        0.8, ge=0, le=1, description="the same, where the weak model answers otherwise (W2S)"
    )
    pairs_per_question: int = Field(
        1, ge=1, le=10, description="at most; 3 for MATH and OlympicArena (W2S)"
    )
    require_answer: bool = Field(
        True, description="skip a question whose most frequent answer is none (W2S)"
    )
    seed: int = Field(0, ge=0, description="decides which samples are taken (ours)")

    @property
    def exact_min_confidence(self) -> Fraction:
        """`min_confidence` as it was written: 0.6 is 3/5, not its binary neighbour."""
        return Fraction(str(self.min_confidence))

    @property
    def exact_min_confidence_against_weak(self) -> Fraction:
        """`min_confidence_against_weak` as it was written."""
        return Fraction(str(self.min_confidence_against_weak))


class LoopSettings(Settings):
    """When a trace is degenerate: it repeats itself, and would teach the student to (ours)."""

    drop: bool = Field(True, description="false: train on loops too (ours)")
    copies: int = Field(
        5, ge=2, description="the same words so often in a row, without a gap, are a loop (ours)"
    )
    min_tokens: PositiveInt = Field(
        60, description="a loop is at least so long, in words and signs (ours)"
    )


class RelatedPrompts(Settings):
    """Files whose text replaces the wording of a template; the contract stays."""

    solve: Path | None = Field(None, description="a question alone")
    demonstrate: Path | None = Field(None, description="a question after solved ones (W2S)")
    demonstration: Path | None = Field(None, description="one solved question (W2S)")


class WeakToStrongModels(Settings):
    """Who teaches whom in weak-to-strong reasoning."""

    weak: ModelSpec = Field(description="answers the questions; its answers supervise (W2S)")
    strong: ModelSpec = Field(description="learns, and becomes M_plus and M_pro (W2S)")

    def specs(self) -> dict[str, ModelSpec]:
        """Every model by the name under which it is counted."""
        return {"weak": self.weak, "strong": self.strong}


class AgreedTrainingSettings(TrainingSettings):
    """Stage I: how the strong model is fine-tuned on what both models agree on."""

    thinking: bool = Field(
        False, description="false: replies are plain text, as published (W2S); true: as in a build"
    )


class PreferenceSettings(TrainingSettings):
    """Stage II: how M_plus learns what to prefer."""

    objective: Objective = Field(Objective.DPO, description="dpo or orpo (W2S, section 3.2)")
    epochs: float = Field(1.0, gt=0, description="passes over the pairs (ours)")
    learning_rate: float = Field(1e-6, gt=0, description="peak learning rate (ours)")
    thinking: bool = Field(
        False, description="false: replies are plain text, as published (W2S); true: as in a build"
    )

    @model_validator(mode="after")
    def _reads_pairs(self) -> Self:
        if not self.objective.reads_pairs:
            raise ValueError("stage II trains on pairs: set objective to dpo or orpo")
        return self


class WeakToStrongRecipe(Settings):
    """A run of weak-to-strong reasoning; no ground truth is used for training."""

    trained: ClassVar[str] = "strong"
    """The role that is fine-tuned."""

    dataset: Name = Field(description="name of what is built")
    questions: QuestionsSettings
    models: WeakToStrongModels
    decontaminate: DecontaminationSettings = DecontaminationSettings()
    answers: AnswerSettings = AnswerSettings()
    demonstrations: DemonstrationSettings = DemonstrationSettings()
    agreement: AgreementSettings = AgreementSettings()
    contrast: ContrastSettings = ContrastSettings()
    prompts: RelatedPrompts = RelatedPrompts()
    budget: BudgetSettings = BudgetSettings()
    execution: ExecutionSettings = ExecutionSettings()
    training: AgreedTrainingSettings = AgreedTrainingSettings()
    preference: PreferenceSettings = PreferenceSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    seeds: PositiveInt = Field(
        1, description="runs of both stages, with the seeds training.seed, + 1, ... (ours)"
    )


class W2SRModels(Settings):
    """Who teaches whom in W2SR."""

    teacher: ModelSpec = Field(
        description="the weaker reasoner, whose traces are trained on (W2SR)"
    )
    student: ModelSpec = Field(description="the stronger model that learns (W2SR)")
    reinforced: ModelSpec | None = Field(
        None, description="the student after reinforcement learning, for RGR (W2SR)"
    )

    def specs(self) -> dict[str, ModelSpec]:
        """Every model by the name under which it is counted."""
        named = {"teacher": self.teacher, "student": self.student}
        return named | ({"reinforced": self.reinforced} if self.reinforced else {})


class TraceSelectionSettings(Settings):
    """Which traces of the teacher are kept."""

    traces: TraceSelection = Field(
        TraceSelection.ALL, description="all, correct (W2SR-P) or incorrect (W2SR-N)"
    )
    samples: int = Field(1, ge=1, le=64, description="traces of the teacher for one question")
    keep_cut: bool = Field(
        False, description="also train on traces that the teacher's token limit cut (ours)"
    )
    loops: LoopSettings = LoopSettings()


class RecoverySettings(Settings):
    """The reasoning gap recovered, RGR."""

    reinforced_results: Path | None = Field(
        None,
        description="results of the student after reinforcement learning, if not asked here: a "
        "folder of `evaluate`, or a table of rows {id, correct}",
    )
    plain_suffix: str = Field(
        "", description="after a question, without zero-shot chain of thought (ours)"
    )
    chain_of_thought_suffix: str | None = Field(
        None, description="after a question, with it; the project's own sentence where absent"
    )
    resamples: PositiveInt = Field(10_000, description="bootstrap over the items (ours)")


class W2SRTrainingSettings(TrainingSettings):
    """How the student is fine-tuned: all weights, in the authors' settings."""

    epochs: float = Field(5.0, gt=0, description="passes over the traces, 5 to 10 (W2SR)")
    warmup: float = Field(0.1, ge=0, lt=1, description="share of steps to warm up (W2SR)")
    global_batch_size: PositiveInt = Field(128, description="rows in one optimiser step (W2SR)")
    max_length: PositiveInt = Field(
        4096, description="context in tokens; longer traces are left out and counted (W2SR)"
    )


class W2SRRecipe(Settings):
    """A run of W2SR: a weaker reasoner teaches a stronger student."""

    trained: ClassVar[str] = "student"
    """The role that is fine-tuned."""

    dataset: Name = Field(description="name of what is built")
    questions: QuestionsSettings
    models: W2SRModels
    decontaminate: DecontaminationSettings = DecontaminationSettings()
    selection: TraceSelectionSettings = TraceSelectionSettings()
    recovery: RecoverySettings = RecoverySettings()
    prompts: RelatedPrompts = RelatedPrompts()
    budget: BudgetSettings = BudgetSettings()
    execution: ExecutionSettings = ExecutionSettings()
    training: W2SRTrainingSettings = W2SRTrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    seeds: PositiveInt = Field(
        1, description="trainings of the student, with the seeds training.seed, + 1, ... (ours)"
    )
