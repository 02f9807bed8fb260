"""The part of a dataset that others are given, as a folder that `datasets.load_dataset` opens."""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from weak2wise_core.dataset.card import CHAT, card
from weak2wise_core.dataset.card_parts import CardDetails
from weak2wise_core.dataset.lessons_card import PAIRS, PAIRS_CHAT, TRAIN, lessons_card
from weak2wise_core.dataset.manifest import MANIFEST
from weak2wise_core.dataset.reading import DatasetFolder
from weak2wise_core.errors import UsageError
from weak2wise_core.stores.files import atomic_folder

CARD: Final = "README.md"
TRAINING: Final = (
    CHAT, TRAIN, "train.jsonl", PAIRS_CHAT, PAIRS, "pairs.jsonl", "dataset_info.json",
)  # fmt: skip
"""What a training set is, of replies or of pairs; given with every selection."""
TABLES: Final[Mapping[str, str]] = {
    "scores": "what every candidate was worth: verdicts and numbers, no text",
    "measures": "what the weak model's reading of every candidate gave the selector: numbers, no "
    "text; only where the selector reads traces",
    "golden": "the traces that won, before the training format",
    "questions": "every question and answer, also of rows that are not trained on",
    "attempts": "what the weak model answered unaided",
    "outcomes": "what the weak model answered under every mask",
    "candidates": "every reply of the teachers, also the refused ones",
    "quarantine": "what left on the way, with reasons that quote replies",
    "audits": "what the audits found, with words of replies",
}
"""The other tables of a build, with what they would give away."""
LESSON_TABLES: Final[Mapping[str, str]] = {
    "questions": TABLES["questions"],
    "quarantine": "what left on the way, with reasons that quote answers",
}
"""Those of a related method; beside them a table for each role that answered."""
ANSWERS: Final = "answers-"
GIVEN: Final = ("scores", "measures")
"""Tables that are given without being asked for: they hold no text of any model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The files of a dataset that are given away, and what its card says of them."""

    dataset: DatasetFolder
    files: tuple[str, ...]
    left_out: Mapping[str, str]
    """Tables that stay, with what they would give away."""
    details: CardDetails

    @property
    def card(self) -> str:
        """The card, which describes the files that are there and no others."""
        describe = lessons_card if is_lesson(self.dataset) else card
        return describe(self.dataset.manifest, details=self.details, files=self.files)

    @property
    def sizes(self) -> dict[str, int]:
        """Every file with its bytes, the card and the manifest included."""
        sizes = {name: self.dataset.file(name).stat().st_size for name in self.files}
        manifest = (self.dataset.folder / MANIFEST).stat().st_size
        return sizes | {MANIFEST: manifest, CARD: len(self.card.encode())}


def select(
    dataset: DatasetFolder, *, tables: Iterable[str] = (), details: CardDetails | None = None
) -> Selection:
    """Choose what is given away: the training set, the scores, and tables that are asked for.

    Args:
        dataset: What to choose from.
        tables: Names of `tables_of`, or `all`; candidates, quarantine and their like hold what the
            teachers and the weak model said, and go nowhere unless they are named here.
        details: What the card says that the dataset does not know.

    Raises:
        UsageError: There is no table of that name.
        InputFileError: The dataset is not what was published.
    """
    wanted, known = set(tables), tables_of(dataset)
    if unknown := sorted(wanted - set(known) - {"all"}):
        raise UsageError(f"no table {unknown[0]!r}; there are {', '.join(known)}, and all")
    dataset.verify()
    chosen = set(known) if "all" in wanted else wanted | set(GIVEN)
    listed = dataset.manifest["files"]
    there = {table: said for table, said in known.items() if _file(table) in listed}
    names = [name for name in TRAINING if name in listed]
    return Selection(
        dataset=dataset,
        files=(*names, *(_file(table) for table in there if table in chosen)),
        left_out={table: said for table, said in there.items() if table not in chosen},
        details=details or CardDetails(),
    )


def tables_of(dataset: DatasetFolder) -> dict[str, str]:
    """The tables beside the training set, each with what it would give away."""
    if not is_lesson(dataset):
        return dict(TABLES)
    names = [name.removesuffix(".parquet") for name in sorted(dataset.manifest["files"])]
    answers = [name for name in names if name.startswith(ANSWERS)]
    said = "every answer of {}, with the prompt that it was sent and the verdict"
    return dict(LESSON_TABLES) | {name: said.format(name.removeprefix(ANSWERS)) for name in answers}


def is_lesson(dataset: DatasetFolder) -> bool:
    """Whether a dataset is one of a related method, in place of a build's."""
    return "method" in dataset.manifest


def write_folder(selection: Selection, out: Path) -> Path:
    """Write a selection as a folder of its own, whole or not at all.

    Raises:
        UsageError: Something is there already.
        StoreError: The folder cannot be written.
    """
    if out.exists():
        raise UsageError(f"{out} is there already; remove it, or name another folder")
    with atomic_folder(out.absolute()) as beside:
        fill(beside, selection)
    return out


def fill(folder: Path, selection: Selection) -> None:
    """Copy the files of a selection into an empty folder, the card last."""
    for name in selection.files:
        shutil.copyfile(selection.dataset.file(name), folder / name)
    shutil.copyfile(selection.dataset.folder / MANIFEST, folder / MANIFEST)
    (folder / CARD).write_text(selection.card, encoding="utf-8")


def at(selection: Selection, place: str) -> Selection:
    """The same selection with a card that says where it can be loaded from."""
    return replace(selection, details=replace(selection.details, place=place))


def _file(table: str) -> str:
    return f"{table}.parquet"
