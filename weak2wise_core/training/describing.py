"""A training that has passed every gate, and what its manifest says when it is over."""

import functools
from dataclasses import dataclass
from typing import Any

from weak2wise_core.errors import InputFileError
from weak2wise_core.llm.tokens import Tokens
from weak2wise_core.training.jobs import (
    FORMAT,
    TrainingJob,
    job_identity,
    job_version,
    prompt_suffix,
)
from weak2wise_core.training.machine import Machine, versions
from weak2wise_core.training.trainer import Encoded

PREFERRED = ("rewards/accuracies", "rewards/margins")
"""Of a step with pairs: the share in which the chosen reply is ahead, and by how much."""
_KEPT = ("step", "loss", "learning_rate", "grad_norm", "num_tokens", *PREFERRED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A job that has passed every gate."""

    job: TrainingJob
    machine: Machine
    tokens: Tokens
    examples: tuple[Encoded, ...]
    longest: int
    """The context in tokens; also the length of a pack."""


def context_of(model: str) -> int:
    """The longest context of a model, as its config.json says; a huge number where it does not."""
    sizes = _config(model).get_text_config()
    context: int | None = getattr(sizes, "max_position_embeddings", None)
    return context or 1 << 30


def _revision(model: str) -> str | None:
    """The commit of a hub model that lies in the cache; None for a folder."""
    revision: str | None = getattr(_config(model), "_commit_hash", None)
    return revision


@functools.lru_cache(maxsize=8)
def _config(model: str) -> Any:
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(model, trust_remote_code=False)
    except (OSError, ValueError) as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise InputFileError(
            f"the model {model} has no config that can be read: {reason}"
        ) from error
    return config


def describe(prepared: Prepared, state: Any, *, rows: int) -> dict[str, Any]:
    """The manifest of a trained model."""
    job, machine, examples = prepared.job, prepared.machine, prepared.examples
    identity = job_identity(job)
    return {
        "format": FORMAT,
        "name": job.name,
        "version": job_version(job),
        "identity": identity,
        "base_model": identity["model"],
        "base_revision": _revision(job.model),
        "dataset": {
            "version": job.dataset_version,
            "train_sha256": identity["train_sha256"],
            "prompt_suffix": prompt_suffix(job.train_file),
        },
        "settings": job.settings.model_dump(mode="json", exclude={"model"}),
        "machine": {
            "device": machine.device,
            "weights": machine.weights,
            "autocast": machine.autocast,
            "attention": machine.attention,
            "saved_as": machine.saved_as,
            "processes": machine.processes,
        },
        "counts": {
            "examples": len(examples),
            "rows": rows,
            "tokens": sum(len(one) for one in examples),
            "tokens_in_loss": sum(len(one.response) for one in examples),
            "longest_example": max(one.longest for one in examples),
            "context": prepared.longest,
            "steps": state.global_step,
        },
        "steps": [
            {name: entry[name] for name in _KEPT if name in entry}
            for entry in state.log_history
            if "loss" in entry
        ],
        "packages": versions(),
    }
