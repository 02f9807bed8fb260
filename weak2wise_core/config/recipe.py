"""A whole recipe."""

from typing import Self

from pydantic import Field, model_validator

from weak2wise_core.config.ablation import AblationSettings
from weak2wise_core.config.base import Name, Settings
from weak2wise_core.config.evaluation import EvaluationSettings
from weak2wise_core.config.execution import BudgetSettings, ExecutionSettings
from weak2wise_core.config.models import Models
from weak2wise_core.config.stages import (
    DecontaminationSettings,
    FilterSettings,
    GenerateSettings,
    JudgeMethod,
    JudgingSettings,
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
