"""The dataset of one training of a related method: what was asked, kept, and left out by name.

It lies beside the datasets of builds and is read, trained on and exported like them. In place of
candidates and scores it holds the answers of each model, and where the training compares replies,
preference pairs in place of replies.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weak2wise_core.dataset.card import CHAT
from weak2wise_core.dataset.conversations import conversations
from weak2wise_core.dataset.lessons_card import PAIRS, PAIRS_CHAT, TRAIN, lessons_card
from weak2wise_core.dataset.manifest import by_reason
from weak2wise_core.dataset.preferences import preferences
from weak2wise_core.dataset.publishing import CARD, Published, plain_json, publish_folder
from weak2wise_core.records import (
    Answer,
    Question,
    Rejection,
    RejectionKind,
    SFTExample,
    Spent,
)
from weak2wise_core.related.records import PreferencePair
from weak2wise_core.related.shapes import ranking_entry, to_preference
from weak2wise_core.sft import llama_factory_entry, to_conversational
from weak2wise_core.stores.parquet import to_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Lessons:
    """What a model is taught in one training of a related method."""

    name: str
    """Of the dataset."""
    method: str
    step: str
    """Which training of the method it is, in a few words."""
    questions: tuple[Question, ...]
    answers: Mapping[str, Sequence[Answer]]
    """By the name of the model that was asked."""
    train: tuple[SFTExample, ...] = ()
    pairs: tuple[PreferencePair, ...] = ()
    rejections: tuple[Rejection, ...]
    counts: Mapping[str, int] = field(default_factory=dict)
    """Further figures of the method."""
    settings: Mapping[str, Any]
    """What decided all this, as plain values."""
    prompts: Mapping[str, str]
    """Versions of the templates that were used."""


def publish_lessons(lessons: Lessons, *, root: Path) -> Published:
    """Write the dataset below `root` / name / version; the same content gives the same version.

    Raises:
        StoreError: The folder cannot be written; nothing is left behind.
    """

    def write(folder: Path) -> Mapping[str, Any]:
        for name, data in _files(lessons).items():
            (folder / name).write_bytes(data)
        return _head(lessons)

    def describe(manifest: Mapping[str, Any], folder: Path) -> None:
        (folder / CARD).write_text(lessons_card(manifest), encoding="utf-8")

    return publish_folder(lessons.name, write=write, describe=describe, root=root)


def _files(lessons: Lessons) -> dict[str, bytes]:
    files = {
        "questions.parquet": to_bytes(lessons.questions, Question),
        "quarantine.parquet": to_bytes(lessons.rejections, Rejection),
    }
    files |= {
        f"answers-{name}.parquet": to_bytes(list(rows), Answer)
        for name, rows in lessons.answers.items()
    }
    return files | (_pair_files(lessons) if lessons.pairs else _reply_files(lessons))


def _reply_files(lessons: Lessons) -> dict[str, bytes]:
    entry = llama_factory_entry(lessons.name, file_name=TRAIN)
    return {
        TRAIN: to_bytes(lessons.train, SFTExample),
        CHAT: conversations(lessons.train),
        "train.jsonl": json_lines(to_conversational(row) for row in lessons.train),
        "dataset_info.json": (plain_json(entry) + "\n").encode(),
    }


def _pair_files(lessons: Lessons) -> dict[str, bytes]:
    entry = ranking_entry(lessons.name, file_name=PAIRS)
    return {
        PAIRS: to_bytes(lessons.pairs, PreferencePair),
        PAIRS_CHAT: preferences(lessons.pairs),
        "pairs.jsonl": json_lines(to_preference(pair) for pair in lessons.pairs),
        "dataset_info.json": (plain_json(entry) + "\n").encode(),
    }


def json_lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """One JSON object a line."""
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()


def _head(lessons: Lessons) -> dict[str, Any]:
    kinds = Counter(item.kind for item in lessons.rejections)
    return {
        "method": lessons.method,
        "step": lessons.step,
        "counts": {
            "questions": len(lessons.questions),
            "train": len(lessons.train) or len(lessons.pairs),
            "train_tokens": sum(row.tokens for row in lessons.train),
            "dropped": kinds[RejectionKind.DROPPED],
            "quarantined": kinds[RejectionKind.QUARANTINED],
            **lessons.counts,
        },
        "dropped": by_reason(lessons.rejections, RejectionKind.DROPPED),
        "quarantined": by_reason(lessons.rejections, RejectionKind.QUARANTINED),
        "models": _returned(lessons),
        "prompts": dict(lessons.prompts),
        "settings": dict(lessons.settings),
        "cost": _cost(lessons),
    }


def _returned(lessons: Lessons) -> dict[str, dict[str, int]]:
    """Answers by the model that was asked and the id that they name."""
    found = {
        name: Counter(row.model for row in rows) for name, rows in sorted(lessons.answers.items())
    }
    return {name: dict(sorted(counter.items())) for name, counter in found.items()}


def _cost(lessons: Lessons) -> list[dict[str, Any]]:
    """What the answers took, whether this run or an earlier one paid for them."""
    return [
        {"stage": "answer_questions", "model": name, **_sums(one for r in rows for one in r.spent)}
        for name, rows in sorted(lessons.answers.items())
    ]


def _sums(spent: Iterable[Spent]) -> dict[str, int]:
    items = list(spent)
    names = ("calls", "prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens")
    found = {name: sum(getattr(item, name) for item in items) for name in names}
    counted = found["prompt_tokens"] or found["completion_tokens"]
    return found if counted else found | {"uncounted": found["calls"]}
