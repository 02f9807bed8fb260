"""Everything that one build found, in the order of the question file."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from weak2wise_core.config import Recipe
from weak2wise_core.dataset.tally import Tally
from weak2wise_core.errors import BuildError
from weak2wise_core.records import (
    Attempt,
    CandidateTrace,
    GoldenReasoning,
    MaskOutcomes,
    Question,
    Rejection,
    SFTExample,
    TraceMeasure,
)
from weak2wise_core.stores.portions import Portion, PortionFile


class Findings(Protocol):
    """What a build found, wherever its rows lie."""

    @property
    def recipe(self) -> Recipe:
        """What was built."""
        ...

    @property
    def rows(self) -> int:
        """Rows of the question file, within the recipe's limit."""
        ...

    @property
    def questions(self) -> Sequence[Question]:
        """The usable questions, in the order of the file."""
        ...

    @property
    def rejections(self) -> Sequence[Rejection]:
        """Rows and questions that left, in any order."""
        ...

    @property
    def prompts(self) -> Mapping[str, str]:
        """Versions of the templates that were used."""
        ...

    @property
    def tally(self) -> Tally:
        """All portions, counted."""
        ...

    def portions(self) -> Iterator[Portion]:
        """The rows of one question after the other, in the order of the file."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The findings of a small build, in memory.

    Every row of the question file is accounted for once: it is trained on, was solved by the weak
    model unaided, or left as a rejection with a name.
    """

    recipe: Recipe
    rows: int
    """Rows of the question file, within the recipe's limit."""
    questions: tuple[Question, ...]
    attempts: tuple[Attempt, ...] = ()
    candidates: tuple[CandidateTrace, ...] = ()
    outcomes: tuple[MaskOutcomes, ...] = ()
    measures: tuple[TraceMeasure, ...] = ()
    """What the weak model's reading gave the selector; empty where it needs none."""
    golden: tuple[GoldenReasoning, ...] = ()
    train: tuple[SFTExample, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    prompts: Mapping[str, str] = field(default_factory=dict)
    """Versions of the templates that were used."""

    @property
    def tally(self) -> Tally:
        """All portions, counted."""
        found = Tally()
        for portion in self.portions():
            found.add(portion, recipe=self.recipe)
        return found

    def portions(self) -> Iterator[Portion]:
        """The rows of one question after the other, in the order of the file."""
        yield from portions_of(
            self.questions,
            attempts=self.attempts,
            candidates=self.candidates,
            outcomes=self.outcomes,
            measures=self.measures,
            golden=self.golden,
            train=self.train,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredContents:
    """The findings of a build of any size: its rows lie in files, only their places in memory."""

    recipe: Recipe
    rows: int
    questions: Sequence[Question]
    files: Sequence[PortionFile]
    tally: Tally
    rejections: Sequence[Rejection] = ()
    prompts: Mapping[str, str] = field(default_factory=dict)

    def portions(self) -> Iterator[Portion]:
        """The rows of one question after the other, in the order of the file."""
        places = {name: file for file in self.files for name in file.frames}
        for question in self.questions:
            if (file := places.get(question.id)) is not None:
                yield file.read(question.id)


def portions_of(
    questions: Iterable[Question],
    *,
    attempts: Iterable[Attempt] = (),
    candidates: Iterable[CandidateTrace] = (),
    outcomes: Iterable[MaskOutcomes] = (),
    measures: Iterable[TraceMeasure] = (),
    golden: Iterable[GoldenReasoning] = (),
    train: Iterable[SFTExample] = (),
) -> Iterator[Portion]:
    """Tables taken apart by question; questions without a row are left out."""
    tables: dict[str, dict[str, list[Any]]] = {
        "attempts": _by_question(attempts),
        "candidates": _by_question(candidates),
        "outcomes": _by_question(outcomes),
        "measures": _by_question(measures),
        "golden": _by_question(golden),
        "train": _by_question(train),
    }
    for question in questions:
        rows = {name: tuple(table.get(question.id, ())) for name, table in tables.items()}
        if any(rows.values()):
            yield Portion(question_id=question.id, **rows)


def in_order(findings: Findings) -> list[Rejection]:
    """The rejections by the question file; rows of the file without a question come last."""
    place = {question.id: number for number, question in enumerate(findings.questions)}
    last = len(place)

    def key(row: Rejection) -> tuple[int, str, int]:
        draw = -1 if row.draw is None else row.draw
        return place.get(row.question_id, last), row.question_id, draw

    return sorted(findings.rejections, key=key)


def check(findings: Findings) -> None:
    """Make sure that no row was lost.

    Raises:
        BuildError: The rows that came in are not the rows that went out.
    """
    train, solved = findings.tally.count("rows", "train"), findings.tally.count("solved")
    rejected = len(findings.rejections)
    out = train + solved + rejected
    if out != findings.rows:
        raise BuildError(
            f"{findings.rows} rows came in, but {train} are trained on, {solved} were solved and "
            f"{rejected} were rejected, {out} in all; nothing is published. This is a fault of the "
            "program: please report it"
        )


def by_id(questions: Iterable[Question]) -> dict[str, Question]:
    """Questions by their id."""
    return {question.id: question for question in questions}


def _by_question(rows: Iterable[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for row in sorted(rows, key=_place):
        found.setdefault(row.question_id, []).append(row)
    return found


def _place(row: Any) -> tuple[str, int]:
    return getattr(row, "strong_model", ""), getattr(row, "draw", -1)
