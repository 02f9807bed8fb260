"""Asking a model whose server stands on the loopback interface."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.loopback import Answer
from benchmarks.loopback_replies import LASTING_FAULTS, Fault, Reply
from weak2wise_core.config import ModelSpec
from weak2wise_core.llm.openai_compatible import OpenAIModel
from weak2wise_core.llm.protocol import ChatModel, Sampling
from weak2wise_core.llm.retrying import Backoff
from weak2wise_core.records import ChatReply, Message

CANARY = "sk-canary-0123456789abcdef"
FAST = Backoff(first_s=0.002, cap_s=0.008, retry_after_cap_s=0.2, cool_down_s=0.1)
PASSING_FAULTS = sorted(set(Fault) - LASTING_FAULTS)
FOREIGN_FAULTS = frozenset({Fault.WRONG_CONTENT_TYPE, Fault.FOREIGN_JSON})


def spec_of(*urls: str, **settings: Any) -> ModelSpec:
    """A model at these addresses."""
    content = {"backend": "openai", "model": "m", "base_urls": urls, "api_key_env": "TEST_KEY"}
    return ModelSpec.model_validate(content | settings)


@asynccontextmanager
async def opened(
    *urls: str, backoff: Backoff = FAST, **settings: Any
) -> AsyncIterator[OpenAIModel]:
    """A model that is closed again."""
    model = OpenAIModel(spec_of(*urls, **settings), api_key=CANARY, backoff=backoff)
    try:
        yield model
    finally:
        await model.aclose()


async def ask(
    model: ChatModel, text: str = "2 + 2?", *, draw: int = 0, affinity: str = "", **sampling: Any
) -> ChatReply:
    """One call with one message."""
    messages = [Message(role="user", content=text)]
    return await model.chat(messages, sampling=Sampling(**sampling), draw=draw, affinity=affinity)


def first_then(first: Reply, then: Reply | None = None) -> Answer:
    """A script whose first reply differs from all later ones."""
    replies = iter([first])
    return lambda _: next(replies, then or Reply())


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait until the server's thread has come to a state, for two seconds at most."""
    for _ in range(200):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the server never came to the expected state")


def patience_s(fault: Fault) -> float:
    """A timeout that is short only where the test waits for it."""
    return 0.2 if fault is Fault.HANG else 30.0


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
