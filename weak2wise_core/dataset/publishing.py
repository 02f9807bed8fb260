"""Writing a dataset: beside its place, renamed when whole, manifest last; `latest` points to it."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from weak2wise_core.dataset.card import CHAT, card
from weak2wise_core.dataset.contents import Contents, by_id
from weak2wise_core.dataset.conversations import conversations
from weak2wise_core.dataset.manifest import FORMAT, summary
from weak2wise_core.dataset.zero_scores import AWAITING
from weak2wise_core.hashing import content_hash
from weak2wise_core.records import (
    Attempt,
    CandidateTrace,
    GoldenReasoning,
    MaskOutcomes,
    Question,
    QueuedQuestion,
    Rejection,
    ScoredTrace,
    SFTExample,
    TraceMeasure,
)
from weak2wise_core.sft import llama_factory_entry, to_conversational
from weak2wise_core.stores.files import atomic_folder, remove_abandoned, scratch_folder
from weak2wise_core.stores.parquet import to_bytes

LATEST = "latest"
MANIFEST = "manifest.json"
QUEUE = "annotation_queue"
"""Written as .jsonl and as .parquet, where a question waits for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A dataset in its folder."""

    folder: Path
    version: str
    manifest: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpublished:
    """What a build found that published nothing."""

    manifest: Mapping[str, Any]


def publish(contents: Contents, *, root: Path) -> Published:
    """Write a dataset below `root` / name / version and let `latest` point to it.

    The version is a hash of the manifest, which holds the digests of all tables: the same inputs
    and replies give the same folder with the same bytes, and writing it again changes nothing.
    What a killed build left half-written is removed.

    Raises:
        BuildError: The tables do not account for every row; nothing is written.
        StoreError: The folder cannot be written; nothing is left behind.
    """
    contents.check()
    contents = contents.in_order()
    return publish_files(
        _files(contents),
        name=contents.recipe.dataset,
        head=summary(contents),
        describe=card,
        root=root,
    )


def publish_files(
    files: Mapping[str, bytes],
    *,
    name: str,
    head: Mapping[str, Any],
    describe: Callable[[Mapping[str, Any]], str],
    root: Path,
) -> Published:
    """Write the files of a dataset as a version of it; see `publish`.

    Args:
        files: Their content by name.
        name: Of the dataset.
        head: What its manifest says beside the digests of the files.
        describe: Makes the card of a manifest.
        root: The folder of all datasets.

    Raises:
        StoreError: The folder cannot be written; nothing is left behind.
    """
    manifest = {
        "format": FORMAT,
        "dataset": name,
        **head,
        "files": {
            file: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
            for file, data in files.items()
        },
    }
    version = content_hash(manifest)[:12]
    manifest["version"] = version
    folder = root / name / version
    remove_abandoned(folder.parent)
    with atomic_folder(folder) as beside:
        for file, data in files.items():
            (beside / file).write_bytes(data)
        (beside / "README.md").write_text(describe(manifest), encoding="utf-8")
        (beside / MANIFEST).write_text(plain_json(manifest) + "\n", encoding="utf-8")
    _point(folder.parent / LATEST, version)
    return Published(folder=folder, version=version, manifest=manifest)


def _files(contents: Contents) -> dict[str, bytes]:
    """Every data file of a dataset, by name."""
    lines = [json.dumps(to_conversational(row), ensure_ascii=False) for row in contents.train]
    entry = llama_factory_entry(contents.recipe.dataset, file_name="train.parquet")
    files = {
        "questions.parquet": to_bytes(contents.questions, Question),
        "attempts.parquet": to_bytes(contents.attempts, Attempt),
        "candidates.parquet": to_bytes(contents.candidates, CandidateTrace),
        "outcomes.parquet": to_bytes(contents.outcomes, MaskOutcomes),
        "scores.parquet": to_bytes(contents.scores, ScoredTrace),
        "golden.parquet": to_bytes(contents.golden, GoldenReasoning),
        "train.parquet": to_bytes(contents.train, SFTExample),
        CHAT: conversations(contents.train),
        "quarantine.parquet": to_bytes(contents.rejections, Rejection),
        "train.jsonl": "".join(f"{line}\n" for line in lines).encode(),
        "dataset_info.json": (plain_json(entry) + "\n").encode(),
    }
    if contents.measures:
        files["measures.parquet"] = to_bytes(contents.measures, TraceMeasure)
    if queue := _queue(contents):
        rows = [json.dumps(asdict(row), ensure_ascii=False) for row in queue]
        files[f"{QUEUE}.jsonl"] = "".join(f"{row}\n" for row in rows).encode()
        files[f"{QUEUE}.parquet"] = to_bytes(queue, QueuedQuestion)
    return files


def _queue(contents: Contents) -> list[QueuedQuestion]:
    """Questions that wait for a person's reasoning."""
    questions = by_id(contents.questions)
    waiting = [
        questions[item.question_id] for item in contents.rejections if item.reason == AWAITING
    ]
    return [QueuedQuestion(id=one.id, question=one.question, answer=one.answer) for one in waiting]


def plain_json(value: object) -> str:
    """A value as the files of a dataset hold it: the same value gives the same bytes."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)


def _point(link: Path, target: str) -> None:
    """Let a symbolic link point to a version, in one step."""
    with scratch_folder(link) as beside:
        new = beside / link.name
        new.symlink_to(target, target_is_directory=True)
        new.replace(link)
