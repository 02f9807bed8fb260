"""Several addresses of one model: which of them gets a call.

Calls with the same affinity go to the same address (rendezvous hashing), so that its prefix cache
serves them; an address that is down loses its share to the others, and gets it back when it lives.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from openai import AsyncOpenAI

_FAILURES_UNTIL_DOWN = 3

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Replica:
    """One address, its client, and what is known about its health."""

    url: str
    client: AsyncOpenAI
    failures: int = 0
    """Failed calls since the last one that succeeded."""
    probe_at: float | None = None
    """When the next call may test whether it lives again; None while it is up."""

    @property
    def address(self) -> str:
        """The address, fit for messages."""
        return shown_address(self.url)


def shown_address(url: str) -> str:
    """An address without user, password and query, fit for messages.

    Example:
        >>> shown_address("https://me:secret@host:8000/v1?key=secret")
        'https://host:8000/v1'
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class Replicas:
    """The addresses of one model.

    Args:
        replicas: At least one.
        cool_down_s: Seconds for which an address that is down is left alone.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        replicas: Sequence[Replica],
        *,
        cool_down_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._replicas = tuple(replicas)
        self._cool_down_s = cool_down_s
        self._clock = clock
        self._turns = 0

    def __iter__(self) -> Iterator[Replica]:
        return iter(self._replicas)

    def order(self, affinity: str, *, attempt: int) -> Iterator[Replica]:
        """Where to send one try of a call: first choice first, then where to turn to.

        Args:
            affinity: Calls with the same value prefer the same address; "" prefers none.
            attempt: How many tries of this call have failed; each starts one address further.

        Yields:
            The addresses that are up, and one that is down when it is time to test it; all of
            them where none is up. Health is looked up when an address is reached, not before.
        """
        ranked = self._ranked(affinity)
        first = attempt % len(ranked)
        ranked = ranked[first:] + ranked[:first]
        somebody_up = False
        for replica in ranked:
            if self._may_be_asked(replica):
                somebody_up = True
                yield replica
        if not somebody_up:
            yield from ranked

    def answered(self, replica: Replica) -> None:
        """The address gave a reply, or refused with one: it is up."""
        if replica.probe_at is not None and len(self._replicas) > 1:
            _log.warning("%s answers again", replica.address)
        replica.failures = 0
        replica.probe_at = None

    def failed(self, replica: Replica, *, reached: bool) -> None:
        """The address gave none: it is down when nobody was reached there, or failures repeat."""
        replica.failures += 1
        if reached and replica.failures < _FAILURES_UNTIL_DOWN:
            return
        if replica.probe_at is None and len(self._replicas) > 1:
            _log.warning("%s is down; its calls move to other addresses", replica.address)
        replica.probe_at = self._clock() + self._cool_down_s

    def _may_be_asked(self, replica: Replica) -> bool:
        if replica.probe_at is None:
            return True
        now = self._clock()
        if now < replica.probe_at:
            return False
        replica.probe_at = now + self._cool_down_s  # one call tests it; the others stay away
        return True

    def _ranked(self, affinity: str) -> tuple[Replica, ...]:
        if len(self._replicas) == 1:
            return self._replicas
        if not affinity:
            self._turns += 1
            first = self._turns % len(self._replicas)
            return self._replicas[first:] + self._replicas[:first]
        return tuple(sorted(self._replicas, key=lambda replica: _weight(affinity, replica.url)))


def _weight(affinity: str, url: str) -> bytes:
    text = f"{affinity}\0{url}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=8).digest()
