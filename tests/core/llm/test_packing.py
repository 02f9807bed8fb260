"""Plans of continuous batching: room for what waits, and nobody is overtaken for ever."""

from hypothesis import given
from hypothesis import strategies as st

from tests.core.llm.machines import prompt
from weak2wise_core.llm.jobs import Job
from weak2wise_core.llm.packing import SHORTEST_CACHE, StreamPlan, admitted, plan_stream

lengths = st.lists(st.integers(1, 3000), min_size=1, max_size=30)


def jobs(of: list[int]) -> list[Job]:
    """Requests of so many prompt tokens."""
    return [Job(prompt(length)) for length in of]


@given(lengths, st.integers(1, 64), st.none() | st.integers(1, 50_000), st.integers(0, 200_000))
def test_a_plan_has_room_for_the_longest_request(
    of: list[int], slots: int, most: int | None, memory: int
) -> None:
    """Whatever memory says, every request that waits fits alone, and bounds hold for the rest."""
    waiting = jobs(of)
    plan = plan_stream(waiting, slots=slots, most_tokens=most, memory_tokens=memory)
    assert all(plan.fits(job) for job in waiting)
    assert 1 <= plan.slots <= slots
    assert plan.longest <= plan.cache_tokens <= max(memory, plan.longest)
    assert plan.step_tokens >= plan.slots
    assert plan.longest < max(2 * max(job.prompt.most_tokens for job in waiting), 257)
    if most is not None:
        assert plan.slots == 1 or plan.slots * plan.longest <= most


@given(lengths, st.integers(1, 64))
def test_halving_a_plan_that_does_not_fit_ends_with_a_single_request(
    of: list[int], slots: int
) -> None:
    """Each attempt has fewer slots and a smaller cache than the one before."""
    waiting = jobs(of)
    plan = plan_stream(waiting, slots=slots, most_tokens=None, memory_tokens=10**9)
    while plan.slots > 1:
        smaller = plan_stream(
            waiting, slots=slots, most_tokens=plan.cache_tokens // 2, memory_tokens=10**9
        )
        assert smaller.slots < plan.slots
        assert smaller.cache_tokens < plan.cache_tokens
        plan = smaller
    assert plan.cache_tokens == plan.longest


@given(lengths, st.integers(0, 40), st.integers(1, 3000))
def test_requests_are_admitted_in_the_order_of_their_waiting(
    of: list[int], most: int, longest: int
) -> None:
    """What is admitted is a beginning of the line; it ends where one is too long or room ends."""
    waiting = jobs(of)
    plan = StreamPlan(slots=4, longest=longest, cache_tokens=4 * longest, step_tokens=1024)
    taken = admitted(waiting, plan=plan, most=most)
    assert taken == waiting[: len(taken)]
    assert len(taken) <= most
    assert all(plan.fits(job) for job in taken)
    if len(taken) < min(most, len(waiting)):
        assert not plan.fits(waiting[len(taken)])


def test_plans_come_in_few_sizes() -> None:
    """A slightly longer request does not need another session."""
    sizes = {
        plan_stream(jobs([length]), slots=8, most_tokens=None, memory_tokens=10**9).longest
        for length in range(1, 1000)
    }
    assert sizes == {SHORTEST_CACHE, 512, 1024}
