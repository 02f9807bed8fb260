"""Ablations: what training on other traces of the same pool gives (Tables 3 to 6)."""

from enum import StrEnum

from pydantic import Field

from weak2wise_core.config.base import PositiveInt, Settings


class Arm(StrEnum):
    """Which trace of each question is trained on."""

    HIGHEST = "highest"
    RANDOM = "random"
    LOWEST = "lowest"
    SHORTEST = "shortest"
    UNTRUNCATED = "untruncated"


class AblationSettings(Settings):
    """Which arms are trained, and how often."""

    arms: tuple[Arm, ...] = Field(
        (Arm.HIGHEST, Arm.RANDOM, Arm.LOWEST, Arm.SHORTEST, Arm.UNTRUNCATED),
        description="Table 3, the baseline it lacks (shortest), and Table 4 (untruncated)",
    )
    seeds: PositiveInt = Field(5, description="trainings of each arm (ours)")
    length_balanced: bool = Field(
        False, description="also from the part of the pool in which length says nothing (ours)"
    )
    resamples: PositiveInt = Field(10_000, description="bootstrap over seeds and questions (ours)")
