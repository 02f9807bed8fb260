"""The one seam to models: a protocol with one method that asks.

Retries live behind this seam and nowhere else; whoever calls `chat` gets a reply or a `ModelError`
whose class says whether asking again can help.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from weak2wise_core.config import ModelSpec
from weak2wise_core.records import ChatReply, Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """What decides a reply beside the messages. None leaves the choice to the model."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None

    @classmethod
    def of(cls, spec: ModelSpec) -> "Sampling":
        """The sampling that a recipe asks of a model."""
        return cls(
            temperature=spec.temperature,
            top_p=spec.top_p,
            max_tokens=spec.max_tokens,
            seed=spec.seed,
        )


class ChatModel(Protocol):
    """Any model that answers a conversation."""

    @property
    def identity(self) -> dict[str, Any]:
        """What decides replies beside the request; part of every cache key, never a secret."""
        ...

    async def chat(
        self, messages: Sequence[Message], *, sampling: Sampling, draw: int, affinity: str = ""
    ) -> ChatReply:
        """Ask once.

        Args:
            messages: The conversation, oldest first; the last one is the user's.
            sampling: Temperature, limits and seed.
            draw: Which of several samples of the same request this is, from 0. Two draws are two
                calls and two replies, also where everything else is the same.
            affinity: Calls with the same value share a long prompt prefix; a model with replicas
                sends them to the same one. It does not change the reply.

        Raises:
            TransientModelError: Retries are used up.
            RequestRefusedError: This request will never be answered.
            FatalModelError: No request to this model will be.
        """
        ...

    async def aclose(self) -> None:
        """Free connections, threads and memory. The model cannot be asked afterwards."""
        ...
