"""Reading a benchmark: the user's file, in the columns of the public releases.

No benchmark text ships with this project. Names of columns are found without regard to case:
`problem` or `question`, `answer` (or `solution`, of which the final answer is taken), and for
GPQA `question`, `correct answer` and `incorrect answer 1` to `3`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from weak2wise_core.answers import final_answer
from weak2wise_core.config import BenchmarkKind, BenchmarkSettings, EvaluationSettings
from weak2wise_core.errors import InputFileError, MissingExtraError
from weak2wise_core.evaluation.choices import LETTERS, in_order
from weak2wise_core.llm.lazy import IMPORTING
from weak2wise_core.questions import answer_text, read_objects

ID_FIELDS = ("unique_id", "id", "record id")
QUESTION_FIELDS = ("problem", "question")
ANSWER_FIELDS = ("answer", "solution")
CORRECT_FIELDS = ("correct answer",)
WRONG_FIELDS = tuple(f"incorrect answer {number}" for number in (1, 2, 3))
LARGEST_AIME = 999

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One question of a benchmark with its ground truth."""

    id: str
    question: str
    gold: str
    """The answer; for multiple choice the letter under which it was shown."""
    choices: tuple[str, ...] = ()
    """The texts of the choices, A first; empty where the answer is free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One benchmark, ready to be asked."""

    name: str
    kind: BenchmarkKind
    problems: tuple[Problem, ...]


def load_benchmarks(settings: EvaluationSettings) -> list[Benchmark]:
    """Every benchmark of an evaluation, read.

    Raises:
        InputFileError, MissingExtraError: As `load_benchmark`.
    """
    return [
        Benchmark(name=one.label, kind=one.kind, problems=load_benchmark(one))
        for one in settings.benchmarks
    ]


def load_benchmark(settings: BenchmarkSettings) -> tuple[Problem, ...]:
    """Every question of a benchmark, in the order of its file.

    Raises:
        InputFileError: The file or dataset cannot be read, or a row has no such column or no
            usable value; the message names file, row, column, and the columns that there are.
        MissingExtraError: A dataset of the hub is asked for without the library that reads it.
    """
    source = f"file {settings.path}" if settings.path else f"dataset {settings.hub}"
    rows = islice(_rows(settings), settings.limit)
    problems: dict[str, Problem] = {}
    for number, row in enumerate(rows, start=1):
        reader = _Reader(row, where=f"{source}, row {number}", settings=settings)
        problem = reader.problem(number)
        if problem.id in problems:
            raise reader.error(f"the id {problem.id!r} belongs to an earlier row too")
        problems[problem.id] = problem
    if not problems:
        raise InputFileError(f"{source} is empty; it needs one question a row")
    return tuple(problems.values())


@dataclass(frozen=True, slots=True)
class _Reader:
    """One row, and how its faults are named."""

    row: Row
    where: str
    settings: BenchmarkSettings

    def error(self, fault: str) -> InputFileError:
        """A fault of this row."""
        return InputFileError(f"{self.settings.label}: {self.where}: {fault}")

    def problem(self, number: int) -> Problem:
        """The question in this row."""
        given = self.settings
        name = self._find(given.id_field, ID_FIELDS, needed=given.id_field is not None)
        identifier = f"row-{number}" if name is None else self._text(name)
        question = self._value("question_field", given.question_field, QUESTION_FIELDS)
        if given.kind is BenchmarkKind.GPQA:
            return self._choice_problem(identifier, question)
        return Problem(id=identifier, question=question, gold=self._gold())

    def _choice_problem(self, identifier: str, question: str) -> Problem:
        correct = self._value("answer_field", self.settings.answer_field, CORRECT_FIELDS)
        wrong = [
            self._value("wrong_answer_fields", name, (name,))
            for name in self.settings.wrong_answer_fields or WRONG_FIELDS
        ]
        if len(wrong) != len(LETTERS) - 1:
            raise self.error(f"{len(wrong)} wrong answers; {len(LETTERS) - 1} were expected")
        if correct in wrong:
            raise self.error(f"the correct answer {correct!r:.80} is one of the wrong ones too")
        choices = in_order(question, [correct, *wrong])
        return Problem(
            id=identifier,
            question=question,
            gold=LETTERS[choices.index(correct)],
            choices=choices,
        )

    def _gold(self) -> str:
        given = self.settings
        name = self._required("answer_field", given.answer_field, ANSWER_FIELDS)
        text = self._text(name)
        if given.answer_field is None and name.strip().casefold() == ANSWER_FIELDS[1]:
            answer = final_answer(text, lenient=False)
            if answer is None:
                raise self.error(f"field {name!r} states no final answer, in a box or otherwise")
            text = answer
        return self._aime(text, name) if given.kind is BenchmarkKind.AIME else text

    def _aime(self, text: str, name: str) -> str:
        whole, _, rest = text.strip().strip("$").partition(".")
        digits = whole.lstrip("0")  # of thousands of digits Python makes no number
        too_large = len(digits) > len(str(LARGEST_AIME))
        if not whole.isdecimal() or rest.strip("0") or too_large:
            raise self.error(
                f"field {name!r} is {text!r:.80}; an answer of {self.settings.kind.value} is a "
                f"whole number from 0 to {LARGEST_AIME}"
            )
        return str(int(digits or "0"))

    def _value(self, setting: str, given: str | None, usual: Sequence[str]) -> str:
        return self._text(self._required(setting, given, usual))

    def _required(self, setting: str, given: str | None, usual: Sequence[str]) -> str:
        name = self._find(given, usual, needed=True, setting=setting)
        assert name is not None
        return name

    def _find(
        self, given: str | None, usual: Sequence[str], *, needed: bool, setting: str = "id_field"
    ) -> str | None:
        """The row's own name of a column."""
        wanted = [given] if given is not None else list(usual)
        names = {name.strip().casefold(): name for name in self.row}
        found = next((names[one.casefold()] for one in wanted if one.casefold() in names), None)
        if found is None and needed:
            raise self.error(
                f"no field {' or '.join(map(repr, wanted))}; it has "
                f"{', '.join(map(repr, self.row)) or 'none'}. Set {setting} of the benchmark"
            )
        return found

    def _text(self, name: str) -> str:
        text = answer_text(self.row[name])
        if text is None:
            found = "empty" if self.row[name] in ("", None) else repr(self.row[name])[:80]
            raise self.error(f"field {name!r} is {found}; text or a number was expected")
        if any("\ud800" <= sign <= "\udfff" for sign in text):
            raise self.error(
                f"field {name!r} holds half of a surrogate pair, which is no character"
            )
        return text


def _rows(settings: BenchmarkSettings) -> Iterable[Row]:
    return read_objects(settings.path) if settings.path else _hub_rows(settings)


def _hub_rows(settings: BenchmarkSettings) -> Iterator[Row]:
    """The rows of a dataset of the hub, or of a folder in the hub's layout."""
    assert settings.hub is not None
    try:
        with IMPORTING:
            import datasets
    except ImportError as error:
        raise MissingExtraError(
            "datasets of the hub need the library datasets. Run: pip install 'weak2wise[eval]'"
        ) from error
    try:
        loaded = datasets.load_dataset(settings.hub, settings.hub_config)
    except (OSError, ValueError, RuntimeError) as error:  # all that the library raises for a name
        raise InputFileError(
            f"dataset {settings.hub} cannot be loaded ({error}). Name another one, set hub_config "
            "if it asks for one, or download it and give its file as path"
        ) from error
    yield from loaded[_split(settings, list(loaded))]


def _split(settings: BenchmarkSettings, there: list[Any]) -> str:
    names = [str(name) for name in there]
    usual = names[0] if len(names) == 1 else "test"
    wanted = settings.split or usual
    if wanted not in names:
        raise InputFileError(
            f"dataset {settings.hub} has no split {wanted!r}, only {', '.join(names)}; set split"
        )
    return wanted
