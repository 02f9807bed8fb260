"""What a training runs on: packages, device, number formats, processes."""

import importlib.util
import os
from dataclasses import dataclass

from weak2wise_core.config.training import Precision, TrainingSettings
from weak2wise_core.errors import MissingExtraError, TrainingRefusedError

_PACKAGES = ("torch", "accelerate", "datasets", "trl")

SMALL_MODEL = 20_000_000
"""Parameters; a smaller model waits for several CPU threads longer than they help it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Everything that `auto` in the settings stands for, on this machine."""

    device: str
    """cuda, mps or cpu."""
    weights: str
    """Number format of the weights that are trained or, with adapters, of the frozen ones."""
    autocast: bool
    """Arithmetic in bfloat16 over weights of another format."""
    attention: str
    saved_as: str
    processes: int
    """Processes that train together."""
    checkpointing: bool
    """Activations are computed again in the backward pass."""


def require_packages(settings: TrainingSettings) -> None:
    """Make sure that what a training imports is installed; nothing is imported yet.

    Raises:
        MissingExtraError: Something is not.
    """
    wanted = [*_PACKAGES, *(["peft"] if settings.lora else [])]
    missing = [name for name in wanted if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"training needs {', '.join(missing)}, not installed here. "
            "Run: pip install 'weak2wise[train]'"
        )
    if settings.optimizer == "adamw_8bit" and importlib.util.find_spec("bitsandbytes") is None:
        raise MissingExtraError(
            "training.optimizer adamw_8bit needs bitsandbytes, not installed here. "
            "Run: pip install bitsandbytes, or set training.optimizer: adamw"
        )


def look_at(settings: TrainingSettings) -> Machine:
    """Settle the settings for this machine and this process.

    Raises:
        TrainingRefusedError: They demand what the machine does not have.
    """
    device = _device(settings.device)
    _check_cuda_only(settings, device)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    _check_gpus(device)
    accumulation(settings, processes=processes)
    precision = _precision(settings.precision, device)
    half = precision is not Precision.FLOAT32
    whole = precision is Precision.BFLOAT16 and settings.lora is None
    computed = "bfloat16" if half else "float32"
    checkpointing = settings.gradient_checkpointing
    return Machine(
        device=device,
        weights="float32" if whole else computed,
        autocast=half and precision is not Precision.BFLOAT16_WEIGHTS,
        attention=_attention(settings.attention, device, half=half),
        saved_as=computed if settings.saved_as == "auto" else settings.saved_as,
        processes=processes,
        checkpointing=device == "cuda" if checkpointing is None else checkpointing,
    )


def accumulation(settings: TrainingSettings, *, processes: int) -> int:
    """Batches of one process in one optimiser step.

    Raises:
        TrainingRefusedError: The global batch cannot be shared out evenly.
    """
    at_once = settings.per_device_batch_size * processes
    if settings.global_batch_size % at_once:
        raise TrainingRefusedError(
            f"training.global_batch_size {settings.global_batch_size} cannot be shared out evenly: "
            f"{processes} process{'es' if processes > 1 else ''} with per_device_batch_size "
            f"{settings.per_device_batch_size} take {at_once} rows at once. Make it a multiple of "
            f"{at_once}, or lower per_device_batch_size"
        )
    return settings.global_batch_size // at_once


def process_count(settings: TrainingSettings) -> int:
    """How many processes the settings ask for here.

    Where they do not say: one per GPU, or as many of the GPUs as share out the global batch evenly.
    """
    if settings.processes is not None or settings.device in {"cpu", "mps"}:
        return settings.processes or 1
    import torch

    per_device, whole = settings.per_device_batch_size, settings.global_batch_size
    gpus = torch.cuda.device_count()
    return next((n for n in range(gpus, 1, -1) if whole % (per_device * n) == 0), 1)


def _device(asked: str) -> str:
    import torch

    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if asked == "auto":
        return next(name for name, found in there.items() if found)
    if not there[asked]:
        what = "no GPU" if asked == "cuda" else f"no device {asked}"
        found = ", ".join(name for name, is_there in there.items() if is_there)
        raise TrainingRefusedError(
            f"training.device is {asked}, and torch finds {what} here, only {found}. Run it on a "
            "machine that has one, or set training.device: auto"
        )
    return asked


def _check_cuda_only(settings: TrainingSettings, device: str) -> None:
    if device == "cuda":
        return
    wanted = {
        "sharding: fsdp": settings.sharding == "fsdp",
        "optimizer: adamw_8bit": settings.optimizer == "adamw_8bit",
        "attention: flash_attention_2": settings.attention == "flash_attention_2",
    }
    if named := [name for name, is_wanted in wanted.items() if is_wanted]:
        raise TrainingRefusedError(
            f"training.{' and training.'.join(named)} need a CUDA GPU, and this training would run "
            f"on {device}. Change the setting, or run it on a machine with a GPU"
        )


def _check_gpus(device: str) -> None:
    """Every process of this machine has a GPU of its own."""
    import torch

    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if device == "cuda" and here > torch.cuda.device_count():
        raise TrainingRefusedError(
            f"training.processes is {here}, and there are {torch.cuda.device_count()} GPUs here. "
            "Lower it, or leave it out: then there is one process per GPU"
        )


def _precision(asked: Precision, device: str) -> Precision:
    import torch

    supported = device != "cuda" or torch.cuda.is_bf16_supported()
    if asked is Precision.AUTO:
        return Precision.BFLOAT16 if device == "cuda" and supported else Precision.FLOAT32
    if asked is not Precision.FLOAT32 and not supported:
        raise TrainingRefusedError(
            f"training.precision is {asked.value}, which this GPU cannot compute in. "
            "Set training.precision: float32"
        )
    return asked


def _attention(asked: str, device: str, *, half: bool) -> str:
    if asked != "auto":
        return asked
    from transformers.utils.import_utils import is_flash_attn_2_available

    installed = device == "cuda" and half and is_flash_attn_2_available()
    return "flash_attention_2" if installed else "sdpa"


def memory_of_gpu() -> int:
    """Bytes of the smallest GPU that this process sees; 0 without one."""
    import torch

    sizes: list[int] = [
        torch.cuda.get_device_properties(number).total_memory
        for number in range(torch.cuda.device_count())
    ]
    return min(sizes, default=0)


def versions() -> dict[str, str]:
    """Versions of the packages that a training depends on."""
    import importlib.metadata

    names = ("weak2wise", "torch", "transformers", "trl", "accelerate", "datasets", "peft")
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
