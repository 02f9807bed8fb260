"""A whole recipe."""

from typing import Self

from pydantic import Field, model_validator

from weak2wise_core.config.ablation import AblationSettings
from weak2wise_core.config.base import Name, Settings
from weak2wise_core.config.evaluation import EvaluationSettings
from weak2wise_core.config.execution import BudgetSettings, ExecutionSettings
from weak2wise_core.config.models import Backend, Models, ModelSpec
from weak2wise_core.config.selection import SelectionSettings, Selector
from weak2wise_core.config.stages import (
    DecontaminationSettings,
    FilterSettings,
    GenerateSettings,
    JudgeMethod,
    JudgingSettings,
    Policy,
    PromptFiles,
    QuestionsSettings,
    SFTFormatSettings,
    StepMaskSettings,
    TruncationMethod,
    TruncationSettings,
    ZeroScoreAction,
    ZeroScoreSettings,
)
from weak2wise_core.config.training import TrainingSettings


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
    selection: SelectionSettings = SelectionSettings()
    truncation: TruncationSettings = TruncationSettings()
    zero_score: ZeroScoreSettings = ZeroScoreSettings()
    sft: SFTFormatSettings = SFTFormatSettings()
    prompts: PromptFiles = PromptFiles()
    budget: BudgetSettings = BudgetSettings()
    execution: ExecutionSettings = ExecutionSettings()
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    ablation: AblationSettings = AblationSettings()

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

    @property
    def reader(self) -> ModelSpec:
        """The model whose probabilities selectors read: the weak one, or its local copy."""
        return self.selection.model or self.models.weak

    @model_validator(mode="after")
    def _selector_can_choose(self) -> Self:
        by = self.selection.by
        if by is not Selector.STEP_MASK and self.step_mask.policy is not Policy.EXHAUSTIVE:
            raise ValueError(
                f"selection.by {by.value} chooses among candidates whose every mask level was "
                "asked, and a race leaves levels out; set step_mask.policy: exhaustive"
            )
        if by.reads_model and not self.tells_probabilities:
            raise ValueError(without_probabilities(by))
        return self

    @property
    def tells_probabilities(self) -> bool:
        """Whether a model is at hand that says how probable it finds the tokens of a trace."""
        return self.reader.backend is not Backend.OPENAI


def without_probabilities(selector: Selector) -> str:
    """Why a selector cannot be used with a model behind a server, and what can be done."""
    return (
        f"the selector {selector.value} reads how probable the weak model finds every token of a "
        "trace, which a model behind a server does not tell. Name the same model as a local one "
        "in selection.model, as in {backend: transformers, model: Qwen/Qwen2.5-7B-Instruct}, or "
        "choose a selector that asks no model: shortest, random, lowest, sound_short"
    )
