"""The benchmark of one call's cost, with a few calls."""

import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from benchmarks import client
from benchmarks.loopback import LoopbackServer


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    """A server that answers at once."""
    with LoopbackServer() as running:
        yield running


@pytest.mark.parametrize("kind", [client.OURS, client.PLAIN, client.SEQUENTIAL])
async def test_every_client_makes_its_calls(kind: str, server: LoopbackServer) -> None:
    """As many as were wanted, after those that open connections; all have the same prompt."""
    found = await client.measure(kind, server.base_url, calls=6, in_flight=2)
    assert (found.client, found.calls) == (kind, 6)
    assert min(found.cpu_ms, found.wall_s) > 0
    asked = [one.body["messages"][-1]["content"] for one in server.requests]
    assert len(asked) == 4 + 6
    assert set(asked) == {f"{client.PROMPT}{number}" for number in range(6)}


def test_costs_are_shares_of_the_plain_client() -> None:
    """Half of the CPU is 0.50, and the time of few calls one by one is scaled to all."""
    console = Console(record=True, width=120, file=io.StringIO())
    plain = client.Measured(client=client.PLAIN, in_flight=64, calls=10, cpu_ms=2.0, wall_s=1.0)
    ours = client.Measured(client=client.OURS, in_flight=64, calls=10, cpu_ms=1.0, wall_s=1.0)
    client.show_cost([plain, ours], console)
    one = client.Measured(client=client.SEQUENTIAL, in_flight=1, calls=2, cpu_ms=1.0, wall_s=1.0)
    client.show_wall([one, ours], console)
    shown = console.export_text()
    assert "0.50" in shown
    assert "5" in shown.splitlines()[-2]
