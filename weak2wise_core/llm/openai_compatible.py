"""Models behind an OpenAI-compatible server: one client per address, retries here and only here."""

import asyncio
import logging
import re
import ssl
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any, cast

import aiohttp
import httpx2
import openai
import orjson
from pydantic import SecretStr

from weak2wise_core.config import ModelSpec
from weak2wise_core.errors import FatalModelError, RequestRefusedError
from weak2wise_core.llm.limits import CallLimits
from weak2wise_core.llm.protocol import Sampling
from weak2wise_core.llm.replicas import Replica, Replicas
from weak2wise_core.llm.replies import (
    ForeignReplyError,
    ReplyFormatError,
    decode_json,
    error_message,
    parse_completion,
    shortened,
)
from weak2wise_core.llm.retrying import (
    Backoff,
    Failure,
    FailureKind,
    failure_of_connection,
    failure_of_status,
    final_error,
)
from weak2wise_core.llm.streaming import CompletionAssembler, EventReader
from weak2wise_core.payments import before_next_try, lose_try
from weak2wise_core.records import ChatReply, Message

_PATH = "/chat/completions"
_CONNECT_S = 10.0
_KEEP_ALIVE_S = 4.0  # uvicorn, and so vLLM, drops idle connections after 5
_UNLIMITED = 0  # for aiohttp; None would mean its default of 100
_NO_KEY = "none"  # the client insists on one, servers without keys ignore it

_KEY_START = 8  # so many characters of a key are enough to take the word for the key
_REAL_KEY = 16  # servers without keys are given words like EMPTY, which a reply may hold

_CONNECTION_ERRORS = (
    openai.APIConnectionError,
    httpx2.HTTPError,
    aiohttp.ClientError,
    OSError,  # TimeoutError among them
)


class OpenAIModel:
    """A model behind one or more addresses of OpenAI-compatible servers.

    Its connections belong to the event loop of the first call; ask and close it there.

    Args:
        spec: The model; its limits, retries and addresses are honoured here.
        api_key: The key itself; "" where the server wants none. It is sent to the server and
            appears nowhere else.
        backoff: Waits between tries; those of the specification where absent.

    Raises:
        FatalModelError: An address or the key cannot be used in a request at all.
    """

    def __init__(self, spec: ModelSpec, *, api_key: str, backoff: Backoff | None = None) -> None:
        self._spec = spec
        key = _sendable_key(api_key.strip(), spec=spec)
        self._key = SecretStr(key)
        self._backoff = backoff or Backoff.of(spec)
        self._limits = CallLimits(in_flight=spec.in_flight, rpm=spec.rpm, tpm=spec.tpm)
        self._replicas = Replicas(
            [Replica(url, _client(url, spec=spec, key=key)) for url in _addresses(spec)],
            cool_down_s=self._backoff.cool_down_s,
        )
        self._ever_reached = False
        self._ever_answered = False
        self._waits = 0
        _quiet_transport_log()

    @property
    def identity(self) -> dict[str, Any]:
        """What decides replies beside the request."""
        return self._spec.identity()

    async def chat(
        self, messages: Sequence[Message], *, sampling: Sampling, draw: int, affinity: str = ""
    ) -> ChatReply:
        """Ask once; see `weak2wise_core.llm.protocol.ChatModel`."""
        body = self._body(messages, sampling=sampling, draw=draw)
        tokens = self._limits.estimate(len(body), max_tokens=sampling.max_tokens)
        tries = 0
        while True:
            outcome = await self._try(body, tokens=tokens, affinity=affinity, attempt=tries)
            if isinstance(outcome, ChatReply):
                self._ever_answered = True
                return outcome
            tries += 1
            if outcome.may_cost:
                lose_try(outcome.usage)
            error = final_error(
                outcome,
                spec=self._spec,
                tries=tries,
                ever_reached=self._ever_reached,
                ever_answered=self._ever_answered,
                backoff=self._backoff,
            )
            if error is not None:
                raise error
            await self._wait(outcome, tries=tries)
            await before_next_try()

    async def aclose(self) -> None:
        """Close every connection."""
        for replica in self._replicas:
            await replica.client.close()

    def _body(self, messages: Sequence[Message], *, sampling: Sampling, draw: int) -> bytes:
        request: dict[str, Any] = {
            "model": self._spec.model,
            "messages": [{"role": turn.role, "content": turn.content} for turn in messages],
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "seed": None if sampling.seed is None else sampling.seed + draw,
        }
        request = {name: value for name, value in request.items() if value is not None}
        if self._spec.stream:
            request |= {"stream": True, "stream_options": {"include_usage": True}}
        try:
            return orjson.dumps(request | self._spec.extra_body)
        except TypeError as error:
            raise RequestRefusedError(
                f"{self._spec.model}: the request cannot be written as JSON ({error})"
            ) from None

    async def _wait(self, failure: Failure, *, tries: int) -> None:
        self._waits += 1
        await asyncio.sleep(
            self._backoff.delay_s(tries, turn=self._waits, retry_after_s=failure.retry_after_s)
        )

    async def _try(
        self, body: bytes, *, tokens: int, affinity: str, attempt: int
    ) -> ChatReply | Failure:
        """One try, within the limits."""
        async with self._limits.admitted(tokens) as charge:
            outcome = await self._first_taker(body, affinity=affinity, attempt=attempt)
        if isinstance(outcome, ChatReply):
            self._limits.settle(
                charge,
                prompt_tokens=outcome.usage.prompt_tokens,
                reply_tokens=outcome.usage.completion_tokens,
            )
        return outcome

    async def _first_taker(
        self, body: bytes, *, affinity: str, attempt: int
    ) -> ChatReply | Failure:
        """Send a request to the first address that takes it; a dead one does not cost a try."""
        outcome: ChatReply | Failure | None = None
        for replica in self._replicas.order(affinity, attempt=attempt):
            outcome = await self._ask(replica, body)
            self._note(replica, outcome)
            if isinstance(outcome, ChatReply) or outcome.kind is not FailureKind.UNREACHED:
                break
        assert outcome is not None, "a model has at least one address"
        return outcome

    def _note(self, replica: Replica, outcome: ChatReply | Failure) -> None:
        status = httpx2.codes.OK if isinstance(outcome, ChatReply) else outcome.status
        self._ever_reached = self._ever_reached or status is not None
        if isinstance(outcome, ChatReply) or (status is not None and 400 <= status < 500):
            self._replicas.answered(replica)
        else:
            reached = outcome.kind is not FailureKind.UNREACHED
            self._replicas.failed(replica, reached=reached)

    async def _ask(self, replica: Replica, body: bytes) -> ChatReply | Failure:
        """One request to one address; whatever goes wrong comes back as a value.

        Errors of the packages below are not chained: they hold the request with its key, and
        what a server says may repeat the key.
        """
        address = replica.address
        try:
            return self._reply(await self._fetch(replica.client, body))
        except openai.APIStatusError as error:
            return failure_of_status(
                error.status_code,
                message=self._server_message(error.response),
                headers=error.response.headers,
                address=address,
            )
        except ReplyFormatError as error:
            cause = f"an unusable reply: {self._without_key(str(error))}"
            return Failure(
                kind=FailureKind.PASSING,
                cause=cause,
                address=address,
                status=httpx2.codes.OK,
                foreign=isinstance(error, ForeignReplyError),
                may_cost=error.may_cost,
                usage=error.usage,
            )
        except _CONNECTION_ERRORS as error:
            return failure_of_connection(error, address=address)

    async def _fetch(self, client: openai.AsyncOpenAI, body: bytes) -> dict[str, Any]:
        """The completion object of one reply, streamed or not."""
        # the package's own path to its typed models costs more time than the call itself
        response = cast(
            httpx2.Response,
            await client.post(
                _PATH,
                content=body,
                cast_to=httpx2.Response,
                stream=self._spec.stream,
                stream_cls=openai.AsyncStream[object],
            ),
        )
        try:
            return await _completion(response)
        finally:
            await response.aclose()

    def _reply(self, completion: dict[str, Any]) -> ChatReply:
        """The reply without the key, should a server between us and the model have put it there."""
        reply, key = parse_completion(completion), self._key.get_secret_value()
        shown = (reply.content, reply.reasoning or "", reply.model)
        if len(key) < _REAL_KEY or not any(key in text for text in shown):
            return reply
        content, reasoning, model = (text.replace(key, "[key]") for text in shown)
        return replace(reply, content=content, reasoning=reasoning or None, model=model)

    def _server_message(self, response: httpx2.Response) -> str:
        try:
            message = error_message(decode_json(response.content))
        except ReplyFormatError:
            message = None
        return self._without_key(message or shortened(response.content))

    def _without_key(self, text: str) -> str:
        """Take out the key, also where a shortened text ends in the middle of it."""
        key = self._key.get_secret_value()
        if key == _NO_KEY:
            return text
        start = re.escape(key[:_KEY_START])
        return re.sub(start + r"[^\s'\"]*", "[key]", text)


async def _completion(response: httpx2.Response) -> dict[str, Any]:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "text/event-stream":
        return await _streamed(response)
    if kind and kind != "application/json" and not kind.endswith("+json"):
        start = shortened(await response.aread())
        raise ForeignReplyError(f"content type {kind} in place of application/json: {start!r}")
    return cast(dict[str, Any], decode_json(await response.aread()))


async def _streamed(response: httpx2.Response) -> dict[str, Any]:
    events, assembler = EventReader(), CompletionAssembler()
    async for chunk in response.aiter_bytes():
        for data in events.feed(chunk):
            assembler.add(data)
    for data in events.close():
        assembler.add(data)
    return assembler.completion()


def _addresses(spec: ModelSpec) -> list[str]:
    return list(dict.fromkeys(url.rstrip("/") for url in spec.base_urls))


@cache
def _trusted() -> ssl.SSLContext:
    """The certificates to trust; reading them holds the calls in flight for a tenth of a second."""
    return httpx2.create_ssl_context()


def _client(url: str, *, spec: ModelSpec, key: str) -> openai.AsyncOpenAI:
    timeout = httpx2.Timeout(
        connect=min(_CONNECT_S, spec.timeout_s), read=spec.timeout_s, write=None, pool=None
    )
    try:
        return openai.AsyncOpenAI(
            api_key=key,
            base_url=url,
            timeout=timeout,
            max_retries=0,
            http_client=openai.DefaultAioHttpClient(
                timeout=timeout,
                verify=_trusted(),
                limits=httpx2.Limits(max_connections=_UNLIMITED, keepalive_expiry=_KEEP_ALIVE_S),
            ),
        )
    except httpx2.InvalidURL as error:
        raise FatalModelError(
            f"{spec.model}: an address in base_urls cannot be used ({error}); correct it"
        ) from None


def _sendable_key(key: str, *, spec: ModelSpec) -> str:
    if key.isascii() and key.isprintable():
        return key or _NO_KEY
    name = spec.key_source or "api_key"
    raise FatalModelError(f"{spec.model}: the key in {name} holds characters that no key can have")


def _quiet_transport_log() -> None:
    """One line for every request is slow and hides the others, unless somebody asked for it."""
    log = logging.getLogger("httpx2")
    if log.level == logging.NOTSET:
        log.setLevel(logging.WARNING)
