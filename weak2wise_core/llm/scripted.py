"""A model whose replies a function makes up: the fake for tests and dry runs."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from weak2wise_core.errors import ModelError
from weak2wise_core.llm.protocol import Sampling
from weak2wise_core.llm.replies import split_thinking
from weak2wise_core.records import ChatReply, FinishReason, Message, Usage

Script: TypeAlias = Callable[[Sequence[Message], Sampling, int], ChatReply | str | ModelError]
"""What to reply to (messages, sampling, draw). A string may hold thinking in <think> tags; an
error is raised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedCall:
    """One call as it arrived."""

    messages: tuple[Message, ...]
    sampling: Sampling
    draw: int
    affinity: str


class ScriptedModel:
    """A model that replies as its script says and remembers what it was asked.

    Args:
        script: Makes up the replies.
        name: Model id of replies that the script gives as a string, and part of the identity.
        latency_s: Seconds that every call takes.

    Example:
        >>> model = ScriptedModel(lambda messages, sampling, draw: "<think>2 + 2</think>4")
        >>> asyncio.run(model.chat([], sampling=Sampling(), draw=0)).content
        '4'
    """

    def __init__(self, script: Script, *, name: str = "scripted", latency_s: float = 0.0) -> None:
        self._script = script
        self._name = name
        self._latency_s = latency_s
        self._in_flight = 0
        self.calls: list[ScriptedCall] = []
        """Every call, in the order of arrival, answered or not."""
        self.most_in_flight = 0
        """The most calls that were ever waiting for a reply at once."""
        self.closed = False

    @property
    def identity(self) -> dict[str, Any]:
        """What decides replies beside the request: the name stands for the script."""
        return {"backend": "scripted", "model": self._name}

    async def chat(
        self, messages: Sequence[Message], *, sampling: Sampling, draw: int, affinity: str = ""
    ) -> ChatReply:
        """Ask once; see `weak2wise_core.llm.protocol.ChatModel`.

        Raises:
            RuntimeError: The model was closed before.
        """
        if self.closed:
            raise RuntimeError(f"{self._name} was asked after it had been closed")
        self.calls.append(
            ScriptedCall(messages=tuple(messages), sampling=sampling, draw=draw, affinity=affinity)
        )
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            await asyncio.sleep(self._latency_s)
        finally:
            self._in_flight -= 1
        return self._reply(self._script(messages, sampling, draw))

    async def aclose(self) -> None:
        """Refuse further calls."""
        self.closed = True

    def _reply(self, answer: ChatReply | str | ModelError) -> ChatReply:
        if isinstance(answer, ModelError):
            raise answer
        if isinstance(answer, ChatReply):
            return answer
        reasoning, content = split_thinking(answer)
        return ChatReply(
            content=content,
            reasoning=reasoning,
            finish_reason=FinishReason.STOP,
            usage=Usage(),
            model=self._name,
        )
