"""The training rows as files of the trainers' own kinds, made anew from `train.parquet`.

A dataset of preference pairs has `pairs.parquet` in its place, and becomes what trainers of
preferences read.
"""

import json
from enum import StrEnum
from pathlib import Path
from typing import Any

from weak2wise_core.dataset.conversations import conversations
from weak2wise_core.dataset.lessons import json_lines
from weak2wise_core.dataset.lessons_card import PAIRS, TRAIN
from weak2wise_core.dataset.preferences import preferences
from weak2wise_core.dataset.reading import DatasetFolder
from weak2wise_core.errors import InputFileError, UsageError
from weak2wise_core.records import SFTExample
from weak2wise_core.related.records import PreferencePair
from weak2wise_core.related.shapes import ranking_entry, to_preference
from weak2wise_core.sft import llama_factory_entry, to_conversational
from weak2wise_core.stores.files import atomic_write_bytes
from weak2wise_core.stores.parquet import read

DATASET_INFO = "dataset_info.json"


class Target(StrEnum):
    """What an export is for."""

    TRL = "trl"
    """Conversational prompt and completion, as Parquet."""
    JSONL = "jsonl"
    """The same, one JSON object a line."""
    LLAMA_FACTORY = "llama-factory"
    """Plain prompt and response in LLaMA-Factory's data folder, with their entry."""
    HUB = "hub"
    """A folder that `datasets.load_dataset` opens, as `push` would upload it."""


def export_trl(dataset: DatasetFolder, out: Path, *, replace: bool = False) -> Path:
    """Write the conversations as one Parquet file.

    Raises:
        InputFileError: The dataset is damaged.
        UsageError: Another file is there, and `replace` is not set.
        StoreError: The file cannot be written.
    """
    if holds_pairs(dataset):
        return _put(out, preferences(pairs_of(dataset)), replace=replace)
    return _put(out, conversations(training_rows(dataset)), replace=replace)


def export_jsonl(dataset: DatasetFolder, out: Path, *, replace: bool = False) -> Path:
    """Write the conversations as lines of JSON: the dataset's `train.jsonl` or `pairs.jsonl`.

    Raises:
        InputFileError, UsageError, StoreError: See `export_trl`.
    """
    if holds_pairs(dataset):
        return _put(out, json_lines(map(to_preference, pairs_of(dataset))), replace=replace)
    rows = training_rows(dataset)
    return _put(out, json_lines(to_conversational(row) for row in rows), replace=replace)


def export_llama_factory(dataset: DatasetFolder, folder: Path, *, replace: bool = False) -> Path:
    """Put the dataset into a data folder of LLaMA-Factory, where others may already be.

    Args:
        dataset: What to put there.
        folder: LLaMA-Factory's `dataset_dir`; made where it is missing.
        replace: Whether an entry of the same name that says something else gives way.

    Returns:
        The `dataset_info.json` with the entry; the entries of other datasets are kept as they are.

    Raises:
        InputFileError: The dataset is damaged, or the `dataset_info.json` there is none.
        UsageError: The name is taken, and `replace` is not set.
        StoreError: A file cannot be written.
    """
    data = f"{dataset.name}-{dataset.version}.parquet"
    described: Any = ranking_entry if holds_pairs(dataset) else llama_factory_entry
    entry = described(dataset.name, file_name=data)
    info = folder / DATASET_INFO
    entries = _entries(info)
    taken = entries.get(dataset.name)
    if taken not in (None, entry[dataset.name]) and not replace:
        raise UsageError(
            f"{info} already has a dataset {dataset.name!r}, of {_source(taken)}; add --force to "
            "let this version take its place"
        )
    source = PAIRS if holds_pairs(dataset) else TRAIN
    _ = pairs_of(dataset) if source == PAIRS else training_rows(dataset)
    _put(folder / data, dataset.file(source).read_bytes(), replace=replace)
    text = json.dumps(entries | entry, indent=2, ensure_ascii=False) + "\n"
    atomic_write_bytes(info, text.encode())
    return info


def training_rows(dataset: DatasetFolder) -> list[SFTExample]:
    """The rows of `train.parquet`.

    Raises:
        InputFileError: The file is missing or damaged.
    """
    return read(dataset.file(TRAIN), SFTExample)


def holds_pairs(dataset: DatasetFolder) -> bool:
    """Whether a dataset compares replies in place of teaching one."""
    return PAIRS in dataset.manifest["files"]


def pairs_of(dataset: DatasetFolder) -> list[PreferencePair]:
    """The rows of `pairs.parquet`.

    Raises:
        InputFileError: The file is missing or damaged.
    """
    return read(dataset.file(PAIRS), PreferencePair)


def _entries(info: Path) -> dict[str, Any]:
    try:
        found = json.loads(info.read_bytes()) if info.exists() else {}
    except (OSError, ValueError, RecursionError) as error:
        raise InputFileError(f"{info} cannot be read: {error}; correct or remove it") from error
    if not isinstance(found, dict):
        raise InputFileError(f"{info} holds no datasets by name; is this LLaMA-Factory's folder?")
    return found


def _source(entry: object) -> str:
    names = ("file_name", "hf_hub_url", "ms_hub_url", "script_url")
    found = [entry[name] for name in names if name in entry] if isinstance(entry, dict) else []
    return str(found[0]) if found else "another kind"


def _put(path: Path, data: bytes, *, replace: bool) -> Path:
    """Write a file, unless something else is there already."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file")
    if not replace and path.exists() and path.read_bytes() != data:
        raise UsageError(f"{path} is there already and differs; add --force to replace it")
    atomic_write_bytes(path, data)
    return path
