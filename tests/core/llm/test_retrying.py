import errno
import itertools
from datetime import UTC, datetime

import aiohttp
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weak2wise_core.config import Backend, ModelSpec
from weak2wise_core.errors import FatalModelError, RequestRefusedError, TransientModelError
from weak2wise_core.llm.retrying import (
    Backoff,
    Failure,
    FailureKind,
    failure_of_connection,
    failure_of_status,
    final_error,
    retry_after_s,
)

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
ADDRESS = "http://gpu/v1"


@given(st.integers(1, 100), st.integers(0, 10_000), st.floats(0, 1e6))
def test_a_wait_stays_between_its_bounds(failures: int, turn: int, asked: float) -> None:
    """Waits double up to the cap, vary by a factor of two, and never undercut Retry-After."""
    backoff = Backoff(first_s=0.5, cap_s=30, retry_after_cap_s=120)
    longest = min(30, 0.5 * 2.0 ** (failures - 1))
    assert longest / 2 <= backoff.delay_s(failures, turn=turn) <= longest
    delay = backoff.delay_s(failures, turn=turn, retry_after_s=asked)
    assert min(asked, 120) <= delay <= 120.5


def test_waits_of_one_length_are_spread_evenly() -> None:
    """A hundred calls that fail together do not come back together."""
    waits = sorted(Backoff().delay_s(6, turn=turn) for turn in range(100))
    gaps = [later - earlier for earlier, later in itertools.pairwise(waits)]
    assert max(gaps) < 0.04 * (waits[-1] - waits[0])


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, 0),
        ("7", 7),
        (" 1.5 ", 1.5),
        ("0", 0),
        ("-3", 0),
        ("nan", 0),
        ("soon", 0),
        ("", 0),
        ("inf", float("inf")),
        ("Thu, 01 Jan 2026 12:01:30 GMT", 90),
        ("Thu, 01 Jan 2026 12:01:30 -0000", 90),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0),
        ("Thu, 99 Jan 2026 11:00:00 GMT", 0),
    ],
)
def test_retry_after_is_read_as_seconds_and_as_date(value: str | None, seconds: float) -> None:
    """Both forms of the header are understood; nonsense and the past ask for nothing."""
    assert retry_after_s(value, now=NOW) == seconds


@pytest.mark.parametrize(
    ("status", "kind"),
    [(status, FailureKind.PASSING) for status in (408, 409, 425, 429, 500, 502, 503, 504, 529)]
    + [(status, FailureKind.REFUSED) for status in (302, 400, 413, 415, 422)]
    + [(status, FailureKind.FATAL) for status in (401, 402, 403, 404, 405, 410)],
)
def test_every_status_says_what_can_help(status: int, kind: FailureKind) -> None:
    """Passing failures are retried, refusals concern one request, fatal ones all."""
    failure = failure_of_status(status, message="why", headers={}, address=ADDRESS)
    assert (failure.kind, failure.cause) == (kind, f"HTTP {status}: why")


def test_an_exhausted_account_is_not_waited_for() -> None:
    """Status 429 for want of credit is fatal, unlike 429 for too many calls."""
    failure = failure_of_status(
        429, message="quota (insufficient_quota)", headers={}, address=ADDRESS
    )
    assert failure.kind is FailureKind.FATAL


def raised(outer: Exception, cause: Exception) -> Exception:
    """The outer error with its cause, as it arrives at a handler."""
    try:
        raise outer from cause
    except type(outer) as error:
        return error


@pytest.mark.parametrize(
    ("cause", "kind", "named"),
    [
        (aiohttp.ConnectionTimeoutError("slow"), FailureKind.UNREACHED, "slow"),
        (aiohttp.InvalidURL("http://"), FailureKind.UNREACHED, "http://"),
        (aiohttp.ServerDisconnectedError(), FailureKind.PASSING, "disconnected"),
        (aiohttp.SocketTimeoutError("slow"), FailureKind.PASSING, "slow"),
        (OSError(errno.EMFILE, "Too many"), FailureKind.PASSING, "ulimit -n"),
        (TimeoutError(), FailureKind.PASSING, "TimeoutError"),
    ],
)
def test_the_first_error_of_a_chain_decides(
    cause: Exception, kind: FailureKind, named: str
) -> None:
    """Packages in between call everything a connect timeout; the cause tells them apart."""
    error = raised(httpx2.ConnectTimeout("misleading"), cause)
    failure = failure_of_connection(error, address=ADDRESS)
    assert failure.kind is kind
    assert named in failure.cause


def test_an_error_around_the_call_is_not_taken_for_its_cause() -> None:
    """A call made while another error is handled is judged by its own."""
    failure = Failure(kind=FailureKind.FATAL, cause="", address="")
    try:
        raise aiohttp.ConnectionTimeoutError("unrelated")
    except aiohttp.ConnectionTimeoutError:
        try:
            raise TimeoutError("mine")
        except TimeoutError as error:
            failure = failure_of_connection(error, address=ADDRESS)
    assert (failure.kind, failure.cause) == (FailureKind.PASSING, "TimeoutError: mine")


def ended(kind: FailureKind, *, tries: int, reached: bool = True, retries: int = 2) -> object:
    """Class of the error that ends a call after so many tries, or None."""
    spec = ModelSpec(backend=Backend.OPENAI, model="m", base_urls=(ADDRESS,), retries=retries)
    failure = Failure(kind=kind, cause="why", address=ADDRESS)
    error = final_error(
        failure,
        spec=spec,
        tries=tries,
        ever_reached=reached,
        ever_answered=False,
        backoff=Backoff(unreached_tries=3),
    )
    return None if error is None else type(error)


def test_tries_end_when_they_are_used_up_and_not_before() -> None:
    """`retries` counts the further tries; refusals end a call at once."""
    assert ended(FailureKind.PASSING, tries=2) is None
    assert ended(FailureKind.PASSING, tries=3) is TransientModelError
    assert ended(FailureKind.PASSING, tries=1, retries=0) is TransientModelError
    assert ended(FailureKind.REFUSED, tries=1) is RequestRefusedError
    assert ended(FailureKind.FATAL, tries=1) is FatalModelError


def test_a_model_that_nobody_reached_is_given_up_soon() -> None:
    """Before the first contact a few tries decide, afterwards the same failure passes."""
    assert ended(FailureKind.UNREACHED, tries=2, reached=False, retries=8) is None
    assert ended(FailureKind.UNREACHED, tries=3, reached=False, retries=8) is FatalModelError
    assert ended(FailureKind.UNREACHED, tries=1, reached=False, retries=0) is FatalModelError
    assert ended(FailureKind.UNREACHED, tries=8, reached=True, retries=8) is None
    assert ended(FailureKind.UNREACHED, tries=9, reached=True, retries=8) is TransientModelError


def test_a_model_that_answered_before_is_not_given_up_for_one_status() -> None:
    """Not found may be a restart, forbidden may be one request; a refused key stays fatal."""
    spec = ModelSpec(backend=Backend.OPENAI, model="m", base_urls=(ADDRESS,), retries=2)

    def kind(status: int, *, answered: bool) -> object:
        error = final_error(
            failure_of_status(status, message="", headers={}, address=ADDRESS),
            spec=spec,
            tries=1,
            ever_reached=True,
            ever_answered=answered,
            backoff=Backoff(),
        )
        return None if error is None else type(error)

    assert [kind(status, answered=False) for status in (404, 403, 401)] == [FatalModelError] * 3
    assert [kind(status, answered=True) for status in (404, 403, 401)] == [
        None,
        RequestRefusedError,
        FatalModelError,
    ]
