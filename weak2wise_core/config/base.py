"""What every part of a recipe has in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

PositiveInt = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class Settings(BaseModel):
    """Base of every part of a recipe: frozen, strict about unknown keys, and finite.

    JSON, in which settings travel to the engine and to the training process, has no infinity.
    Errors do not repeat what was given: somebody may have put a key there.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True
    )
