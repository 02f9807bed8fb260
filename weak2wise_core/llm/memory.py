"""Work that a device may have no room for."""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_SIGNS = ("out of memory", "can't allocate memory", "not enough memory")


def within_memory(work: Callable[[], T], *, device_kind: str) -> T:
    """The result of some work on a device.

    Args:
        work: What may be too much.
        device_kind: `cuda`, `mps` or `cpu`.

    Raises:
        MemoryError: There is no room for it; less work at a time may still fit.
    """
    try:
        return work()
    except RuntimeError as error:
        reason = str(error).split("\n", 1)[0]
        if not any(sign in str(error).lower() for sign in _SIGNS):
            raise
    # only here, where the error and with it the tensors of the failed work are gone
    _empty_cache(device_kind)
    raise MemoryError(reason)


def _empty_cache(device_kind: str) -> None:
    import torch

    if device_kind == "cuda":
        torch.cuda.empty_cache()
    elif device_kind == "mps":
        torch.mps.empty_cache()
