"""The recipe: everything that decides what a build does, as frozen pydantic settings.

Unknown keys are errors, so a typing error cannot change a build silently. Each default names its
source: the paper's section, or "ours" where the paper is silent.
"""

from weak2wise_core.config.ablation import AblationSettings, Arm
from weak2wise_core.config.base import Settings
from weak2wise_core.config.evaluation import BenchmarkKind, BenchmarkSettings, EvaluationSettings
from weak2wise_core.config.execution import (
    BudgetSettings,
    ExecutionSettings,
    Runner,
    Speculation,
)
from weak2wise_core.config.models import (
    Backend,
    Batching,
    Models,
    ModelSpec,
    Prices,
    StrongModelSpec,
)
from weak2wise_core.config.recipe import Recipe
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
    Reading,
    SFTFormatSettings,
    StepMaskSettings,
    TruncationMethod,
    TruncationSettings,
    ZeroScoreAction,
    ZeroScoreSettings,
)
from weak2wise_core.config.training import LoRASettings, Loss, Precision, TrainingSettings

__all__ = [
    "AblationSettings",
    "Arm",
    "Backend",
    "Batching",
    "BenchmarkKind",
    "BenchmarkSettings",
    "BudgetSettings",
    "DecontaminationSettings",
    "EvaluationSettings",
    "ExecutionSettings",
    "FilterSettings",
    "GenerateSettings",
    "JudgeMethod",
    "JudgingSettings",
    "LoRASettings",
    "Loss",
    "ModelSpec",
    "Models",
    "Policy",
    "Precision",
    "Prices",
    "PromptFiles",
    "QuestionsSettings",
    "Reading",
    "Recipe",
    "Runner",
    "SFTFormatSettings",
    "SelectionSettings",
    "Selector",
    "Settings",
    "Speculation",
    "StepMaskSettings",
    "StrongModelSpec",
    "TrainingSettings",
    "TruncationMethod",
    "TruncationSettings",
    "ZeroScoreAction",
    "ZeroScoreSettings",
]
