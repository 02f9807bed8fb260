"""How the time of some work grows with its input."""

import gc
import time
from collections.abc import Callable

TIMES = 8
_FLOOR = 0.002  # seconds that no clock and no cache decides


def growth(work: Callable[[int], object], size: int) -> float:
    """How many times more time `work` takes for an input eight times as large.

    8 or less for linear work, 64 for quadratic work. What else the machine does has no part in
    it: each time is the least of three of the calling thread's own clock, without collections.
    """
    return (_least(work, TIMES * size) + _FLOOR) / (_least(work, size) + _FLOOR)


def _least(work: Callable[[int], object], size: int) -> float:
    collecting = gc.isenabled()
    gc.disable()
    try:
        return min(_once(work, size) for _ in range(3))
    finally:
        if collecting:
            gc.enable()


def _once(work: Callable[[int], object], size: int) -> float:
    begin = time.thread_time()
    work(size)
    return time.thread_time() - begin
