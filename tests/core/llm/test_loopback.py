"""The server that other tests trust: it fails as it is told, and counts what it did."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.loopback import LoopbackServer
from benchmarks.loopback_replies import Fault, FaultPlan, Reply

REQUEST = {"model": "m", "messages": [{"role": "user", "content": "2 + 2?"}]}


async def post(server_url: str, body: dict[str, Any] | None = None) -> tuple[int, bytes]:
    """Status and body of one plain request, without any client of ours."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{server_url}/chat/completions", json=body or REQUEST) as response,
    ):
        return response.status, await response.read()


async def stats_of(server_url: str) -> dict[str, Any]:
    """What the server counted."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(server_url.removesuffix("/v1") + "/stats") as response,
    ):
        counted: dict[str, Any] = await response.json()
        return counted


@given(st.binary(max_size=20), st.integers(0, 5), st.integers(0, 3))
def test_faults_are_decided_by_seed_request_and_repetition(
    body: bytes, asked_before: int, seed: int
) -> None:
    """The same plan makes the same requests fail; rates of 0 and 1 mean never and always."""
    plan = FaultPlan(rates={Fault.RESET: 0.3, Fault.HANG: 0.3}, seed=seed)
    assert plan.fault(body, asked_before=asked_before) == plan.fault(
        body, asked_before=asked_before
    )
    never = FaultPlan(rates={Fault.RESET: 0.0}, seed=seed)
    always = FaultPlan(rates={Fault.RESET: 1.0}, seed=seed)
    assert never.fault(body, asked_before=asked_before) is None
    assert always.fault(body, asked_before=asked_before) is Fault.RESET


def test_faults_come_at_their_rates() -> None:
    """Of a thousand requests about as many fail as the plan says."""
    plan = FaultPlan(rates={Fault.RESET: 0.1, Fault.SERVER_ERROR: 0.2}, seed=1)
    drawn = [plan.fault(str(number).encode(), asked_before=0) for number in range(1000)]
    assert 70 < drawn.count(Fault.RESET) < 130
    assert 160 < drawn.count(Fault.SERVER_ERROR) < 240


async def test_requests_are_answered_recorded_and_counted() -> None:
    """The script sees the decoded request; kinds, statuses and faults are counted."""
    with LoopbackServer(
        lambda body: Reply(content=body["messages"][0]["content"][::-1]),
        kind=lambda body: f"model {body['model']}",
    ) as server:
        status, body = await post(server.base_url)
        stats = await stats_of(server.base_url)
    assert (status, json.loads(body)["choices"][0]["message"]["content"]) == (200, "?2 + 2")
    assert [received.body for received in server.requests] == [REQUEST]
    assert stats["kinds"] == {"model m": 1}
    assert stats["statuses"] == {"200": 1}
    assert (stats["requests"], stats["in_flight"], stats["most_in_flight"]) == (1, 0, 1)


async def test_a_server_starts_again_on_its_port() -> None:
    """A replica can die and come back where it was."""
    server = LoopbackServer()
    ports = []
    for _ in range(2):
        with server:
            ports.append(server.port)
            assert (await post(server.base_url))[0] == 200
        with pytest.raises(aiohttp.ClientConnectorError):
            await post(server.base_url)
    assert ports[0] == ports[1]


async def test_a_server_that_only_streams_can_be_scripted() -> None:
    """Any status and message may be the answer."""

    def script(body: dict[str, Any]) -> Reply:
        return Reply() if body.get("stream") else Reply(status=400, error="only with stream=True")

    with LoopbackServer(script) as server:
        refused = await post(server.base_url)
        streamed = await post(server.base_url, REQUEST | {"stream": True})
    assert refused[0] == 400
    assert b"only with stream=True" in refused[1]
    assert streamed[1].endswith(b"data: [DONE]\n\n")


@pytest.mark.slow
def test_the_server_runs_as_a_process_of_its_own(repository: Path) -> None:
    """Started as a script it prints its address, serves, and ends when told to."""
    script = repository / "benchmarks" / "loopback.py"
    options = ["--port", "0", "--reply-chars", "40", "--fault", "server_error=1.0"]
    with subprocess.Popen(
        [sys.executable, str(script), *options],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(repository)},
    ) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["base_url"]
        assert asyncio.run(post(url))[0] == 500
        assert asyncio.run(stats_of(url))["faults"] == {"server_error": 1}
        process.terminate()
        assert process.wait(timeout=60) == 0
