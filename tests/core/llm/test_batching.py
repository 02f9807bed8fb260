"""Requests become batches; whatever happens to a batch, no request waits for ever."""

import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError, Executor, Future
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.llm.machines import WAIT_S, answer_to, prompt, queue_of
from weak2wise_core.errors import FatalModelError, RequestRefusedError
from weak2wise_core.llm.batching import BatchQueue
from weak2wise_core.llm.jobs import Answer, Dropped, Prompt
from weak2wise_core.llm.measuring import LocalStats
from weak2wise_core.llm.packing import similar


class Model:
    """Answers at once, keeps the batches that it saw, and fails as told."""

    def __init__(self, *, memory: int | None = None, failure: Exception | None = None) -> None:
        self.batches: list[list[Prompt]] = []
        self.memory = memory
        self.failure = failure
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.started = threading.Event()

    def __call__(self, prompts: Sequence[Prompt], dropped: Dropped) -> list[Answer]:
        """Answer one batch."""
        self.started.set()
        assert self.may_answer.wait(WAIT_S)
        self.batches.append(list(prompts))
        if self.memory is not None and len(prompts) > self.memory:
            raise MemoryError("12 GB wanted")
        if self.failure is not None:
            raise self.failure
        return [answer_to(one) for one in prompts]


def burst(queue: BatchQueue, model: Model, prompts: list[Prompt]) -> list[Future[Answer]]:
    """Submit while the model is held, so that the requests are there together."""
    model.may_answer.clear()
    futures = [queue.submit(prompts[0])]
    assert model.started.wait(WAIT_S)
    futures += [queue.submit(one) for one in prompts[1:]]
    model.may_answer.set()
    return futures


@given(st.lists(st.integers(1, 30), min_size=1, max_size=40), st.integers(1, 9))
def test_every_request_gets_its_own_answer(lengths: list[int], batch_size: int) -> None:
    """Batches reorder requests, never answers."""
    model = Model()
    prompts = [prompt(length, seed=number) for number, length in enumerate(lengths)]
    with queue_of(model, batch_size=batch_size) as queue:
        futures = [queue.submit(one) for one in prompts]
        answers = [future.result(WAIT_S) for future in futures]
    assert answers == [answer_to(one) for one in prompts]
    assert max(map(len, model.batches)) <= batch_size
    assert queue.stats.requests == len(lengths)


def test_a_burst_runs_as_full_batches_of_similar_lengths() -> None:
    """Of 1 + 64 requests the 64 that wait become 8 batches of 8, cut from the sorted lengths."""
    model = Model()
    lengths = [(37 * number) % 64 + 1 for number in range(64)]
    with queue_of(model, batch_size=8) as queue:
        for future in burst(queue, model, [prompt(1), *map(prompt, lengths)]):
            future.result(WAIT_S)
    sizes = [sorted(len(one.ids) for one in batch) for batch in model.batches[1:]]
    assert sorted(sizes) == [list(range(8 * k + 1, 8 * k + 9)) for k in range(8)]


waiting_lengths = st.lists(st.integers(1, 50), min_size=1, max_size=30)


@given(waiting_lengths, st.integers(1, 8), st.none() | st.integers(1, 300))
def test_the_longest_wait_is_never_put_off(
    lengths: list[int], most: int, most_padded: int | None
) -> None:
    """The first in line is in the next batch, with neighbours in length, within both bounds."""
    with queue_of(Model(), batch_size=most) as queue:
        queue._executor = _Never()
        for length in lengths:
            queue.submit(prompt(length))
        waiting = queue._waiting
        batch = similar(waiting, most=most, most_tokens=most_padded)
    assert waiting[0] in batch
    assert len(batch) <= most
    assert len(set(batch)) == len(batch)
    if most_padded is None:
        assert len(batch) == min(most, len(lengths))
    else:
        padded = len(batch) * max(one.prompt.most_tokens for one in batch)
        assert len(batch) == 1 or padded <= most_padded
    taken = sorted(len(one.prompt.ids) for one in batch)
    left = sorted(len(one.prompt.ids) for one in waiting if one not in batch)
    assert not any(taken[0] < length < taken[-1] for length in left)


class _Never(Executor):
    """An executor that never starts its job."""

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        """Forget the job."""
        return Future()


def test_a_batch_that_does_not_fit_is_halved_and_stays_so(caplog: pytest.LogCaptureFixture) -> None:
    """Out of memory costs one attempt at each size, no request, and no answer."""
    model = Model(memory=3)
    with queue_of(model, batch_size=16) as queue:
        futures = burst(queue, model, [prompt(5, seed=number) for number in range(33)])
        answers = [future.result(WAIT_S).text for future in futures]
    assert answers == [f"5/{number}" for number in range(33)]
    sizes = [len(batch) for batch in model.batches]
    assert sizes[:5] == [1, 16, 8, 4, 2]
    assert set(sizes[4:]) == {2}
    assert "16 requests did not fit into memory (12 GB wanted)" in caplog.text
    assert queue.stats.batches == len([size for size in sizes if size <= 3])


def test_long_requests_that_do_not_fit_leave_batches_of_short_ones_whole() -> None:
    """What is halved is the memory of a batch, not the number of its requests."""

    class Small(Model):
        def __call__(self, prompts: Sequence[Prompt], dropped: Dropped) -> list[Answer]:
            if len(prompts) * max(len(one.ids) for one in prompts) > 1000:
                raise MemoryError("no")
            return super().__call__(prompts, dropped)

    model = Small()
    with queue_of(model, batch_size=8) as queue:
        lengths = [1] + [400] * 8 + [10] * 8
        for future in burst(queue, model, [prompt(length) for length in lengths]):
            future.result(WAIT_S)
    assert sorted((len(batch), len(batch[0].ids)) for batch in model.batches[1:]) == [
        (2, 400),
        (2, 400),
        (2, 400),
        (2, 400),
        (8, 10),
    ]


def test_a_request_that_does_not_fit_alone_is_refused_with_advice() -> None:
    """Halving ends at one; then this request is refused and the next is answered."""

    class Picky(Model):
        def __call__(self, prompts: Sequence[Prompt], dropped: Dropped) -> list[Answer]:
            if any(len(one.ids) > 100 for one in prompts):
                raise MemoryError("no room")
            return super().__call__(prompts, dropped)

    model = Picky()
    with queue_of(model, batch_size=4) as queue:
        futures = burst(queue, model, [prompt(1), prompt(200, limit=50), prompt(3)])
        assert futures[2].result(WAIT_S).text == "3/0"
        with pytest.raises(RequestRefusedError, match=r"200 tokens .* 50 tokens .*Lower max_tok"):
            futures[1].result(WAIT_S)


def test_a_failing_model_fails_every_waiting_and_every_later_request() -> None:
    """Nobody hangs: each gets an error that names the failure."""
    model = Model(failure=RuntimeError("device-side assert"))
    with queue_of(model, batch_size=2) as queue:
        futures = burst(queue, model, [prompt(1)] * 5)
        for future in futures:
            with pytest.raises(FatalModelError, match="RuntimeError: device-side assert") as caught:
                future.result(WAIT_S)
            assert isinstance(caught.value.__cause__, RuntimeError)
        with pytest.raises(FatalModelError, match="device-side assert"):
            queue.submit(prompt(1))
    assert len(model.batches) == 1


def test_a_model_that_loses_an_answer_fails_instead_of_hanging() -> None:
    """Fewer answers than requests is a failure of the model, told to all that wait."""
    with queue_of(lambda prompts, dropped: [], batch_size=2) as queue:
        error = queue.submit(prompt(1)).exception(WAIT_S)
    assert isinstance(error, FatalModelError)
    assert "ValueError" in str(error)


def test_a_cancelled_request_is_not_started_and_disturbs_no_other() -> None:
    """Taking one request back before its batch leaves the others as they were."""
    model = Model()
    with queue_of(model, batch_size=8) as queue:
        model.may_answer.clear()
        first = queue.submit(prompt(2))
        assert model.started.wait(WAIT_S)
        later = [queue.submit(prompt(3, seed=number)) for number in range(3)]
        assert later[1].cancel()
        model.may_answer.set()
        assert first.result(WAIT_S).text == "2/0"
        assert [later[k].result(WAIT_S).text for k in (0, 2)] == ["3/0", "3/2"]
        with pytest.raises(CancelledError):
            later[1].result(WAIT_S)
    assert [one.seed for one in model.batches[-1]] == [0, 2]


def test_a_model_is_told_which_rows_nobody_waits_for() -> None:
    """A request that is cancelled while it is answered is dropped; its neighbour is not."""
    seen: list[list[bool]] = []
    started, go_on = threading.Event(), threading.Event()

    def model(prompts: Sequence[Prompt], dropped: Dropped) -> list[Answer]:
        started.set()
        assert go_on.wait(WAIT_S)
        seen.append([dropped(row) for row in range(len(prompts))])
        return [answer_to(one) for one in prompts]

    with queue_of(model, batch_size=2) as queue:
        first, second = queue.submit(prompt(1)), queue.submit(prompt(2))
        assert started.wait(WAIT_S)
        assert first.cancel()
        go_on.set()
        assert second.result(WAIT_S).text == "2/0"
    assert seen == [[True, False]]


def test_ending_a_queue_answers_all_open_requests_with_the_error() -> None:
    """Requests in a batch and requests that wait end at once, and the thread comes to an end."""
    model = Model()
    error = FatalModelError("closed")
    with queue_of(model, batch_size=1) as queue:
        futures = burst(queue, model, [prompt(1)])
        futures[0].result(WAIT_S)
        model.may_answer.clear()
        open_requests = [queue.submit(prompt(1)) for _ in range(3)]
        queue.end(error)
        for future in open_requests:
            assert future.exception(WAIT_S) is error
        model.may_answer.set()
    with pytest.raises(FatalModelError, match="closed"):
        queue.submit(prompt(1))


def test_stats_count_what_was_answered() -> None:
    """Requests, batches and tokens add up; a mean of nothing is 0."""
    assert LocalStats().mean_batch == 0
    model = Model()
    with queue_of(model, batch_size=4) as queue:
        for future in burst(queue, model, [prompt(3)] * 9):
            future.result(WAIT_S)
    stats = queue.stats
    assert (stats.requests, stats.batches, stats.mean_batch) == (9, 3, 3)
    assert (stats.prompt_tokens, stats.generated_tokens) == (27, 18)
    assert stats.busy_s > 0
