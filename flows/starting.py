"""Ctrl-C and SIGTERM before a command has begun its work, from the first import on.

Only the standard library is imported here: whatever else is imported takes time in which a signal
may come. A command that has begun sets handlers of its own; see `flows.commands.stopping`.
"""

import signal
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)
INTERRUPTED, TERMINATED = 130, 143


class Stopped(SystemExit):
    """A signal came while nothing else was ready to take it.

    Args:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(TERMINATED if number == signal.SIGTERM else INTERRUPTED)

    def __str__(self) -> str:
        return "stopped; nothing that was stored is lost. Start the same command again to go on"


def stop_at_signals() -> None:
    """Let the first signal raise `Stopped`, and a second one end the process at once.

    What whoever started us has us ignore, as `nohup` does, stays ignored.
    """
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def _stop(number: int, _: FrameType | None) -> NoReturn:
    for one in SIGNALS:
        if signal.getsignal(one) is _stop:
            signal.signal(one, signal.SIG_DFL)
    raise Stopped(number)
