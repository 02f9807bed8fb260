"""The data files of a dataset, all written in one pass over its questions."""

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from weak2wise_core.audits import Auditor
from weak2wise_core.config import StepMaskSettings
from weak2wise_core.dataset.card import CHAT
from weak2wise_core.dataset.contents import AnyContents, by_id, in_order
from weak2wise_core.dataset.conversations import ConversationsWriter
from weak2wise_core.dataset.zero_scores import AWAITING
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
from weak2wise_core.scoring import score
from weak2wise_core.sft import llama_factory_entry, to_conversational
from weak2wise_core.stores.parquet import TableWriter
from weak2wise_core.stores.portions import Portion

R = TypeVar("R")

QUEUE = "annotation_queue"
"""Written as .jsonl and as .parquet, where a question waits for a person."""
_FIRST = (
    "questions.parquet",
    "attempts.parquet",
    "candidates.parquet",
    "outcomes.parquet",
    "scores.parquet",
    "golden.parquet",
    "train.parquet",
    CHAT,
    "quarantine.parquet",
    "audits.parquet",
    "train.jsonl",
    "dataset_info.json",
)


def file_names(folder: Path) -> list[str]:
    """The data files in a folder, in the order in which a manifest lists them."""
    there = sorted(path.name for path in folder.iterdir())
    first = [name for name in _FIRST if name in there]
    return [*first, *(name for name in there if name not in first)]


def write_tables(
    contents: AnyContents, folder: Path, *, also: Callable[[Portion], None] = lambda _: None
) -> tuple[Finding, ...]:
    """Write every data file of a dataset into an empty folder.

    Args:
        contents: What a build found.
        folder: Where to.
        also: Shown the rows of every question on the way.

    Returns:
        What the audits found on the way; it is one of the tables.

    Raises:
        OSError: A file cannot be written.
        StoreError: A row cannot be stored.
    """
    auditor, questions = Auditor(), by_id(contents.questions)
    with ExitStack() as stack:
        tables = _Tables(contents, folder, stack)
        for question in contents.questions:
            tables.questions.add(question)
        for portion in contents.portions():
            tables.add(portion)
            also(portion)
            question = questions[portion.question_id]
            auditor.add(question, candidates=portion.candidates, train=portion.train)
        for rejection in in_order(contents):
            tables.quarantine.add(rejection)
    entry = llama_factory_entry(contents.recipe.dataset, file_name="train.parquet")
    text = json.dumps(entry, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    (folder / "dataset_info.json").write_text(text, encoding="utf-8")
    _write_queue(contents, folder)
    found = auditor.findings(contents.questions, in_order(contents))
    _write_table(folder / "audits.parquet", found, Finding)
    return found


def _write_table(path: Path, rows: Sequence[R], kind: type[R]) -> None:
    with path.open("wb") as file, TableWriter(file, kind, rows=len(rows)) as table:
        for row in rows:
            table.add(row)


class _Tables:
    """Every table that is being written."""

    def __init__(self, contents: AnyContents, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._settings: StepMaskSettings = contents.recipe.step_mask
        count = contents.tally.count
        self.questions = self._table("questions", Question, len(contents.questions))
        self.quarantine = self._table("quarantine", Rejection, len(contents.rejections))
        self._attempts = self._table("attempts", Attempt, count("rows", "attempts"))
        self._candidates = self._table("candidates", CandidateTrace, count("rows", "candidates"))
        self._outcomes = self._table("outcomes", MaskOutcomes, count("rows", "outcomes"))
        self._scores = self._table("scores", ScoredTrace, count("rows", "outcomes"))
        self._golden = self._table("golden", GoldenReasoning, count("rows", "golden"))
        self._train = self._table("train", SFTExample, count("rows", "train"))
        self._chat = stack.enter_context(ConversationsWriter(self._file(CHAT)))
        self._lines = self._file("train.jsonl")
        self._measured = count("rows", "measures")
        self._measure_table: TableWriter[TraceMeasure] | None = None

    def add(self, portion: Portion) -> None:
        """Append the rows of one question."""
        for attempt in portion.attempts:
            self._attempts.add(attempt)
        for candidate in portion.candidates:
            self._candidates.add(candidate)
        for one in portion.outcomes:
            self._outcomes.add(one)
            self._scores.add(score(one, settings=self._settings))
        for measure in portion.measures:
            self._measures().add(measure)
        for golden in portion.golden:
            self._golden.add(golden)
        for row in portion.train:
            self._train.add(row)
            self._chat.add(row)
            line = json.dumps(to_conversational(row), ensure_ascii=False)
            self._lines.write(f"{line}\n".encode())

    def _measures(self) -> TableWriter[TraceMeasure]:
        """A table that is there only where it has rows."""
        if self._measure_table is None:
            self._measure_table = self._table("measures", TraceMeasure, self._measured)
        return self._measure_table

    def _file(self, name: str) -> Any:
        return self._stack.enter_context((self._folder / name).open("wb"))

    def _table(self, name: str, kind: type[R], rows: int) -> TableWriter[R]:
        file = self._file(f"{name}.parquet")
        return self._stack.enter_context(TableWriter(file, kind, rows=rows))


def _write_queue(contents: AnyContents, folder: Path) -> None:
    """Questions that wait for a person's reasoning, where there are any."""
    questions = by_id(contents.questions)
    waiting = [
        questions[item.question_id] for item in in_order(contents) if item.reason == AWAITING
    ]
    queue = [QueuedQuestion(id=one.id, question=one.question, answer=one.answer) for one in waiting]
    if not queue:
        return
    lines = [json.dumps(asdict(row), ensure_ascii=False) for row in queue]
    (folder / f"{QUEUE}.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    _write_table(folder / f"{QUEUE}.parquet", queue, QueuedQuestion)
