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
from weak2wise_core.config.models import Backend, Models, ModelSpec, Prices, StrongModelSpec
from weak2wise_core.config.recipe import Recipe
from weak2wise_core.config.related import (
    AgreementSettings,
    AnswerSettings,
    AnswerStyle,
    ContrastSettings,
    DemonstrationSettings,
    LoopSettings,
    Normalisation,
    RecoverySettings,
    RelatedPrompts,
    SelectionSettings,
    StageOneSet,
    TraceSelection,
    W2SRModels,
    W2SRRecipe,
    W2SRTrainingSettings,
    WeakToStrongModels,
    WeakToStrongRecipe,
)
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
    "AgreementSettings",
    "AnswerSettings",
    "AnswerStyle",
    "Arm",
    "Backend",
    "BenchmarkKind",
    "BenchmarkSettings",
    "BudgetSettings",
    "ContrastSettings",
    "DecontaminationSettings",
    "DemonstrationSettings",
    "EvaluationSettings",
    "ExecutionSettings",
    "FilterSettings",
    "GenerateSettings",
    "JudgeMethod",
    "JudgingSettings",
    "LoRASettings",
    "LoopSettings",
    "Loss",
    "ModelSpec",
    "Models",
    "Normalisation",
    "Policy",
    "Precision",
    "Prices",
    "PromptFiles",
    "QuestionsSettings",
    "Reading",
    "Recipe",
    "RecoverySettings",
    "RelatedPrompts",
    "Runner",
    "SFTFormatSettings",
    "SelectionSettings",
    "Settings",
    "Speculation",
    "StageOneSet",
    "StepMaskSettings",
    "StrongModelSpec",
    "TraceSelection",
    "TrainingSettings",
    "TruncationMethod",
    "TruncationSettings",
    "W2SRModels",
    "W2SRRecipe",
    "W2SRTrainingSettings",
    "WeakToStrongModels",
    "WeakToStrongRecipe",
    "ZeroScoreAction",
    "ZeroScoreSettings",
]
