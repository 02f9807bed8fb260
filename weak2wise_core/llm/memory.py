"""Memory of a device: how to tell that it is full, and how much of it a cache may take."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

_SIGNS = ("out of memory", "can't allocate memory", "not enough memory")
_SHARE_OF_GPU = 0.5
"""Of the memory that is free when a session begins; the rest is for scores and masks."""
_SHARE_OF_RAM = 0.25
"""Of all memory of the machine, which other processes use too."""


def shortage(error: BaseException) -> str | None:
    """What the device said when it ran out of memory; None for any other error."""
    if isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in _SIGNS):
        return str(error).split("\n", 1)[0]
    return None


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
        if (reason := shortage(error)) is None:
            raise
    # only here, where the error and with it the tensors of the failed work are gone
    empty_cache(device_kind)
    raise MemoryError(reason)


def empty_cache(device_kind: str) -> None:
    """Give back what torch keeps of memory that is free."""
    import torch

    if device_kind == "cuda":
        torch.cuda.empty_cache()
    elif device_kind == "mps":
        torch.mps.empty_cache()


def tokens_in_memory(model: Any) -> int:
    """Tokens whose keys and values a cache for this model may hold."""
    import torch

    if model.device.type == "cuda":
        room = torch.cuda.mem_get_info(model.device)[0] * _SHARE_OF_GPU
    else:
        room = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * _SHARE_OF_RAM
    return int(room // _bytes_per_token(model))


def _bytes_per_token(model: Any) -> int:
    """Keys and values of one token in all layers."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    size: int = 2 * config.num_hidden_layers * heads * width * model.dtype.itemsize
    return size
