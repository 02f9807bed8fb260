from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from weak2wise_core.llm.replicas import Replica, Replicas, shown_address

COOL_DOWN_S = 5.0
URLS = [f"http://gpu-{number}:8000/v1" for number in range(4)]
AFFINITIES = [f"question-{number}" for number in range(400)]


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        """Seconds since the beginning."""
        return self.now


def pool(count: int = 4) -> tuple[Replicas, Clock]:
    """Addresses that are never asked, and their clock."""
    clock = Clock()
    replicas = [Replica(url, cast("Any", None)) for url in URLS[:count]]
    return Replicas(replicas, cool_down_s=COOL_DOWN_S, clock=clock), clock


def chosen(replicas: Replicas, affinity: str, attempt: int = 0) -> Replica:
    """Where a try goes first."""
    return next(replicas.order(affinity, attempt=attempt))


def choices(replicas: Replicas) -> dict[str, str]:
    """First choice of many questions."""
    return {affinity: chosen(replicas, affinity).url for affinity in AFFINITIES}


def test_calls_with_one_affinity_stay_together_and_shares_are_even() -> None:
    """The choice is stable, the same in every process, and spreads over all addresses."""
    replicas, _ = pool()
    again, _ = pool()
    assert choices(replicas) == choices(again)
    counts = [list(choices(replicas).values()).count(url) for url in URLS]
    assert min(counts) > 60


def test_only_the_share_of_a_dead_address_moves() -> None:
    """Whoever preferred a living address stays there; the rest spreads over the others."""
    replicas, _ = pool()
    before = choices(replicas)
    dead = next(iter(replicas))
    replicas.failed(dead, reached=False)
    after = choices(replicas)
    moved = [after[a] for a in AFFINITIES if before[a] == dead.url]
    assert dead.url not in after.values()
    assert set(moved) == set(URLS) - {dead.url}
    assert all(after[a] == before[a] for a in AFFINITIES if before[a] != dead.url)


def test_one_call_tests_a_dead_address_and_success_brings_its_share_back() -> None:
    """After the cool-down one call goes there, the others wait for what it finds."""
    replicas, clock = pool()
    before = choices(replicas)
    dead = next(iter(replicas))
    replicas.failed(dead, reached=False)
    clock.now += COOL_DOWN_S
    mine = [affinity for affinity in AFFINITIES if before[affinity] == dead.url]
    tested = [chosen(replicas, affinity) is dead for affinity in mine]
    assert (tested[0], sum(tested)) == (True, 1)
    replicas.answered(dead)
    assert choices(replicas) == before


def test_repeated_failures_take_an_address_down_and_single_ones_do_not() -> None:
    """Two errors in a row move nothing, the third does, and any answer resets the count."""
    replicas, _ = pool(2)
    first = chosen(replicas, "q")
    for _ in range(2):
        replicas.failed(first, reached=True)
    replicas.answered(first)
    for _ in range(2):
        replicas.failed(first, reached=True)
    assert chosen(replicas, "q") is first
    replicas.failed(first, reached=True)
    assert chosen(replicas, "q") is not first


def test_a_call_without_affinity_goes_round() -> None:
    """Where nothing is shared every address gets the same number of calls."""
    replicas, _ = pool()
    urls = [chosen(replicas, "").url for _ in range(40)]
    assert {urls.count(url) for url in URLS} == {10}


@given(st.text(max_size=20), st.integers(0, 9), st.sets(st.integers(0, 3)))
def test_every_order_names_living_addresses_once_and_is_never_empty(
    affinity: str, attempt: int, dead: set[int]
) -> None:
    """A try asks each address at most once; where all are down all are asked."""
    replicas, _ = pool()
    for number, replica in enumerate(replicas):
        if number in dead:
            replicas.failed(replica, reached=False)
    urls = [replica.url for replica in replicas.order(affinity, attempt=attempt)]
    living = {url for number, url in enumerate(URLS) if number not in dead}
    assert len(urls) == len(set(urls))
    assert set(urls) == (living or set(URLS))


def test_each_try_of_a_call_starts_at_another_address() -> None:
    """A call that failed somewhere turns to its second choice first."""
    replicas, _ = pool()
    assert {chosen(replicas, "q", attempt).url for attempt in range(4)} == set(URLS)


def test_an_address_that_dies_on_the_way_is_not_asked_again_in_the_same_try() -> None:
    """Health is looked up when an address is reached."""
    replicas, _ = pool(2)
    asked = []
    for replica in replicas.order("q", attempt=0):
        asked.append(replica.url)
        replicas.failed(replica, reached=False)
    assert sorted(asked) == URLS[:2]


def test_messages_show_no_secrets_of_an_address() -> None:
    """User, password and query stay out of what is shown."""
    assert shown_address("https://me:pw@host/v1?key=s") == "https://host/v1"
    assert shown_address("http://[::1]:8000/v1") == "http://[::1]:8000/v1"
