"""What became of one shard of questions: a file, and the figures about it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tasks.progress import Progress
from tasks.runtime import SHARDS
from weak2wise_core.config import Recipe
from weak2wise_core.dataset.tally import Tally
from weak2wise_core.errors import InputFileError
from weak2wise_core.hashing import content_hash
from weak2wise_core.records import CandidateTrace, Question, Rejection, RejectionKind
from weak2wise_core.stores.portions import FORMAT, Portion, PortionFile, open_portions
from weak2wise_core.stores.portions import write_portions as write


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardResult:
    """The rows of one shard in their file, and everything else about them in memory."""

    shard: str
    """Its name in this build: what else is in a build decides how many bits a name has."""
    file: PortionFile
    tally: Tally
    rejections: tuple[Rejection, ...]
    entered: Mapping[str, int]
    """Questions that came to each stage."""

    def show(self, progress: Progress) -> None:
        """Count a shard that was found ready."""
        for stage, questions in self.entered.items():
            progress.enter(stage, self.shard, questions)
            progress.finish(stage, self.shard, questions)


def keep(
    path: Path,
    *,
    shard: str,
    portions: Sequence[Portion],
    rejections: Sequence[Rejection],
    entered: Mapping[str, int],
    recipe: Recipe,
) -> ShardResult:
    """Write what became of a shard; whole or absent.

    Raises:
        StoreError: It cannot be written.
    """
    tally = Tally()
    for portion in portions:
        tally.add(portion, recipe=recipe)
    facts = {
        "tally": tally.as_plain(),
        "rejections": [asdict(one) for one in rejections],
        "entered": dict(entered),
    }
    return _result(write(path, portions, facts=facts), shard=shard)


def find(path: Path, *, shard: str) -> ShardResult | None:
    """A shard that an earlier build finished, perhaps under another name.

    None where there is none, or its file is damaged.
    """
    if not path.is_file():
        return None
    try:
        return _result(open_portions(path), shard=shard)
    except (InputFileError, KeyError, TypeError, ValueError):
        return None  # it is made anew from the stage results, and replaces the damaged one


def place(
    data: Path,
    settings: str,
    *,
    questions: Sequence[Question],
    imported: Sequence[CandidateTrace],
    notes: Mapping[str, str],
) -> Path:
    """Where a finished shard lies: at a hash of everything that decides what became of it.

    Args:
        data: The data folder.
        settings: Hash of everything in the recipe that matters.
        questions: Of the shard.
        imported: Candidates of these questions that came from files.
        notes: Reasoning that people wrote for them.
    """
    key = content_hash(FORMAT, settings, questions, imported, notes)
    return data / SHARDS / key[:2] / f"{key[2:40]}.portions"


def _result(file: PortionFile, *, shard: str) -> ShardResult:
    facts: Mapping[str, Any] = file.facts
    rejections = tuple(
        Rejection(**{**one, "kind": RejectionKind(one["kind"])}) for one in facts["rejections"]
    )
    return ShardResult(
        shard=shard,
        file=PortionFile(path=file.path, frames=file.frames, facts={}),
        tally=Tally.from_plain(facts["tally"]),
        rejections=rejections,
        entered=facts["entered"],
    )
