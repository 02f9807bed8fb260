"""What a failed try means: whether to try again, when, and what to tell the reader at the end."""

import errno
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum

import aiohttp

from weak2wise_core.config import ModelSpec
from weak2wise_core.errors import (
    FatalModelError,
    ModelError,
    RequestRefusedError,
    TransientModelError,
)
from weak2wise_core.llm.replicas import shown_address
from weak2wise_core.llm.replies import shortened

_GOLDEN_RATIO = (math.sqrt(5) - 1) / 2
_PASSING_STATUSES = frozenset({408, 409, 425, 429})
_FATAL_STATUSES = frozenset({401, 402, 403, 404, 405, 410})
_NEVER_CONNECTED = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How long to wait between tries, and how soon to give an address up."""

    first_s: float = 0.5
    """Longest wait after the first failure; it doubles with every further one."""
    cap_s: float = 30.0
    retry_after_cap_s: float = 120.0
    """Longest wait that a server may ask for."""
    unreached_tries: int = 3
    """Tries of one call after which a model that nobody ever reached is given up."""
    cool_down_s: float = 5.0
    """How long an address that is down gets no calls."""

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
    return Failure(
        kind=FailureKind.UNREACHED if isinstance(root, _NEVER_CONNECTED) else FailureKind.PASSING,
        cause=shortened(f"{type(root).__name__}: {root}").removesuffix(":"),
        address=address,
    )


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
    if failure.kind is FailureKind.UNREACHED and not ever_reached:
        if tries >= min(backoff.unreached_tries, spec.retries + 1):
            return FatalModelError(_nobody_message(failure, spec=spec))
    elif tries > spec.retries:
        return TransientModelError(
            f"{where} gave no reply in {tries} {'try' if tries == 1 else 'tries'}; the last one "
            f"failed with {failure.cause}. Run again later: replies so far are kept"
        )
    return None


def _nobody_message(failure: Failure, *, spec: ModelSpec) -> str:
    addresses = ", ".join(shown_address(url) for url in spec.base_urls)
    return (
        f"{spec.model}: no server answers at {addresses} ({failure.cause}). "
        "Start the server or correct base_urls"
    )


def _fatal_message(failure: Failure, *, spec: ModelSpec, where: str) -> str:
    if failure.status in {401, 403} and spec.api_key_env is not None:
        return (
            f"{where}: the key in ${spec.api_key_env} was refused ({failure.cause}). "
            "Set the variable to a valid key"
        )
    if failure.status in {401, 403}:
        return (
            f"{where}: the server wants a key ({failure.cause}). "
            "Name the environment variable that holds it in api_key_env"
        )
    if failure.status in {402, 429}:
        return f"{where}: the account has no credit left ({failure.cause}). Top it up and run again"
    return (
        f"{where}: the server knows no such model or path ({failure.cause}). "
        "Correct model or base_urls; most servers want /v1 at the end of the address"
    )
