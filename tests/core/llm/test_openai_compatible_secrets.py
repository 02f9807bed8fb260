"""What the `openai` backend shows, and what it must not."""

import asyncio
import logging
import traceback
from collections.abc import Iterator

import pytest

from benchmarks.loopback import LoopbackServer
from benchmarks.loopback_replies import Reply
from tests.core.llm.asking import (
    CANARY,
    FAST,
    ask,
    opened,
    spec_of,
)
from weak2wise_core.errors import (
    FatalModelError,
    ModelError,
)
from weak2wise_core.llm.openai_compatible import OpenAIModel


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    """A server that repeats what it is asked."""
    with LoopbackServer(lambda body: Reply(content=body["messages"][-1]["content"])) as running:
        yield running


def echoing_scripts() -> dict[str, Reply]:
    """Replies of servers that repeat the key where it may be shown."""
    text = f"the key {CANARY} is wrong, and " + "x" * 250 + f" {CANARY}"
    body = f'{{"error": "{text}"}}'.encode()
    return {
        "refused key": Reply(status=401, error=text),
        "refused request": Reply(status=400, raw=body),
        "server error": Reply(status=500, raw=text.encode()),
        "error in a good reply": Reply(raw=body),
        "no JSON": Reply(raw=text.encode()),
        "wrong content type": Reply(raw=text.encode(), headers={"Content-Type": "text/html"}),
    }


@pytest.mark.parametrize("case", sorted(echoing_scripts()))
async def test_the_key_is_never_shown(case: str, caplog: pytest.LogCaptureFixture) -> None:
    """Not in messages, tracebacks, representations or logs, even where a server repeats it."""
    caplog.set_level(logging.DEBUG)
    for name in ("openai", "httpx2", "aiohttp", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)
    with LoopbackServer(lambda _: echoing_scripts()[case]) as server:
        async with opened(server.base_url, retries=1) as model:
            with pytest.raises(ModelError) as caught:
                await ask(model)
            shown = [repr(model), str(model), str(model.identity), repr(vars(model))]
    shown += traceback.format_exception(caught.value)
    shown += [str(caught.value), repr(caught.value), caplog.text]
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert "[key]" in str(caught.value)
    assert server.requests[0].headers["authorization"] == f"Bearer {CANARY}"
    assert not [text for text in shown if CANARY[:10] in text]


@pytest.mark.parametrize("key", ["sk-with\nnewline", "sk-ünicode-key"])
def test_a_key_that_no_header_can_carry_is_named_and_not_shown(key: str) -> None:
    """A key file with a second line is a clear error, not a failed request."""
    with pytest.raises(FatalModelError, match=r"\$TEST_KEY") as caught:
        OpenAIModel(spec_of("http://127.0.0.1:1/v1"), api_key=key)
    assert key not in str(caught.value)


async def test_blanks_around_a_key_are_not_part_of_it(server: LoopbackServer) -> None:
    """A key read from a file usually ends in a newline."""
    model = OpenAIModel(spec_of(server.base_url), api_key=f"{CANARY}\n", backoff=FAST)
    await ask(model)
    await model.aclose()
    assert server.requests[0].headers["authorization"] == f"Bearer {CANARY}"


async def test_a_server_that_wants_a_key_is_told_apart_from_one_that_refuses_it() -> None:
    """Without a key in the recipe the error says where to name one."""
    with LoopbackServer(lambda _: Reply(status=401)) as server:
        model = OpenAIModel(spec_of(server.base_url, api_key_env=None), api_key="", backoff=FAST)
        with pytest.raises(FatalModelError, match="api_key_env"):
            await ask(model)
        await model.aclose()


async def test_a_call_logs_nothing_at_info(
    server: LoopbackServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The log of a build does not drown in one line for each of 40,000 calls."""
    caplog.set_level(logging.INFO)
    async with opened(server.base_url) as model:
        await asyncio.gather(*(ask(model) for _ in range(3)))
    assert caplog.records == []


async def test_an_identity_holds_no_address_key_or_limit() -> None:
    """The same model behind another address has the same replies."""
    here = OpenAIModel(spec_of("http://a/v1", rpm=5, temperature=0.6), api_key=CANARY)
    there = OpenAIModel(spec_of("http://b/v1", retries=1, temperature=0.6), api_key="")
    assert here.identity == there.identity
    assert here.identity["model"] == "m"
    await here.aclose()
    await there.aclose()
