"""Requests and replies of the `openai` backend, against a server that fails on purpose."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from benchmarks.loopback import LoopbackServer
from benchmarks.loopback_replies import Fault, Reply
from tests.core.llm.asking import (
    CANARY,
    FOREIGN_FAULTS,
    PASSING_FAULTS,
    ask,
    first_then,
    opened,
    patience_s,
    spec_of,
)
from weak2wise_core.errors import (
    FatalModelError,
    ModelError,
    RequestRefusedError,
    TransientModelError,
)
from weak2wise_core.llm.retrying import Backoff
from weak2wise_core.records import ChatReply, FinishReason, Usage


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
        async with opened(server.base_url, stream=stream, timeout_s=patience_s(fault)) as model:
            assert (await ask(model)).content == "yes"
    assert server.stats()["faults"] == {fault.value: 1}
    assert len(server.requests) == 2
    assert server.requests[0].body == server.requests[1].body


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", sorted(set(PASSING_FAULTS) - FOREIGN_FAULTS))
async def test_a_fault_that_stays_ends_in_a_named_error(fault: Fault, stream: bool) -> None:
    """After the last try the error names model, address, tries and cause."""
    with LoopbackServer(lambda _: Reply(fault=fault, content="no" * 50)) as server:
        async with opened(
            server.base_url, stream=stream, timeout_s=patience_s(fault), retries=2
        ) as model:
            with pytest.raises(TransientModelError) as caught:
                await ask(model)
    message = str(caught.value)
    assert f"m at {server.base_url} gave no reply in 3 tries" in message
    assert re.search(r"the last failure: \S+", message)
    assert "\n" not in message
    assert len(server.requests) == 3


@pytest.mark.parametrize("fault", sorted(FOREIGN_FAULTS))
async def test_a_server_of_another_kind_is_given_up_soon(fault: Fault) -> None:
    """Whole answers that are no completions, before any completion: a wrong address, not a fault.

    Three tries decide, whatever `retries` is, and the message shows what came.
    """
    shown = {"wrong_content_type": "content type text/html", "foreign_json": "'healthy'"}
    with LoopbackServer(lambda _: Reply(fault=fault)) as server:
        async with opened(server.base_url, retries=50) as model:
            with pytest.raises(FatalModelError, match="no OpenAI-compatible server") as caught:
                await ask(model)
    assert server.base_url in str(caught.value)
    assert shown[fault] in str(caught.value)
    assert len(server.requests) == 3


@pytest.mark.parametrize("fault", sorted(FOREIGN_FAULTS))
async def test_a_server_that_gave_replies_before_is_waited_for(fault: Fault) -> None:
    """A page of maintenance passes like a status 503: all retries are used, and it is no fatality.

    Then the question is lost, not the build.
    """
    replies = iter([Reply()])
    with LoopbackServer(lambda _: next(replies, Reply(fault=fault))) as server:
        async with opened(server.base_url, retries=4) as model:
            await ask(model)
            with pytest.raises(TransientModelError, match="5 tries"):
                await ask(model, "again")
    assert len(server.requests) == 6


async def test_waits_are_those_of_the_specification() -> None:
    """`backoff_s` is the unit of all waits, so that a recipe can be patient or quick."""
    assert Backoff.of(spec_of("http://a/v1")) == Backoff()
    quick = Backoff.of(spec_of("http://a/v1", backoff_s=0.01))
    assert (quick.first_s, quick.cap_s, quick.cool_down_s) == pytest.approx((0.01, 0.6, 0.1))


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


@pytest.mark.parametrize("fault", [Fault.MISSING_FIELDS, Fault.NULL_FIELDS])
async def test_missing_fields_have_neutral_values(fault: Fault) -> None:
    """Without usage, model id and finish reason, or with nulls there, a reply has its text."""
    with LoopbackServer(lambda _: Reply(fault=fault)) as server:
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
    assert (0.15 if form == "seconds" else 0.2) <= waited < 60


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


async def test_a_request_that_is_no_json_is_refused(server: LoopbackServer) -> None:
    """Half a surrogate pair in a prompt concerns this prompt only."""
    async with opened(server.base_url) as model:
        with pytest.raises(RequestRefusedError, match="JSON"):
            await ask(model, "\ud800")
        assert (await ask(model, "fine")).content == "fine"
