"""Writing a dataset: beside its place, renamed when whole, manifest last; `latest` points to it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from weak2wise_core.dataset.card import CHAT, card
from weak2wise_core.dataset.contents import Contents, by_id
from weak2wise_core.dataset.conversations import conversations
from weak2wise_core.dataset.manifest import FORMAT, summary
from weak2wise_core.dataset.zero_scores import AWAITING
from weak2wise_core.hashing import content_hash
from weak2wise_core.records import (
    Attempt,
    CandidateTrace,
    Finding,
    GoldenReasoning,
    MaskOutcomes,
    Question,
    QueuedQuestion,
    Rejection,
    ScoredTrace,
    SFTExample,
    TraceMeasure,
)
from weak2wise_core.report.page import page
from weak2wise_core.report.tables import Tables
from weak2wise_core.sft import llama_factory_entry, to_conversational
from weak2wise_core.stores.files import atomic_folder, remove_abandoned, scratch_folder
from weak2wise_core.stores.parquet import to_bytes

LATEST = "latest"
MANIFEST = "manifest.json"
REPORT = "report.html"
"""As the card it is made of the manifest, so that the manifest lists neither."""
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
    contents = replace(contents, audited=contents.findings)  # once for tables, manifest and report
    files = _files(contents)
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    manifest = {
        "format": FORMAT,
        "dataset": contents.recipe.dataset,
        **summary(contents),
        "files": {
            name: {"sha256": digests[name], "bytes": len(data), **_rows(name, data)}
            for name, data in files.items()
        },
    }
    version = content_hash(manifest)[:12]
    manifest["version"] = version
    folder = root / contents.recipe.dataset / version
    remove_abandoned(folder.parent)
    with atomic_folder(folder) as beside:
        for name, data in files.items():
            (beside / name).write_bytes(data)
        (beside / "README.md").write_text(card(manifest), encoding="utf-8")
        (beside / REPORT).write_text(page(tables_of(contents, manifest)), encoding="utf-8")
        (beside / MANIFEST).write_text(_json(manifest) + "\n", encoding="utf-8")
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
        "audits.parquet": to_bytes(contents.findings, Finding),
        "train.jsonl": "".join(f"{line}\n" for line in lines).encode(),
        "dataset_info.json": (_json(entry) + "\n").encode(),
    }
    if contents.measures:
        files["measures.parquet"] = to_bytes(contents.measures, TraceMeasure)
    if queue := _queue(contents):
        rows = [json.dumps(asdict(row), ensure_ascii=False) for row in queue]
        files[f"{QUEUE}.jsonl"] = "".join(f"{row}\n" for row in rows).encode()
        files[f"{QUEUE}.parquet"] = to_bytes(queue, QueuedQuestion)
    return files


def _rows(name: str, data: bytes) -> dict[str, int]:
    """How many rows a table has; nothing for other files."""
    if not name.endswith(".parquet"):
        return {}
    return {"rows": pq.ParquetFile(pa.BufferReader(data)).metadata.num_rows}


def tables_of(contents: Contents, manifest: Mapping[str, Any]) -> Tables:
    """What a report reads, of a build that is about to be published."""
    return Tables(
        manifest=manifest,
        questions=contents.questions,
        attempts=contents.attempts,
        candidates=contents.candidates,
        outcomes=contents.outcomes,
        scores=contents.scores,
        golden=contents.golden,
        train=contents.train,
        rejections=contents.rejections,
        findings=contents.findings,
    )


def _queue(contents: Contents) -> list[QueuedQuestion]:
    """Questions that wait for a person's reasoning."""
    questions = by_id(contents.questions)
    waiting = [
        questions[item.question_id] for item in contents.rejections if item.reason == AWAITING
    ]
    return [QueuedQuestion(id=one.id, question=one.question, answer=one.answer) for one in waiting]


def _json(value: object) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)


def _point(link: Path, target: str) -> None:
    """Let a symbolic link point to a version, in one step."""
    with scratch_folder(link) as beside:
        new = beside / link.name
        new.symlink_to(target, target_is_directory=True)
        new.replace(link)
