"""Ablations: what training on other traces of the same pool gives (Tables 3 to 6)."""

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from weak2wise_core.config.base import PositiveInt, Settings
from weak2wise_core.config.models import ModelSpec
from weak2wise_core.config.selection import Selector


class Arm(StrEnum):
    """Which trace of each question is trained on."""

    HIGHEST = "highest"
    RANDOM = "random"
    LOWEST = "lowest"
    SHORTEST = "shortest"
    UNTRUNCATED = "untruncated"
    LOG_PROBABILITY = "log_probability"
    LOCAL_NATURALNESS = "local_naturalness"
    RANK_SURPRISAL = "rank_surprisal"
    SOLUTION_LIKELIHOOD = "solution_likelihood"
    BINARY_CUTTING = "binary_cutting"
    SOUND_SHORT = "sound_short"

    @property
    def selector(self) -> Selector:
        """Who chooses for the arm."""
        by_score = self in (Arm.HIGHEST, Arm.UNTRUNCATED)
        return Selector.STEP_MASK if by_score else Selector(self.value)

    @classmethod
    def of(cls, selector: Selector) -> "Arm":
        """The truncated arm for which a selector chooses."""
        return cls.HIGHEST if selector is Selector.STEP_MASK else cls(selector.value)


class AblationSettings(Settings):
    """Which arms are trained, how often, and how they are compared."""

    arms: tuple[Arm, ...] = Field(
        (Arm.HIGHEST, Arm.RANDOM, Arm.LOWEST, Arm.SHORTEST, Arm.UNTRUNCATED),
        min_length=1,
        description="Table 3, the baseline it lacks (shortest), and Table 4 (untruncated)",
    )
    seeds: PositiveInt = Field(
        5, description="trainings of each arm, with the seeds training.seed, + 1, ... (ours)"
    )
    scorer: ModelSpec | None = Field(
        None, description="another weak model that scores the pool (Tables 5 and 6)"
    )
    length_balanced: bool = Field(
        False, description="also from the part of the pool in which length says nothing (ours)"
    )
    length_balanced_arms: tuple[Arm, ...] = Field(
        (Arm.HIGHEST, Arm.RANDOM, Arm.LOWEST),
        min_length=1,
        description="arms of the length-balanced pool (ours)",
    )
    length_tolerance: float = Field(
        0.1,
        ge=0,
        le=1,
        description="length-balanced: the longest trace of a question may be longer than the "
        "shortest by this share (ours)",
    )
    resamples: PositiveInt = Field(10_000, description="bootstrap over seeds and questions (ours)")
    side_by_side: PositiveInt = Field(1, description="trainings at once, each in its own process")
    per_process: PositiveInt = Field(
        4, description="trainings that share a process one after another, and its start"
    )
    keep_models: bool = Field(
        False, description="keep the weights of the arms after they are evaluated"
    )

    @model_validator(mode="after")
    def _arms_differ(self) -> Self:
        for name in ("arms", "length_balanced_arms"):
            arms: tuple[Arm, ...] = getattr(self, name)
            if len(set(arms)) < len(arms):
                raise ValueError(f"{name} names an arm twice: {', '.join(arms)}")
        return self
