"""Who chooses the trace of each question: Step-Mask, or another selector on the same pool."""

from enum import StrEnum

from pydantic import Field

from weak2wise_core.config.base import PositiveInt, Settings
from weak2wise_core.config.models import ModelSpec


class Selector(StrEnum):
    """What is preferred among the scored candidates of a question; see `selectors.choosing`."""

    STEP_MASK = "step_mask"
    RANDOM = "random"
    LOWEST = "lowest"
    SHORTEST = "shortest"
    LOG_PROBABILITY = "log_probability"
    LOCAL_NATURALNESS = "local_naturalness"
    RANK_SURPRISAL = "rank_surprisal"
    SOLUTION_LIKELIHOOD = "solution_likelihood"
    BINARY_CUTTING = "binary_cutting"
    SOUND_SHORT = "sound_short"

    @property
    def reads_model(self) -> bool:
        """Whether it needs what the weak model thinks of every token of a trace."""
        return self in _READ

    @property
    def lower_is_better(self) -> bool:
        """Whether it prefers the smaller value of what it reads there."""
        return self in (Selector.RANK_SURPRISAL, Selector.BINARY_CUTTING)


_READ = {
    Selector.LOG_PROBABILITY,
    Selector.LOCAL_NATURALNESS,
    Selector.RANK_SURPRISAL,
    Selector.SOLUTION_LIKELIHOOD,
    Selector.BINARY_CUTTING,
}


class SelectionSettings(Settings):
    """Which trace of a question becomes its golden reasoning (3.5)."""

    by: Selector = Field(
        Selector.STEP_MASK,
        description="step_mask is the paper's; the others choose from the same scored candidates "
        "and, but for step_mask, need step_mask.policy: exhaustive",
    )
    seed: int = Field(0, description="random: which of the candidates")
    window: PositiveInt = Field(
        4, description="local_naturalness: sentences before a sentence that the model sees (ours)"
    )
    rank_cap: int = Field(
        100, ge=2, description="rank_surprisal: a rank beyond it counts as it (its authors' code)"
    )
    least_weight: float = Field(
        0.01,
        ge=0,
        description="solution_likelihood: weight of the least likely token of the answer (ours)",
    )
    model: ModelSpec | None = Field(
        None,
        description="the weak model as a local one, for selectors that read its probabilities "
        "where models.weak is a server, which does not tell them",
    )
