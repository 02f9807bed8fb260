"""The `openai` backend against a real server on the loopback interface that fails on purpose."""

import asyncio
import logging
import re
import socket
import time
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from benchmarks.loopback import Answer, LoopbackServer
from benchmarks.loopback_replies import LASTING_FAULTS, Fault, FaultPlan, Reply
from weak2wise_core.config import ModelSpec
from weak2wise_core.errors import (
    FatalModelError,
    ModelError,
    RequestRefusedError,
    TransientModelError,
)
from weak2wise_core.llm.openai_compatible import OpenAIModel
from weak2wise_core.llm.protocol import ChatModel, Sampling
from weak2wise_core.llm.retrying import Backoff
from weak2wise_core.records import ChatReply, FinishReason, Message, Usage

CANARY = "sk-canary-0123456789abcdef"
FAST = Backoff(first_s=0.002, cap_s=0.008, retry_after_cap_s=0.2, cool_down_s=0.1)
PASSING_FAULTS = sorted(set(Fault) - LASTING_FAULTS)


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


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    """A server that repeats what it is asked."""
    with LoopbackServer(lambda body: Reply(content=body["messages"][-1]["content"])) as running:
        yield running


async def test_a_request_holds_what_is_set_and_nothing_else(server: LoopbackServer) -> None:
    """Parameters that are not set are left to the server; the draw is never sent."""
    async with opened(server.base_url) as model:
        await ask(model, "hello", draw=7)
    [received] = server.requests
    messages = [{"role": "user", "content": "hello"}]
    assert received.body == {"model": "m", "messages": messages}
    assert received.headers["authorization"] == f"Bearer {CANARY}"
    assert received.headers["content-type"] == "application/json"


async def test_a_request_holds_all_that_is_set(server: LoopbackServer) -> None:
    """Sampling, extra fields and the wish for a stream with usage arrive as written."""
    extra = {"top_k": 20, "chat_template_kwargs": {"enable_thinking": True}}
    async with opened(server.base_url, stream=True, extra_body=extra) as model:
        await ask(model, draw=2, temperature=0.0, top_p=0.9, max_tokens=64, seed=40)
    body = server.requests[0].body
    del body["messages"]
    assert body == {
        "model": "m",
        "temperature": 0.0,
        "top_p": 0.9,
        "max_tokens": 64,
        "seed": 42,
        "stream": True,
        "stream_options": {"include_usage": True},
        **extra,
    }


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("where", ["reasoning_content", "reasoning", "tags"])
async def test_a_reply_is_taken_apart(stream: bool, where: str) -> None:
    """Thinking, content, tokens and model id arrive from every dialect, streamed or not."""
    usage = {
        "prompt_tokens": 30,
        "completion_tokens": 20,
        "completion_tokens_details": {"reasoning_tokens": 12},
        "prompt_tokens_details": {"cached_tokens": 16},
    }
    reply = Reply(content="Four \u2028\U0001f600", reasoning="2 + 2", usage=usage, model="m-0925")
    if where == "tags":
        content = f"<think>{reply.reasoning}</think>\n\n{reply.content}"
        sent = Reply(content=content, usage=usage, model="m-0925")
    else:
        sent = Reply(
            content=reply.content,
            reasoning=reply.reasoning,
            reasoning_field=where,
            usage=usage,
            model="m-0925",
        )
    with LoopbackServer(lambda _: sent) as server:
        async with opened(server.base_url, stream=stream) as model:
            assert await ask(model) == ChatReply(
                content="Four \u2028\U0001f600",
                reasoning="2 + 2",
                finish_reason=FinishReason.STOP,
                usage=Usage(
                    prompt_tokens=30, completion_tokens=20, reasoning_tokens=12, cached_tokens=16
                ),
                model="m-0925",
            )


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", PASSING_FAULTS)
async def test_a_passing_fault_costs_one_more_request(fault: Fault, stream: bool) -> None:
    """Whatever goes wrong once, the next try gives the whole reply."""
    script = first_then(Reply(fault=fault, content="no" * 50), Reply(content="yes"))
    with LoopbackServer(script) as server:
        async with opened(server.base_url, stream=stream, timeout_s=0.15) as model:
            assert (await ask(model)).content == "yes"
    assert server.stats()["faults"] == {fault.value: 1}
    assert len(server.requests) == 2
    assert server.requests[0].body == server.requests[1].body


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", PASSING_FAULTS)
async def test_a_fault_that_stays_ends_in_a_named_error(fault: Fault, stream: bool) -> None:
    """After the last try the error names model, address, tries and cause."""
    with LoopbackServer(lambda _: Reply(fault=fault, content="no" * 50)) as server:
        async with opened(server.base_url, stream=stream, timeout_s=0.05, retries=2) as model:
            with pytest.raises(TransientModelError) as caught:
                await ask(model)
    message = str(caught.value)
    assert f"m at {server.base_url} gave no reply in 3 tries" in message
    assert re.search(r"failed with \S+", message)
    assert "\n" not in message
    assert len(server.requests) == 3


@pytest.mark.parametrize("stream", [False, True])
async def test_a_fault_inside_a_reply_is_data(stream: bool) -> None:
    """Cut, filtered, empty and huge replies come back as they are, without another request."""

    def script(body: dict[str, Any]) -> Reply:
        fault = Fault(body["messages"][0]["content"])
        return Reply(content="abcd", reasoning="hm", fault=fault)

    with LoopbackServer(script) as server:
        async with opened(server.base_url, stream=stream) as model:
            cut = await ask(model, Fault.LENGTH)
            filtered = await ask(model, Fault.CONTENT_FILTER)
            empty = await ask(model, Fault.NULL_CONTENT)
            large = await ask(model, Fault.LARGE)
            other = await ask(model, Fault.OTHER_MODEL)
    assert (cut.content, cut.finish_reason) == ("ab", FinishReason.LENGTH)
    assert filtered.finish_reason is FinishReason.CONTENT_FILTER
    assert (empty.content, empty.reasoning) == ("", "hm")
    assert len(large.content) == 4 + (1 << 20)
    assert other.model == "m-0925"
    assert len(server.requests) == 5


async def test_missing_fields_have_neutral_values() -> None:
    """Without usage, model id and finish reason a reply still has its text."""
    with LoopbackServer(lambda _: Reply(fault=Fault.MISSING_FIELDS)) as server:
        async with opened(server.base_url) as model:
            reply = await ask(model)
    assert (reply.content, reply.model, reply.usage) == ("ok", "", Usage())
    assert reply.finish_reason is FinishReason.OTHER


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 501, 502, 503, 504, 529])
async def test_statuses_that_pass_are_retried(status: int) -> None:
    """A busy or broken server is asked again."""
    with LoopbackServer(first_then(Reply(status=status))) as server:
        async with opened(server.base_url) as model:
            assert (await ask(model)).content == "ok"
    assert server.stats()["statuses"] == {str(status): 1, "200": 1}


@pytest.mark.parametrize(
    ("status", "error", "named"),
    [
        (400, RequestRefusedError, "refused the request (HTTP 400: only streams (loopback))"),
        (413, RequestRefusedError, "HTTP 413"),
        (422, RequestRefusedError, "HTTP 422"),
        (401, FatalModelError, "the key in $TEST_KEY was refused"),
        (403, FatalModelError, "the key in $TEST_KEY was refused"),
        (402, FatalModelError, "no credit left"),
        (404, FatalModelError, "no such model or path"),
    ],
)
async def test_statuses_that_last_are_not_retried(
    status: int, error: type[ModelError], named: str
) -> None:
    """A refused request, key or path is told at once, in the server's words."""
    with LoopbackServer(lambda _: Reply(status=status, error="only streams")) as server:
        async with opened(server.base_url) as model:
            with pytest.raises(error, match=re.escape(named)):
                await ask(model)
    assert len(server.requests) == 1


async def test_a_server_that_wants_a_key_is_told_apart_from_one_that_refuses_it() -> None:
    """Without a key in the recipe the error says where to name one."""
    with LoopbackServer(lambda _: Reply(status=401)) as server:
        model = OpenAIModel(spec_of(server.base_url, api_key_env=None), api_key="", backoff=FAST)
        with pytest.raises(FatalModelError, match="api_key_env"):
            await ask(model)
        await model.aclose()


async def test_an_exhausted_quota_is_fatal() -> None:
    """Status 429 for want of credit stops a build instead of waiting for hours."""
    body = b'{"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}'
    with LoopbackServer(lambda _: Reply(status=429, raw=body)) as server:
        async with opened(server.base_url) as model:
            with pytest.raises(FatalModelError, match="no credit left"):
                await ask(model)
    assert len(server.requests) == 1


@pytest.mark.parametrize("form", ["seconds", "date", "beyond the cap"])
async def test_retry_after_is_honoured(form: str) -> None:
    """The next request comes no sooner than the server asked, up to the cap."""
    asked = {
        "seconds": "0.15",
        "date": format_datetime(datetime.now(UTC) + timedelta(seconds=3600), usegmt=True),
        "beyond the cap": "86400",
    }[form]
    first = Reply(status=429, headers={"Retry-After": asked})
    with LoopbackServer(first_then(first)) as server:
        async with opened(server.base_url) as model:
            await ask(model)
    waited = server.requests[1].at - server.requests[0].at
    assert (0.15 if form == "seconds" else 0.2) <= waited < 2


async def test_waits_grow_between_tries() -> None:
    """Every further wait is longer than the one before."""
    backoff = Backoff(first_s=0.04, cap_s=10)
    with LoopbackServer(lambda _: Reply(status=503)) as server:
        async with opened(server.base_url, retries=3, backoff=backoff) as model:
            with pytest.raises(TransientModelError):
                await ask(model)
    times = [received.at for received in server.requests]
    assert times[1] - times[0] >= 0.02
    assert times[2] - times[1] >= 0.04
    assert times[3] - times[2] >= 0.08


async def test_a_model_that_nobody_serves_stops_a_build_soon() -> None:
    """Nobody ever answered: fatal after a few tries, with every address, whatever `retries`."""
    urls = [f"http://127.0.0.1:{free_port()}/v1" for _ in range(2)]
    started = time.monotonic()
    async with opened(*urls, retries=50) as model:
        with pytest.raises(FatalModelError, match="no server answers at") as caught:
            await ask(model)
    assert all(url in str(caught.value) for url in urls)
    assert time.monotonic() - started < 2


async def test_a_server_that_goes_down_later_is_waited_for(server: LoopbackServer) -> None:
    """After the first contact a refused connection passes, and a restart mends it."""
    async with opened(server.base_url, retries=3) as model:
        await ask(model)
        server.stop()
        with pytest.raises(TransientModelError, match="4 tries"):
            await ask(model)
        server.start()
        assert (await ask(model, "back")).content == "back"


async def test_one_contact_is_enough_to_know_the_server() -> None:
    """A server that only ever failed with a status is there: its failures pass."""
    with LoopbackServer(lambda _: Reply(status=503)) as server:
        async with opened(server.base_url, retries=1) as model:
            with pytest.raises(TransientModelError):
                await ask(model)
            server.stop()
            with pytest.raises(TransientModelError):
                await ask(model)


async def test_calls_with_one_affinity_go_to_one_replica() -> None:
    """Each question has its server; all servers have questions; each call arrives once."""
    with LoopbackServer() as one, LoopbackServer() as two, LoopbackServer() as three:
        servers = (one, two, three)
        async with opened(*(server.base_url for server in servers)) as model:
            await asyncio.gather(
                *(ask(model, f"q{n}", draw=d, affinity=f"q{n}") for n in range(24) for d in (0, 1))
            )
    seen = [{r.body["messages"][0]["content"] for r in server.requests} for server in servers]
    assert sum(len(questions) for questions in seen) == 24
    assert all(seen)
    assert sum(len(server.requests) for server in servers) == 48


async def test_a_dead_replica_loses_its_share_and_gets_it_back() -> None:
    """No call fails, none is sent twice, and after the cool-down the old order returns."""
    backoff = Backoff(first_s=0.002, cap_s=0.008, cool_down_s=0.05)
    with LoopbackServer() as one, LoopbackServer() as two:
        async with opened(one.base_url, two.base_url, retries=2, backoff=backoff) as model:

            async def round_of_calls() -> tuple[int, int]:
                before = len(one.requests), len(two.requests)
                await asyncio.gather(*(ask(model, affinity=f"q{n}") for n in range(20)))
                return len(one.requests) - before[0], len(two.requests) - before[1]

            whole = await round_of_calls()
            two.stop()
            without = await round_of_calls()
            two.start()
            await asyncio.sleep(0.06)
            await round_of_calls()
            again = await round_of_calls()
    assert min(whole) > 0
    assert without == (20, 0)
    assert again == whole


async def test_a_replica_that_never_lived_does_not_stop_a_build(server: LoopbackServer) -> None:
    """One living address is enough, from the first call on and without a retry."""
    dead = f"http://127.0.0.1:{free_port()}/v1"
    async with opened(dead, server.base_url, retries=0) as model:
        replies = await asyncio.gather(*(ask(model, f"q{n}", affinity=f"q{n}") for n in range(8)))
    assert [reply.content for reply in replies] == [f"q{n}" for n in range(8)]
    assert len(server.requests) == 8


async def test_a_sick_replica_does_not_fail_a_call() -> None:
    """A try that failed at one address is repeated at another."""
    with LoopbackServer(lambda _: Reply(status=500)) as sick, LoopbackServer() as well:
        async with opened(sick.base_url, well.base_url, retries=1) as model:
            await asyncio.gather(*(ask(model, affinity=f"q{n}") for n in range(20)))
    assert len(well.requests) == 20
    assert 3 <= len(sick.requests) < 20


async def test_the_pool_is_not_smaller_than_the_calls_in_flight() -> None:
    """More calls than the package's default of a hundred connections wait at the server at once."""
    with LoopbackServer(lambda _: Reply(delay_s=0.3)) as server:
        async with opened(server.base_url) as model:
            await asyncio.gather(*(ask(model) for _ in range(120)))
    assert server.stats()["most_in_flight"] == 120


async def test_a_models_own_limit_on_calls_in_flight_holds() -> None:
    """The server never sees more calls at once than the recipe allows."""
    with LoopbackServer(lambda _: Reply(delay_s=0.01)) as server:
        async with opened(server.base_url, in_flight=3) as model:
            await asyncio.gather(*(ask(model) for _ in range(12)))
    assert server.stats()["most_in_flight"] == 3


async def test_a_models_limits_on_calls_and_tokens_hold(server: LoopbackServer) -> None:
    """The call after the last one of this minute is still waiting when the others are done."""
    limits: list[dict[str, Any]] = [{"rpm": 3}, {"tpm": 60}]
    for limit in limits:
        before = len(server.requests)
        async with opened(server.base_url, **limit) as model:
            calls = [asyncio.create_task(ask(model, max_tokens=1)) for _ in range(4)]
            done, waiting = await asyncio.wait(calls, timeout=0.4)
            for call in waiting:
                call.cancel()
        assert 0 < len(done) < 4
        assert len(server.requests) - before == len(done)


@pytest.mark.slow
async def test_hundreds_of_calls_survive_every_fault_at_once() -> None:
    """With faults in half of all requests each call gets the reply to its own question."""
    faults = FaultPlan(rates=dict.fromkeys(PASSING_FAULTS, 0.5 / len(PASSING_FAULTS)), seed=11)
    with LoopbackServer(lambda body: body["messages"][0]["content"][::-1], faults=faults) as server:
        async with opened(server.base_url, retries=20, timeout_s=0.5) as model:
            questions = [f"question {number}" for number in range(200)]
            replies = await asyncio.gather(*(ask(model, question) for question in questions))
    assert [reply.content[::-1] for reply in replies] == questions
    stats = server.stats()
    assert stats["requests"] - sum(stats["faults"].values()) == 200
    assert set(stats["faults"]) == {fault.value for fault in PASSING_FAULTS}


@pytest.mark.parametrize("stream", [False, True])
async def test_the_content_type_says_how_a_reply_is_read(stream: bool) -> None:
    """A server that streams unasked, or will not stream when asked, is understood."""
    whole = b'{"choices": [{"message": {"content": "4"}, "finish_reason": "stop"}]}'
    piece = b'data: {"choices": [{"delta": {"content": "4"}, "finish_reason": "stop"}]}\n\n'
    unasked = Reply(
        raw=whole if stream else piece,
        headers={"Content-Type": "application/json" if stream else "text/event-stream"},
    )
    with LoopbackServer(lambda _: unasked) as server:
        async with opened(server.base_url, stream=stream) as model:
            assert (await ask(model)).content == "4"


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


def test_an_address_that_is_none_is_named() -> None:
    """An address that no request can go to fails when the model is opened."""
    with pytest.raises(FatalModelError, match="base_urls"):
        OpenAIModel(spec_of("http://[::bad/v1"), api_key=CANARY)


async def test_a_call_logs_nothing_at_info(
    server: LoopbackServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The log of a build does not drown in one line for each of 40,000 calls."""
    caplog.set_level(logging.INFO)
    async with opened(server.base_url) as model:
        await asyncio.gather(*(ask(model) for _ in range(3)))
    assert caplog.records == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("when", ["waiting for bytes", "in the middle", "between tries"])
async def test_a_cancelled_call_leaves_nothing_behind(when: str, stream: bool) -> None:
    """No task survives, the server loses the connection, and the model can be asked again."""
    scripts = {
        "waiting for bytes": Reply(fault=Fault.HANG),
        "in the middle": Reply(pause_s=30),
        "between tries": Reply(status=503),
    }
    slow = Backoff(first_s=60, cap_s=60)
    with LoopbackServer(first_then(scripts[when])) as server:
        async with opened(server.base_url, stream=stream, backoff=slow) as model:
            call = asyncio.create_task(ask(model))
            await eventually(lambda: len(server.requests) == 1)
            await asyncio.sleep(0.02)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert (await ask(model)).content == "ok"
            await eventually(lambda: server.stats()["in_flight"] == 0)


async def test_a_request_that_is_no_json_is_refused(server: LoopbackServer) -> None:
    """Half a surrogate pair in a prompt concerns this prompt only."""
    async with opened(server.base_url) as model:
        with pytest.raises(RequestRefusedError, match="JSON"):
            await ask(model, "\ud800")
        assert (await ask(model, "fine")).content == "fine"


async def test_connections_are_used_again(server: LoopbackServer) -> None:
    """One client serves the whole life of a model: calls in a row share a connection."""
    ports: Counter[str] = Counter()
    async with opened(server.base_url) as model:
        for _ in range(5):
            await ask(model)
            (replica,) = model._replicas
            transport: Any = replica.client._client._transport
            [pool] = transport.client.connector._conns.values()
            ports[str(pool[0][0].transport.get_extra_info("sockname"))] += 1
    assert list(ports.values()) == [5]


async def test_an_identity_holds_no_address_key_or_limit() -> None:
    """The same model behind another address has the same replies."""
    here = OpenAIModel(spec_of("http://a/v1", rpm=5, temperature=0.6), api_key=CANARY)
    there = OpenAIModel(spec_of("http://b/v1", retries=1, temperature=0.6), api_key="")
    assert here.identity == there.identity
    assert here.identity["model"] == "m"
    await here.aclose()
    await there.aclose()
