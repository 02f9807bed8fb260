"""What a failed try means: whether to try again, when, and what to tell the reader at the end."""

import errno
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Self

import aiohttp
from aiohttp.http_exceptions import PayloadEncodingError

from weak2wise_core.config import ModelSpec
from weak2wise_core.errors import (
    FatalModelError,
    ModelError,
    RequestRefusedError,
    TransientModelError,
)
from weak2wise_core.llm.replicas import shown_address
from weak2wise_core.llm.replies import shortened
from weak2wise_core.records import Usage

_GOLDEN_RATIO = (math.sqrt(5) - 1) / 2
_PASSING_STATUSES = frozenset({408, 409, 425, 429})
_GIVEN_UP_ON_THE_WAY = frozenset({504, 524})  # by a proxy: the model may be writing still
_FATAL_STATUSES = frozenset({401, 402, 403, 404, 405, 410})
_NEVER_CONNECTED = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
)
_IN_WORDS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((aiohttp.ConnectionTimeoutError,), "no connection in time"),
    ((aiohttp.SocketTimeoutError,), "no byte came for timeout_s seconds"),
    ((aiohttp.ServerDisconnectedError,), "the server closed the connection"),
    ((ConnectionResetError, BrokenPipeError), "the connection was reset"),
    ((aiohttp.ClientPayloadError, PayloadEncodingError), "the body was cut off"),
)
_NO_CREDIT = "insufficient_quota"  # sent with status 429, but no waiting mends it


class FailureKind(StrEnum):
    """What can help after a failed try."""

    PASSING = "passing"
    """The same request may succeed later."""
    UNREACHED = "unreached"
    """Nobody took the request: another address may."""
    REFUSED = "refused"
    """Another request may succeed, this one never."""
    FATAL = "fatal"
    """Nothing, until a person changes something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One try that gave no reply."""

    kind: FailureKind
    cause: str
    """For the reader, without any key."""
    address: str
    status: int | None = None
    """HTTP status, None where none was received."""
    retry_after_s: float = 0.0
    """Seconds that the server asked us to wait."""
    foreign: bool = False
    """What came, whole, was no reply of such a server at all: a page of HTML, another JSON."""
    may_cost: bool = False
    """Whether the server may charge for the try: it had the request, and did not refuse it."""
    usage: Usage = field(default_factory=Usage)
    """What the server counted for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How long to wait between tries, and how soon to give an address up."""

    first_s: float = 0.5
    """Longest wait after the first failure; it doubles with every further one."""
    cap_s: float = 30.0
    retry_after_cap_s: float = 120.0
    """Longest wait that a server may ask for."""
    unreached_tries: int = 3
    """Tries of one call after which a model that never gave a sign of itself is given up."""
    cool_down_s: float = 5.0
    """How long an address that is down gets no calls."""

    @classmethod
    def of(cls, spec: ModelSpec) -> Self:
        """The waits of a model: all in proportion to the first one."""
        return cls(
            first_s=spec.backoff_s, cap_s=60 * spec.backoff_s, cool_down_s=10 * spec.backoff_s
        )

    def delay_s(self, failures: int, *, turn: int, retry_after_s: float = 0.0) -> float:
        """Seconds to wait before the next try.

        Args:
            failures: Failed tries of this call so far, from 1.
            turn: Different for every wait of a model. Waits of equal length are spread evenly
                over the upper half of the interval, without random numbers.
            retry_after_s: What the server asked for, 0 for nothing; never undercut below the cap.
        """
        jitter = (turn * _GOLDEN_RATIO) % 1.0
        longest = min(self.cap_s, self.first_s * 2.0 ** min(failures - 1, 60))
        asked = min(retry_after_s, self.retry_after_cap_s)
        spread = jitter * min(self.first_s, longest)
        return max(longest * (1.0 + jitter) / 2, asked + spread if asked > 0 else 0.0)


def retry_after_s(value: str | None, *, now: datetime) -> float:
    """Read a Retry-After header: seconds, or a date; 0 where there is nothing to read.

    Source: RFC 9110, section 10.2.3.

    Example:
        >>> retry_after_s("1.5", now=datetime.now(UTC))
        1.5
    """
    if value is None:
        return 0.0
    try:
        seconds = float(value)
    except ValueError:
        seconds = _seconds_until(value, now=now)
    return seconds if seconds > 0 else 0.0  # also for NaN


def _seconds_until(date: str, *, now: datetime) -> float:
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return 0.0
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()


def failure_of_status(
    status: int, *, message: str, headers: Mapping[str, str], address: str
) -> Failure:
    """What an HTTP status other than success means.

    Args:
        status: The status.
        message: What the server says, shortened and without any key.
        headers: Of the reply, with names that ignore case.
        address: For messages.
    """
    wait_s = retry_after_s(headers.get("retry-after"), now=datetime.now(UTC))
    if status in _FATAL_STATUSES or (status == 429 and _NO_CREDIT in message):
        kind = FailureKind.FATAL
    elif status in _PASSING_STATUSES or status >= 500:
        kind = FailureKind.PASSING
    else:
        kind = FailureKind.REFUSED
    return Failure(
        kind=kind,
        cause=f"HTTP {status}: {message}" if message else f"HTTP {status}",
        address=address,
        status=status,
        retry_after_s=wait_s,
        may_cost=status in _GIVEN_UP_ON_THE_WAY,
    )


def failure_of_connection(error: BaseException, *, address: str) -> Failure:
    """What an error below HTTP means: refused, reset, timed out or cut.

    The packages in between rename errors freely (a refused connection arrives as a connect
    timeout), so the error that began the chain decides.
    """
    root = error
    while root.__cause__ is not None and not isinstance(root, _NEVER_CONNECTED):
        root = root.__cause__
    if getattr(root, "errno", None) in {errno.EMFILE, errno.ENFILE}:
        cause = "too many open files; raise `ulimit -n` or lower execution.in_flight"
        return Failure(kind=FailureKind.PASSING, cause=cause, address=address)
    reached = not isinstance(root, _NEVER_CONNECTED)
    return Failure(
        kind=FailureKind.PASSING if reached else FailureKind.UNREACHED,
        cause=_in_words(root),
        address=address,
        may_cost=reached,
    )


def _in_words(root: BaseException) -> str:
    technical = shortened(f"{type(root).__name__}: {root}").rstrip(".: ")
    words = next((text for kinds, text in _IN_WORDS if isinstance(root, kinds)), None)
    return technical if words is None else f"{words} ({technical})"


def final_error(
    failure: Failure,
    *,
    spec: ModelSpec,
    tries: int,
    ever_reached: bool,
    ever_answered: bool,
    backoff: Backoff,
) -> ModelError | None:
    """The error that ends a call after a failed try, or None when it should be tried again.

    Args:
        failure: Of the last try.
        spec: The model.
        tries: Tries of this call so far.
        ever_reached: Whether any call to this model was ever answered with anything.
        ever_answered: Whether one was answered with a reply; then an address that is gone may be
            back soon, and a forbidden request is that request's affair.
        backoff: When to give up a model that was never reached.
    """
    where = f"{spec.model} at {failure.address}"
    if ever_answered and failure.status in {404, 405, 410}:
        failure = replace(failure, kind=FailureKind.PASSING)
    if ever_answered and failure.status == 403:
        failure = replace(failure, kind=FailureKind.REFUSED)
    if failure.kind is FailureKind.FATAL:
        return FatalModelError(_fatal_message(failure, spec=spec, where=where))
    if failure.kind is FailureKind.REFUSED:
        return RequestRefusedError(f"{where} refused the request ({failure.cause})")
    stranger = _stranger_message(
        failure, spec=spec, ever_reached=ever_reached, ever_answered=ever_answered
    )
    if stranger is not None:
        enough = tries >= min(backoff.unreached_tries, spec.retries + 1)
        return FatalModelError(stranger) if enough else None
    if tries > spec.retries:
        return TransientModelError(
            f"{where} gave no reply in {tries} {'try' if tries == 1 else 'tries'}; the last "
            f"failure: {failure.cause}. Run again later: replies so far are kept"
        )
    return None


def _stranger_message(
    failure: Failure, *, spec: ModelSpec, ever_reached: bool, ever_answered: bool
) -> str | None:
    """Why a few tries are enough, or None where patience is right.

    A server that never gave a sign of itself has probably another address. One that gave replies
    before and now shows a page of HTML is down, like one that sends status 503.
    """
    if failure.kind is FailureKind.UNREACHED and not ever_reached:
        addresses = ", ".join(shown_address(url) for url in spec.base_urls)
        return (
            f"{spec.model}: no server answers at {addresses} ({failure.cause}). "
            "Start the server or correct base_urls"
        )
    if failure.foreign and not ever_answered:
        return (
            f"{spec.model}: what answers at {failure.address} is no OpenAI-compatible server "
            f"({failure.cause}). Correct base_urls; most servers want /v1 at the end"
        )
    return None


def _fatal_message(failure: Failure, *, spec: ModelSpec, where: str) -> str:
    if failure.status in {401, 403} and spec.key_source is not None:
        return (
            f"{where}: the key in {spec.key_source} was refused ({failure.cause}). "
            "Put a valid key there"
        )
    if failure.status in {401, 403}:
        return (
            f"{where}: the server wants a key ({failure.cause}). "
            "Say in the recipe where it is: api_key_env or api_key_block"
        )
    if failure.status in {402, 429}:
        return f"{where}: the account has no credit left ({failure.cause}). Top it up and run again"
    return (
        f"{where}: the server knows no such model or path ({failure.cause}). "
        "Correct model or base_urls; most servers want /v1 at the end of the address"
    )
