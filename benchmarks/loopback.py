"""An OpenAI-compatible chat server on 127.0.0.1 that answers by script and fails on purpose.

In a test::

    with LoopbackServer(lambda request: Reply(content="4", reasoning="2 + 2")) as server:
        ...  # ask server.base_url, look at server.requests and server.stats()

As a process of its own (in an environment where the project is installed), which prints one line
of JSON with its address::

    python benchmarks/loopback.py --port 0 --latency-ms 20 --fault rate_limited=0.05 --seed 7
"""

import argparse
import asyncio
import hashlib
import json
import signal
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import orjson
from aiohttp import web

from benchmarks.loopback_replies import (
    Fault,
    FaultPlan,
    Reply,
    completion_object,
    stream_events,
)

Answer: TypeAlias = Callable[[dict[str, Any]], Reply | str | Awaitable[Reply | str]]


_STATUS = {Fault.RATE_LIMITED: 429, Fault.SERVER_ERROR: 500, Fault.OVERLOADED: 503}
_HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
_NO_COMPLETION = frozenset({Fault.WRONG_CONTENT_TYPE, Fault.ERROR_IN_OK, Fault.FOREIGN_JSON})


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request as it arrived."""

    body: dict[str, Any]
    headers: dict[str, str]
    """Names in lower case."""
    at: float
    """`time.monotonic()`."""
    fault: Fault | None = None
    """What went wrong with its reply."""


def echo(request: dict[str, Any]) -> Reply:
    """The default script: thinking and an answer made from the last message."""
    text = str(request["messages"][-1]["content"])
    return Reply(content=f"## Final Answer\n{text[-200:]}", reasoning=f"I was asked: {text}")


class LoopbackServer:
    """The server, in a thread with an event loop of its own; a context manager.

    Args:
        answer: Makes up the reply to a decoded request. It runs on the server's thread, and is
            awaited there where it is a coroutine.
        faults: Faults by rate, for replies that bring none themselves.
        kind: Under which name a request is counted; its model id where None.
        record: Whether to keep requests; a long benchmark would fill the memory.
        port: Port on 127.0.0.1; 0 takes a free one, which a second start uses again.
        piece_chars: Characters in one event of a stream.
    """

    def __init__(
        self,
        answer: Answer = echo,
        *,
        faults: FaultPlan | None = None,
        kind: Callable[[dict[str, Any]], str] | None = None,
        record: bool = True,
        port: int = 0,
        piece_chars: int = 7,
    ) -> None:
        self._answer = answer
        self._faults = faults
        self._kind = kind or (lambda request: str(request.get("model")))
        self._record = record
        self._piece_chars = piece_chars
        self._counts: dict[str, Counter[str]] = {
            "kinds": Counter(),
            "statuses": Counter(),
            "faults": Counter(),
        }
        self._asked: Counter[bytes] = Counter()
        self._in_flight = 0
        self._most_in_flight = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._started = threading.Event()
        self._thread: threading.Thread | None = None
        self.port = port
        self.requests: list[Received] = []

    @property
    def base_url(self) -> str:
        """What a client takes as its base address."""
        return f"http://127.0.0.1:{self.port}/v1"

    def stats(self) -> dict[str, Any]:
        """Counts by kind of request, status and fault; also at GET /stats."""
        counts = {name: dict(counter) for name, counter in self._counts.items()}
        return {
            "requests": sum(counts["kinds"].values()),
            **counts,
            "in_flight": self._in_flight,
            "most_in_flight": self._most_in_flight,
        }

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; returns when the port is open."""
        self._started.clear()
        self._thread = threading.Thread(target=lambda: asyncio.run(self.serve()), daemon=True)
        self._thread.start()
        if not self._started.wait(timeout=10):
            raise RuntimeError(f"the loopback server did not start on port {self.port}")

    def stop(self) -> None:
        """Close the port and every connection; returns when that is done."""
        if self._loop is None or self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=10)
        self._thread = None

    async def serve(self, on_start: Callable[[str], None] | None = None) -> None:
        """Listen until `stop` is called or the task is cancelled.

        Args:
            on_start: Told the base address when the port is open.
        """
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        app = web.Application(client_max_size=1 << 28)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/stats", self._show_stats)
        runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.01, handler_cancellation=True
        )
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port, backlog=4096).start()
        self.port = runner.addresses[0][1]
        self._started.set()
        if on_start is not None:
            on_start(self.base_url)
        try:
            await self._stop.wait()
        finally:
            await runner.cleanup()

    async def _show_stats(self, _: web.Request) -> web.Response:
        return web.Response(body=orjson.dumps(self.stats()), content_type="application/json")

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        data = await request.read()
        body = orjson.loads(data)
        self._in_flight += 1
        self._most_in_flight = max(self._most_in_flight, self._in_flight)
        try:
            answer = self._answer(body)
            answer = await answer if isinstance(answer, Awaitable) else answer
            reply = Reply(content=answer) if isinstance(answer, str) else answer
            fault = reply.fault or self._drawn_fault(data)
            self._note(request, body, fault)
            if reply.delay_s:
                await asyncio.sleep(reply.delay_s)
            return await self._respond(request, body, reply, fault)
        except ConnectionResetError:
            return web.Response()  # the client is gone; nobody reads this
        finally:
            self._in_flight -= 1

    def _note(self, request: web.Request, body: dict[str, Any], fault: Fault | None) -> None:
        self._counts["kinds"][self._kind(body)] += 1
        if self._record:
            headers = {name.lower(): value for name, value in request.headers.items()}
            self.requests.append(
                Received(body=body, headers=headers, at=time.monotonic(), fault=fault)
            )

    def _drawn_fault(self, data: bytes) -> Fault | None:
        if self._faults is None:
            return None
        key = hashlib.blake2b(data, digest_size=16).digest()
        self._asked[key] += 1
        return self._faults.fault(data, asked_before=self._asked[key] - 1)

    async def _respond(
        self, request: web.Request, body: dict[str, Any], reply: Reply, fault: Fault | None
    ) -> web.StreamResponse:
        if fault is not None:
            self._counts["faults"][fault.value] += 1
        if fault is Fault.HANG:
            await asyncio.Event().wait()
        if fault is Fault.RESET:
            _reset(request)
            return web.Response()
        status = reply.status if fault is None else _STATUS.get(fault, reply.status)
        self._counts["statuses"][str(status)] += 1
        if status != 200 or fault in _NO_COMPLETION:
            return self._failure(reply, fault, status)
        streamed = bool(body.get("stream"))
        completion = completion_object(body, reply, fault=fault)
        if reply.raw is not None:
            pieces: Sequence[bytes] = [reply.raw]
        elif streamed:
            pieces = stream_events(completion, body=body, piece_chars=self._piece_chars)
        else:
            whole = orjson.dumps(completion)
            pieces = [whole[:100], whole[100:]] if reply.pause_s else [whole]
        return await _send(request, pieces, reply=reply, streamed=streamed, fault=fault)

    def _failure(self, reply: Reply, fault: Fault | None, status: int) -> web.Response:
        if fault in {Fault.OVERLOADED, Fault.WRONG_CONTENT_TYPE}:
            return web.Response(status=status, body=_HTML, content_type="text/html")
        headers = dict(reply.headers)
        if fault is Fault.RATE_LIMITED and self._faults is not None:
            headers.setdefault("Retry-After", self._faults.retry_after)
        said: dict[str, Any] = {"message": reply.error, "type": "loopback", "code": None}
        said = {"status": "healthy"} if fault is Fault.FOREIGN_JSON else {"error": said}
        return web.Response(
            status=status,
            body=reply.raw or orjson.dumps(said),
            content_type="application/json",
            headers=headers,
        )


async def _send(
    request: web.Request,
    pieces: Sequence[bytes],
    *,
    reply: Reply,
    streamed: bool,
    fault: Fault | None,
) -> web.StreamResponse:
    response = web.StreamResponse(headers=reply.headers)
    if "Content-Type" not in reply.headers:
        response.content_type = "text/event-stream" if streamed else "application/json"
    whole = sum(len(piece) for piece in pieces)
    if fault in {Fault.CUT_BODY, Fault.WRONG_JSON, Fault.STREAM_STOPS}:
        pieces = _first_half(pieces, events=streamed and fault is not Fault.WRONG_JSON)
    if not streamed:
        sent = sum(len(piece) for piece in pieces)
        response.content_length = whole if fault is Fault.CUT_BODY else sent
    await response.prepare(request)
    for number, piece in enumerate(pieces):
        if number and reply.pause_s:
            await asyncio.sleep(reply.pause_s)
        await response.write(piece)
    if fault is Fault.CUT_BODY:
        _reset(request, politely=True)
        return response
    await response.write_eof()
    return response


def _first_half(pieces: Sequence[bytes], *, events: bool) -> list[bytes]:
    if events:
        return list(pieces[: len(pieces) // 2])
    whole = b"".join(pieces)
    return [whole[: len(whole) // 2]]


def _reset(request: web.Request, *, politely: bool = False) -> None:
    """End the connection: after what was sent (politely), or with a reset packet at once."""
    transport = request.transport
    if transport is None:
        return
    if politely:
        transport.close()
        return
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _fixed_answer(options: argparse.Namespace) -> Answer:
    words = "therefore the value of x follows from the equation above "
    reply = Reply(
        content=(words * (options.reply_chars // len(words) + 1))[: options.reply_chars],
        reasoning="x" * options.reasoning_chars or None,
        delay_s=options.latency_ms / 1000,
    )
    return lambda _: reply


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--reply-chars", type=int, default=1500)
    parser.add_argument("--reasoning-chars", type=int, default=0)
    parser.add_argument("--fault", action="append", default=[], metavar="NAME=RATE")
    parser.add_argument("--seed", type=int, default=0, help="of the faults")
    return parser.parse_args()


async def _serve_until_signal(server: LoopbackServer) -> None:
    serving = asyncio.create_task(
        server.serve(lambda url: print(json.dumps({"base_url": url}), flush=True))
    )
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, serving.cancel)
    await asyncio.wait([serving])


def main() -> None:
    """Serve until interrupted."""
    options = _options()
    rates = dict(entry.split("=", 1) for entry in options.fault)
    faults = FaultPlan(
        rates={Fault(name): float(rate) for name, rate in rates.items()}, seed=options.seed
    )
    server = LoopbackServer(_fixed_answer(options), faults=faults, record=False, port=options.port)
    asyncio.run(_serve_until_signal(server))


if __name__ == "__main__":
    main()
