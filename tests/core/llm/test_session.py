"""Continuous batching behind the queue: every request is answered, whatever a stream does."""

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.llm.machines import WAIT_S, FakeStream, StreamMachine, answer_to, prompt, queue_of
from weak2wise_core.errors import FatalModelError, RequestRefusedError
from weak2wise_core.llm import batching
from weak2wise_core.llm.jobs import Prompt
from weak2wise_core.llm.measuring import Way
from weak2wise_core.llm.packing import StreamPlan
from weak2wise_core.llm.session import StreamFailedError

PLAIN, CONTINUOUS = Way.PLAIN, Way.CONTINUOUS


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions end soon after their work."""
    monkeypatch.setattr(batching, "IDLE_S", 0.001)


class Gate:
    """Holds a stream until a test opens it."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()

    def __call__(self, stream: FakeStream, prompts: Sequence[Prompt]) -> None:
        """Wait."""
        self.reached.set()
        assert self.open.wait(WAIT_S)


@given(
    st.lists(st.tuples(st.integers(1, 900), st.integers(1, 6)), min_size=1, max_size=40),
    st.integers(1, 9),
)
def test_every_request_gets_its_own_answer(shapes: list[tuple[int, int]], slots: int) -> None:
    """In any mixture of lengths, also where a session is too small for the next request."""
    machine = StreamMachine(CONTINUOUS)
    prompts = [
        prompt(length, limit=limit, seed=number) for number, (length, limit) in enumerate(shapes)
    ]
    with queue_of(machine, batch_size=slots) as queue:
        futures = [queue.submit(one) for one in prompts]
        answers = [future.result(WAIT_S) for future in futures]
    assert answers == [answer_to(one) for one in prompts]
    assert queue.stats.requests == len(shapes)
    assert queue.stats.way is CONTINUOUS
    assert all(stream.closed for stream in machine.streams)
    assert queue.stats.batches == len(machine.streams)


def test_a_request_takes_the_slot_of_another_that_ended() -> None:
    """Sixteen short requests pass beside a long one, in about as many steps as that takes."""
    gate = Gate()
    machine = StreamMachine(CONTINUOUS, look=gate)
    with queue_of(machine, batch_size=2) as queue:
        futures = [queue.submit(prompt(5, limit=16))]
        futures += [queue.submit(prompt(5, limit=1, seed=number)) for number in range(16)]
        gate.open.set()
        for future in futures:
            future.result(WAIT_S)
    assert [stream.steps for stream in machine.streams] in ([16], [17])  # they may come a step late


def test_requests_that_come_later_join_the_session() -> None:
    """What is submitted while others are answered needs no new session."""
    gate = Gate()
    machine = StreamMachine(CONTINUOUS, look=gate)
    with queue_of(machine, batch_size=4) as queue:
        first = queue.submit(prompt(5, limit=3))
        assert gate.reached.wait(WAIT_S)
        second = queue.submit(prompt(6, limit=1))
        gate.open.set()
        assert first.result(WAIT_S).text == "5/0"
        assert second.result(WAIT_S).text == "6/0"
    assert len(machine.streams) == 1


def test_what_does_not_fit_into_memory_is_halved_and_stays_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Out of memory costs an attempt at each size, no request, and no answer."""

    def look(stream: FakeStream, prompts: Sequence[Prompt]) -> None:
        if stream.plan.slots > 3:
            raise MemoryError("12 GB wanted")

    machine = StreamMachine(CONTINUOUS, look=look)
    with queue_of(machine, batch_size=16) as queue:
        futures = [queue.submit(prompt(5, seed=number)) for number in range(33)]
        answers = [future.result(WAIT_S).text for future in futures]
    assert answers == [f"5/{number}" for number in range(33)]
    assert [stream.plan.slots for stream in machine.streams][:4] == [16, 8, 4, 2]
    assert {stream.plan.slots for stream in machine.streams[3:]} == {2}
    assert "16 requests did not fit into memory (12 GB wanted)" in caplog.text


def test_a_request_that_does_not_fit_alone_is_refused_with_advice() -> None:
    """Halving ends at one request; the others are answered."""

    def look(stream: FakeStream, prompts: Sequence[Prompt]) -> None:
        if any(len(one.ids) > 100 for one in prompts[: stream.plan.slots]):
            raise MemoryError("no room")

    machine = StreamMachine(CONTINUOUS, look=look)
    with queue_of(machine, batch_size=4) as queue:
        futures = [queue.submit(prompt(length)) for length in (3, 200, 4)]
        with pytest.raises(RequestRefusedError, match=r"200 tokens .*Lower max_tok"):
            futures[1].result(WAIT_S)
        assert [futures[k].result(WAIT_S).text for k in (0, 2)] == ["3/0", "4/0"]


def test_a_cache_that_cannot_be_made_is_halved_too() -> None:
    """Memory that is missing before the first step is no other matter."""

    class Small(StreamMachine):
        attempts: list[int]

        def open_stream(self, plan: StreamPlan) -> FakeStream:
            self.attempts.append(plan.cache_tokens)
            if plan.cache_tokens > 600:
                raise MemoryError("no room for the cache")
            return super().open_stream(plan)

    machine = Small(CONTINUOUS)
    machine.attempts = []
    with queue_of(machine, batch_size=8) as queue:
        futures = [queue.submit(prompt(9, seed=number)) for number in range(9)]
        assert [future.result(WAIT_S).text for future in futures][8] == "9/8"
    assert machine.attempts[:3] == [2048, 1024, 512]


def test_a_stream_that_fails_leaves_plain_batches(caplog: pytest.LogCaptureFixture) -> None:
    """Where both ways are there, no request notices."""

    def look(stream: FakeStream, prompts: Sequence[Prompt]) -> None:
        raise StreamFailedError("illegal instruction")

    machine = StreamMachine(CONTINUOUS, PLAIN, look=look)
    with queue_of(machine, batch_size=4) as queue:
        futures = [queue.submit(prompt(5, seed=number)) for number in range(9)]
        assert [future.result(WAIT_S).text for future in futures] == [f"5/{n}" for n in range(9)]
    assert "illegal instruction. Going on with plain batches" in caplog.text
    assert sum(machine.batches) == 9


def test_a_stream_that_fails_and_was_asked_for_fails_every_request() -> None:
    """Nobody hangs: each gets an error that names the failure."""

    def look(stream: FakeStream, prompts: Sequence[Prompt]) -> None:
        raise StreamFailedError("illegal instruction")

    with queue_of(StreamMachine(CONTINUOUS, look=look), batch_size=2) as queue:
        futures = [queue.submit(prompt(5)) for _ in range(5)]
        for future in futures:
            with pytest.raises(FatalModelError, match="StreamFailedError: illegal instruction"):
                future.result(WAIT_S)


def test_a_cancelled_request_leaves_its_stream() -> None:
    """It is dropped there at once, and disturbs no other."""
    gate = Gate()
    machine = StreamMachine(CONTINUOUS, look=gate)
    with queue_of(machine, batch_size=2) as queue:
        futures = [queue.submit(prompt(5, limit=50, seed=number)) for number in range(2)]
        assert gate.reached.wait(WAIT_S)
        assert futures[0].cancel()
        gate.open.set()
        assert futures[1].result(WAIT_S).text == "5/1"
        with pytest.raises(CancelledError):
            futures[0].result(WAIT_S)
    assert [one.seed for one in machine.dropped] == [0]


def test_ending_the_queue_ends_its_session() -> None:
    """Requests in the stream and in the line get the error, and the thread comes to an end."""
    gate = Gate()
    machine = StreamMachine(CONTINUOUS, look=gate)
    error = FatalModelError("closed")
    with queue_of(machine, batch_size=1) as queue:
        futures = [queue.submit(prompt(1, limit=1000)) for _ in range(5)]
        assert gate.reached.wait(WAIT_S)
        queue.end(error)
        gate.open.set()
        assert [future.exception(WAIT_S) for future in futures] == [error] * 5
    assert machine.streams[0].closed


def test_the_faster_way_is_found_on_the_work_itself(caplog: pytest.LogCaptureFixture) -> None:
    """Both ways answer a part of it, no request twice, and one of them what comes after."""
    caplog.set_level(logging.INFO)
    machine = StreamMachine(PLAIN, CONTINUOUS, sample=4, warm_up=4)
    with queue_of(machine, batch_size=4) as queue:
        futures = [queue.submit(prompt(5, seed=number)) for number in range(40)]
        answers = [future.result(WAIT_S).text for future in futures]
        later = queue.submit(prompt(6))
        assert later.result(WAIT_S).text == "6/0"
    assert answers == [f"5/{number}" for number in range(40)]
    assert machine.batches[:2] == [4, 4]
    assert machine.streams
    assert machine.rivals.decided
    assert f"going on with {machine.rivals.way} batches" in caplog.text
    assert queue.stats.way is machine.rivals.way
    assert queue.stats.requests == 41
