"""Weights and tokenizer of a local model, from a folder or a hub, onto a device."""

import logging
from typing import Any

from weak2wise_core.config import ModelSpec
from weak2wise_core.errors import FatalModelError, MissingExtraError
from weak2wise_core.llm.engine import Engine
from weak2wise_core.llm.lazy import IMPORTING
from weak2wise_core.llm.tokens import Tokens

logger = logging.getLogger(__name__)

# A model with fewer parameters gains nothing from several CPU threads and waits for them instead:
# 0.9 million parameters ran 5 to 10 times slower with two threads on two busy cores than with one.
_SMALL_MODEL = 20_000_000


def load_engine(spec: ModelSpec) -> Engine:
    """Load a model and its tokenizer.

    A model of fewer than 20 million parameters on a CPU is run by one thread, which is a setting of
    torch and holds for what else this process computes afterwards.

    Raises:
        MissingExtraError: torch is not installed.
        UsageError: The tokenizer cannot be loaded.
        FatalModelError: The model cannot be loaded, or its device is not there.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError(
            f"torch, which runs the local model {spec.model}, is not installed. "
            "Run: pip install 'weak2wise[local]'"
        ) from error
    tokens = Tokens.load(spec.tokenizer or spec.model)
    device = _device(spec.device)
    model = _load_weights(spec, device=device)
    if device.startswith("cpu") and model.num_parameters() < _SMALL_MODEL:
        torch.set_num_threads(1)
    logger.info("%s runs on %s in %s", spec.model, device, model.dtype)
    return Engine(model.eval(), tokens=tokens, batching=spec.batching, slots=spec.batch_size)


def _load_weights(spec: ModelSpec, *, device: str) -> Any:
    with IMPORTING:
        import torch
        from safetensors import SafetensorError
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # it breaks displays
    auto = "float32" if device.startswith("cpu") else "bfloat16"
    try:
        with IMPORTING:
            return AutoModelForCausalLM.from_pretrained(
                spec.model,
                dtype=getattr(torch, auto if spec.dtype == "auto" else spec.dtype),
                device_map=device,
                trust_remote_code=False,  # where it is not set, the library asks at the terminal
                use_safetensors=True,  # the older format is a pickle, which can run code
            )
    except (OSError, ValueError, RuntimeError, ImportError, SafetensorError) as error:
        raise FatalModelError(
            f"the model {spec.model} cannot be loaded on {device} ({error}). It must be a folder "
            "with config.json and weights in *.safetensors, or a hub id that is in the cache or "
            "can be fetched."
        ) from error


def _device(asked: str | None) -> str:
    """The device that a recipe asks for, or the best there is."""
    import torch

    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    found = [kind for kind, available in there.items() if available]
    if asked is not None and asked.partition(":")[0] not in found:
        raise FatalModelError(
            f"device {asked!r} is not available here, only {', '.join(found)}. Change `device:` "
            "of the model in the recipe, or leave it out."
        )
    return asked or found[0]
