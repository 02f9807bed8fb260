"""Addresses, connections and limits of the `openai` backend, against real servers."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.loopback import LoopbackServer
from benchmarks.loopback_replies import Fault, FaultPlan, Reply
from tests.core.llm.asking import (
    CANARY,
    PASSING_FAULTS,
    ask,
    eventually,
    first_then,
    free_port,
    opened,
    spec_of,
)
from weak2wise_core.errors import (
    FatalModelError,
    TransientModelError,
)
from weak2wise_core.llm.openai_compatible import OpenAIModel
from weak2wise_core.llm.retrying import Backoff


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    """A server that repeats what it is asked."""
    with LoopbackServer(lambda body: Reply(content=body["messages"][-1]["content"])) as running:
        yield running


async def test_a_model_that_nobody_serves_stops_a_build_soon() -> None:
    """Nobody ever answered: fatal after a few tries, with every address, whatever `retries`."""
    urls = [f"http://127.0.0.1:{free_port()}/v1" for _ in range(2)]
    patient = Backoff(first_s=0.01)  # fifty tries would take twenty minutes
    async with asyncio.timeout(60), opened(*urls, retries=50, backoff=patient) as model:
        with pytest.raises(FatalModelError, match="no server answers at") as caught:
            await ask(model)
    assert all(url in str(caught.value) for url in urls)


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
                *(ask(model, f"q{n}", draw=d, affinity=f"q{n}") for n in range(40) for d in (0, 1))
            )
    seen = [{r.body["messages"][0]["content"] for r in server.requests} for server in servers]
    assert sum(len(questions) for questions in seen) == 40
    assert all(seen)
    assert sum(len(server.requests) for server in servers) == 80


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
            affinity = next(
                name
                for name in (f"q{number}" for number in itertools.count())
                if next(model._replicas.order(name, attempt=0)).url == sick.base_url
            )
            assert (await ask(model, "2 + 2?", affinity=affinity)).content.endswith("2 + 2?")
    assert len(sick.requests) == len(well.requests) == 1


async def test_a_sick_replica_is_left_alone_after_a_while() -> None:
    """Failure after failure, its share goes to the other address without being tried there."""
    with LoopbackServer(lambda _: Reply(status=500)) as sick, LoopbackServer() as well:
        patient = Backoff(first_s=0.002, cap_s=0.008, cool_down_s=60)
        async with opened(sick.base_url, well.base_url, retries=1, backoff=patient) as model:
            for number in range(40):
                await ask(model, affinity=f"q{number}")
    assert len(well.requests) == 40
    assert len(sick.requests) == 3


async def test_the_pool_is_not_smaller_than_the_calls_in_flight() -> None:
    """More calls than a transport's hundred connections wait at once, and no later limit is set.

    The transport's own default is a hundred, that of the openai package a thousand.
    """
    with LoopbackServer(lambda _: Reply(delay_s=2.0)) as server:
        async with opened(server.base_url) as model:
            await asyncio.gather(*(ask(model) for _ in range(120)))
            (replica,) = model._replicas
            transport: Any = replica.client._client._transport
            connector = transport.client.connector
            assert (connector.limit, connector.limit_per_host) == (0, 0)  # 0 is none for aiohttp
    assert server.stats()["most_in_flight"] > 100


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
            done, waiting = await asyncio.wait(calls, timeout=1.0)
            for call in waiting:
                call.cancel()
        assert 0 < len(done) < 4
        assert len(server.requests) - before == len(done)


@pytest.mark.slow
async def test_hundreds_of_calls_survive_every_fault_at_once() -> None:
    """With faults in half of all requests each call gets the reply to its own question."""
    faults = FaultPlan(rates=dict.fromkeys(PASSING_FAULTS, 0.5 / len(PASSING_FAULTS)), seed=11)
    with LoopbackServer(lambda body: body["messages"][0]["content"][::-1], faults=faults) as server:
        async with opened(server.base_url, retries=20, timeout_s=2.0) as model:
            questions = [f"question {number}" for number in range(200)]
            replies = await asyncio.gather(*(ask(model, question) for question in questions))
    assert [reply.content[::-1] for reply in replies] == questions
    stats = server.stats()
    assert stats["requests"] - sum(stats["faults"].values()) == 200
    assert set(stats["faults"]) == {fault.value for fault in PASSING_FAULTS}


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


def test_an_address_that_is_none_is_named() -> None:
    """An address that no request can go to fails when the model is opened."""
    with pytest.raises(FatalModelError, match="base_urls"):
        OpenAIModel(spec_of("http://[::bad/v1"), api_key=CANARY)


async def test_certificates_are_read_once_for_all_models(server: LoopbackServer) -> None:
    """Reading them takes long; whoever opens another model keeps the calls in flight waiting."""
    async with opened(server.base_url) as one, opened(server.base_url, stream=True) as other:
        transports: list[Any] = [
            replica.client._client._transport
            for model in (one, other)
            for replica in model._replicas
        ]
        first, second = (transport.ssl_context for transport in transports)
    assert first is second
