"""Whose turn it is to ask a request that several builds on one store need at the same moment.

A turn is a lock of the operating system on one byte of an empty file, at a place that the key of
the request decides. Nothing has to be written, tidied up or believed: however its holder ends, the
system takes the lock back at that moment, and whoever waits goes on. A turn saves money and decides
nothing: without one a request is asked twice, and the reply that is stored first counts for both.
"""

import errno
import fcntl
import os
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

PATIENCE_S: Final = 900.0
"""How long somebody else's turn is respected. A process that was halted never ends its own."""

_PLACES: Final = (1 << 62) - 1  # of bytes in a file, whose length is a signed number of 64 bits
_TAKEN: Final = frozenset({errno.EACCES, errno.EAGAIN})
_FLOCK: Final = "hhqqi4x"  # struct flock of Linux: type, whence, start, length, process


class Turns:
    """The turns of one store in this process.

    On Linux every opened store is somebody of its own. Elsewhere a lock belongs to the process: two
    stores that one process opened on the same file then do not wait for each other.
    """

    def __init__(self, path: Path) -> None:
        """Open the file.

        Args:
            path: An empty file; it is made where it is missing, and never written.

        Raises:
            OSError: It cannot be opened.
        """
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._held: set[int] = set()
        self._closed = False

    def take(self, place: int) -> bool:
        """Take a place if nobody holds it; True too where the file system has no locks."""
        if place in self._held:
            return False
        try:
            if not self._closed:
                _lock(self._descriptor, place, kind=fcntl.F_WRLCK)
        except OSError as error:
            if error.errno in _TAKEN:
                return False
        self._held.add(place)
        return True

    def give(self, place: int) -> None:
        """Give a place back."""
        self._held.discard(place)
        if not self._closed:
            with suppress(OSError):
                _lock(self._descriptor, place, kind=fcntl.F_UNLCK)

    def close(self) -> None:
        """Give every place back."""
        if not self._closed:
            self._closed = True
            os.close(self._descriptor)


class Turn:
    """One build's turn to ask one request; a context manager that gives it back.

    Args:
        turns: Of the store.
        key: Of the request.
        answered: Whether the store has a reply by now.
        patience_s: Seconds for which somebody else's turn is respected.
    """

    def __init__(
        self,
        turns: Turns,
        key: bytes,
        *,
        answered: Callable[[], bool],
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._turns = turns
        self._place = int.from_bytes(key[:8], "big") & _PLACES
        self._answered = answered
        self._patience_s = patience_s
        self._refused_at: float | None = None
        self._mine = False

    def take(self) -> bool:
        """Whether the request is to be asked now.

        False while somebody else asks it, and where a reply was stored just before; who looks into
        the store and tries again comes to the one or the other.
        """
        if not self._mine and self._turns.take(self._place):
            self._mine = True
            if self._answered():  # by whoever had the turn before
                self._give()
        return self._mine or self._too_long()

    def _too_long(self) -> bool:
        now = time.monotonic()
        if self._refused_at is None:
            self._refused_at = now
        return now - self._refused_at > self._patience_s

    def _give(self) -> None:
        if self._mine:
            self._mine = False
            self._turns.give(self._place)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._give()


def _lock(descriptor: int, place: int, *, kind: int) -> None:
    if sys.platform == "linux":
        # A lock of the opened file, not of the process: closing another handle does not drop it.
        fcntl.fcntl(
            descriptor, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, kind, os.SEEK_SET, place, 1, 0)
        )
    else:
        _process_lock(descriptor, place, kind=kind)


def _process_lock(descriptor: int, place: int, *, kind: int) -> None:
    free = kind == fcntl.F_UNLCK
    how = fcntl.LOCK_UN if free else fcntl.LOCK_EX | fcntl.LOCK_NB
    fcntl.lockf(descriptor, how, 1, place)
