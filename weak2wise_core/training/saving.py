"""The trained model as a folder that this project, transformers and vLLM load; whole or absent."""

import dataclasses
import json
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weak2wise_core.llm.tokens import CHATML, Tokens
from weak2wise_core.llm.weights import model_folder
from weak2wise_core.stores.files import atomic_folder, remove_abandoned
from weak2wise_core.training.card import card
from weak2wise_core.training.jobs import MANIFEST, TrainingJob
from weak2wise_core.training.machine import Machine
from weak2wise_core.training.trainer import load_model

if TYPE_CHECKING:
    from transformers import Trainer

_TOKENIZER = "tokenizer.json"
_TOKENIZER_FILES = (
    _TOKENIZER,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
    "chat_template.json",
)
_TEMPLATE = "chat_template.jinja"
ADAPTERS = "adapter"
LATEST = "latest"


def save_weights(trainer: "Trainer", job: TrainingJob, *, machine: Machine, staged: Path) -> None:
    """Write weights and configuration; every process must call it, the first one writes.

    Adapters are kept as they are below `adapter/`, and merged into a copy of the base model, so
    that the folder serves whoever loads whole models.
    """
    state = _gathered(trainer, machine=machine, sharded=job.settings.sharding == "fsdp")
    if not trainer.is_world_process_zero():
        return
    shutil.rmtree(staged, ignore_errors=True)
    model: Any = trainer.accelerator.unwrap_model(trainer.model)
    if job.settings.lora is None:
        _save(model, staged, machine=machine, state=state)
        return
    model.save_pretrained(staged / ADAPTERS, state_dict=state)
    (staged / ADAPTERS / "README.md").unlink(missing_ok=True)
    _save(_merged(job, staged / ADAPTERS, machine=machine), staged, machine=machine, state=None)


def _gathered(trainer: "Trainer", *, machine: Machine, sharded: bool) -> dict[str, Any] | None:
    """The whole weights in the saved format, where they are spread over processes."""
    if not sharded or machine.processes == 1:
        return None
    import torch

    dtype = getattr(torch, machine.saved_as)
    whole = trainer.accelerator.get_state_dict(trainer.model)
    if not trainer.is_world_process_zero():
        return None
    return {name: tensor.to(dtype) for name, tensor in whole.items()}


def _merged(job: TrainingJob, adapters: Path, *, machine: Machine) -> Any:
    from peft import PeftModel

    plain = dataclasses.replace(machine, weights=machine.saved_as, attention="sdpa")
    return PeftModel.from_pretrained(
        load_model(job.model, machine=plain), adapters
    ).merge_and_unload()


def _save(model: Any, folder: Path, *, machine: Machine, state: dict[str, Any] | None) -> None:
    import torch

    dtype = getattr(torch, machine.saved_as)
    if state is None:
        model = model.to(dtype)  # the training is over
    model.config.dtype = dtype
    model.save_pretrained(folder, state_dict=state)
    for path in folder.glob("*.safetensors"):
        path.chmod((folder / "config.json").stat().st_mode)  # they are written for the owner alone


def save_tokenizer(job: TrainingJob, *, tokens: Tokens, folder: Path) -> None:
    """Put the tokenizer of the base model there, byte by byte, with the template it is used with.

    Saving it through a library could replace its pre-tokenizer, and with it how text is split.
    """
    found = {name: path for name in _TOKENIZER_FILES if (path := _source(job.model, name))}
    if _TOKENIZER in found:
        for name, path in found.items():
            shutil.copyfile(path, folder / name)
    else:
        tokens.tokenizer.save_pretrained(folder)
    if tokens.uses_chatml:
        (folder / _TEMPLATE).write_text(CHATML, encoding="utf-8")


def _source(model: str, name: str) -> Path | None:
    folder = model_folder(model)
    if folder is not None:
        return folder / name if (folder / name).is_file() else None
    from transformers.utils.hub import cached_file

    found = cached_file(
        model, name, local_files_only=True, _raise_exceptions_for_missing_entries=False
    )
    return None if found is None else Path(found)


def end_generation_with_turn(folder: Path, *, tokens: Tokens) -> None:
    """Let servers end a reply where the model learnt to end it.

    A base model's own settings may name another token, and a reply would run to its limit.
    """
    path = folder / "generation_config.json"
    settings = json.loads(path.read_bytes()) if path.is_file() else {}
    known = settings.get("eos_token_id")
    ends = {known} if isinstance(known, int) else set(known or ())
    if tokens.end_ids <= ends:
        return
    settings["eos_token_id"] = sorted(ends | tokens.end_ids)
    path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def publish_model(staged: Path, manifest: Mapping[str, Any], *, output: Path) -> None:
    """Move the staged files to the model's place, manifest last.

    Weights that a process killed at this point had moved already are removed: nobody finds them.

    Raises:
        StoreError: The folder cannot be written; nothing is left in its place.
    """
    remove_abandoned(output.parent)
    with atomic_folder(output) as beside:
        for path in staged.iterdir():
            path.rename(beside / path.name)
        (beside / "README.md").write_text(card(manifest), encoding="utf-8")
        text = json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False)
        (beside / MANIFEST).write_text(text + "\n", encoding="utf-8")


def point_latest(folder: Path) -> None:
    """Let `latest`, beside the folder of a version, lead to it, in one step."""
    link = folder.parent / LATEST
    beside = link.with_name(f".{LATEST}.{uuid.uuid4().hex}")
    beside.symlink_to(folder.name, target_is_directory=True)
    beside.replace(link)
