import asyncio
from collections.abc import Sequence

import pytest

from weak2wise_core.errors import ModelError, TransientModelError
from weak2wise_core.llm.protocol import ChatModel, Sampling
from weak2wise_core.llm.scripted import Script, ScriptedModel
from weak2wise_core.records import ChatReply, FinishReason, Message, Usage

ASKED = [Message(role="user", content="2 + 2?")]
REPLY = ChatReply(
    content="4", reasoning=None, finish_reason=FinishReason.LENGTH, usage=Usage(), model="real"
)


async def ask(model: ChatModel, *, draw: int = 0, affinity: str = "") -> ChatReply:
    """One call."""
    return await model.chat(ASKED, sampling=Sampling(temperature=0.6), draw=draw, affinity=affinity)


async def test_the_script_decides_every_reply() -> None:
    """Messages, sampling and draw reach the script; a record comes back as it is."""

    def script(messages: Sequence[Message], sampling: Sampling, draw: int) -> ChatReply | str:
        return REPLY if draw == 0 else f"{messages[0].content} {sampling.temperature} {draw}"

    model = ScriptedModel(script)
    assert await ask(model) is REPLY
    assert (await ask(model, draw=1)).content == "2 + 2? 0.6 1"


async def test_a_string_is_taken_apart_like_a_reply() -> None:
    """Thinking in tags becomes the reasoning; the name stands for the model id."""
    reply = await ask(ScriptedModel(lambda *_: "<think>2 + 2</think>4", name="fake"))
    assert (reply.reasoning, reply.content, reply.model) == ("2 + 2", "4", "fake")
    assert reply.finish_reason is FinishReason.STOP


async def test_an_error_of_the_script_is_raised() -> None:
    """A script fails by returning the error, on the calls it chooses."""

    def script(_: object, __: object, draw: int) -> str | ModelError:
        return TransientModelError("used up") if draw == 0 else "4"

    model = ScriptedModel(script)
    with pytest.raises(TransientModelError, match="used up"):
        await ask(model)
    assert (await ask(model, draw=1)).content == "4"


async def test_every_call_is_remembered() -> None:
    """Calls are kept in order, with draw and affinity, and counted while they wait."""
    model = ScriptedModel(lambda *_: "4", latency_s=0.01)
    await asyncio.gather(*(ask(model, draw=draw, affinity="q1") for draw in range(3)))
    assert [call.draw for call in model.calls] == [0, 1, 2]
    assert {call.affinity for call in model.calls} == {"q1"}
    assert model.calls[0].messages == tuple(ASKED)
    assert model.most_in_flight == 3


async def test_a_closed_model_is_not_asked() -> None:
    """A call after closing is a fault of the caller."""
    model = ScriptedModel(lambda *_: "4")
    await model.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await ask(model)


def test_two_scripts_are_told_apart_by_name() -> None:
    """The identity is plain data that names the script."""
    script: Script = lambda *_: "4"  # noqa: E731 - the annotation is what is tested
    assert ScriptedModel(script, name="a").identity != ScriptedModel(script, name="b").identity
