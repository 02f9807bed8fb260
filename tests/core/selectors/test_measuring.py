"""Laws of the readings: what a model is shown of a trace, and what becomes of what it says."""

from collections.abc import Callable, Sequence

from tests.core.ablation.making import candidate
from weak2wise_core.config import SelectionSettings, Selector, SFTFormatSettings
from weak2wise_core.llm.forced import Fit, Passage
from weak2wise_core.prompts import SOLVE
from weak2wise_core.records import Question, TraceMeasure
from weak2wise_core.selectors.measuring import (
    SERVES,
    Measurer,
    ReadingKind,
    deciding,
    measure,
    readings_for,
)

QUESTION = Question(id="q", question="What is 6 times 7?", answer="42")
THINKING = "Six sevens. Count: 7, 14. So it is 42. Wait, yes. It is 42."


class Reader:
    """Says how a text fits by a rule, and remembers what it was shown."""

    def __init__(self, rule: Callable[[Passage], tuple[Fit, ...] | None]) -> None:
        self.rule = rule
        self.shown: list[Passage] = []
        self.calls = 0

    async def read(self, passages: Sequence[Passage]) -> list[tuple[Fit, ...] | None]:
        """The rule's word on each."""
        self.calls += 1
        self.shown += passages
        return [self.rule(passage) for passage in passages]


def words(passage: Passage) -> tuple[Fit, ...]:
    """A token a word: log-probability minus its length, rank its length."""
    return tuple(
        Fit(
            log_probabilities=tuple(-float(len(word)) for word in piece.split()),
            ranks=tuple(len(word) for word in piece.split()),
        )
        for piece in passage.pieces
    )


async def run(reader: Reader, kind: ReadingKind, *, window: int = 2) -> list[TraceMeasure]:
    """Two candidates of one question; the second one's trace is a single sentence."""
    measurer = Measurer(
        reader=reader,
        count_tokens=lambda text: len(text.split()),
        selection=SelectionSettings(window=window, rank_cap=5, least_weight=0.5),
        sft=SFTFormatSettings(prompt_suffix="Think."),
        solve=SOLVE,
    )
    traces = [candidate(thinking=THINKING), candidate(draw=1, thinking="So it is 42.")]
    return await measure([QUESTION], traces, kind=kind, measurer=measurer)


async def test_the_whole_response_is_read_as_it_would_be_trained_on() -> None:
    """One passage a trace: prompt with suffix, `<think> trace </think> answer`."""
    reader = Reader(words)
    rows = await run(reader, ReadingKind.WHOLE)
    shown = reader.shown[1]
    assert [message.content for message in shown.messages] == ["What is 6 times 7?\n\nThink."]
    assert (shown.given, shown.pieces) == ("", ("<think> So it is 42. </think>", " 42"))
    found = {row.selector: row.value for row in rows if row.draw == 1}
    lengths = [len(word) for word in ["<think>", "So", "it", "is", "42.", "</think>", "42"]]
    assert found == {
        Selector.LOG_PROBABILITY: -sum(lengths) / len(lengths),
        Selector.RANK_SURPRISAL: sum(min(one, 5) for one in lengths) / sum(lengths),
        Selector.SOLUTION_LIKELIHOOD: -3.0,
    }


async def test_every_sentence_is_read_after_its_window() -> None:
    """The question stays in view, and no more sentences than the window holds."""
    reader = Reader(words)
    rows = await run(reader, ReadingKind.LOCAL)
    assert [one.given for one in reader.shown[:5]] == [
        "<think> ",
        "<think> Six sevens. ",
        "<think> Six sevens. Count: 7, 14. ",
        "<think> Count: 7, 14. So it is 42. ",
        "<think> So it is 42. Wait, yes. ",
    ]
    assert reader.shown[2].pieces == ("So it is 42.",)
    assert [row.selector for row in rows] == [Selector.LOCAL_NATURALNESS] * 2
    assert rows[1].value == -(2 + 2 + 2 + 3) / 4


async def test_cutting_goes_back_and_forth_and_advances_all_traces_together() -> None:
    """The box is filled in rightly from the third sentence on; one batch a round."""

    def enough(passage: Passage) -> tuple[Fit, ...]:
        right = "So it is 42." in passage.given
        return (Fit(log_probabilities=(-1.0,), ranks=(1 if right else 2,)),)

    reader = Reader(enough)
    rows = await run(reader, ReadingKind.CUTTING)
    assert [row.value for row in rows] == [9.0, 4.0]
    assert reader.calls == 3
    first = reader.shown[0]
    assert first.messages[0].content == SOLVE.fill(question=QUESTION.question)
    assert first.given == rf"<think> {THINKING} </think> \boxed{{"
    assert first.pieces == ("42}",)
    for shown in reader.shown:
        told = shown.given.removeprefix("<think> ").partition(" </think>")[0]
        assert THINKING.startswith(told) or told == "So it is 42."


async def test_a_trace_beyond_the_context_has_no_value() -> None:
    """It is not cut to fit; selectors rank it last."""
    for kind in ReadingKind:
        rows = await run(Reader(lambda _: None), kind)
        assert len(rows) == 2 * len(SERVES[kind])
        assert {row.value for row in rows} == {None}


def test_readings_serve_each_selector_once() -> None:
    """Selectors that read nothing need no reading; the others exactly one."""
    for one in Selector:
        assert len(readings_for([one])) == one.reads_model
    assert readings_for(Selector) == list(ReadingKind)


def test_who_chooses_decides_no_value() -> None:
    """Another choice, or another seed, measures nothing anew."""
    plain = SelectionSettings()
    other = SelectionSettings(by=Selector.RANDOM, seed=9)
    assert deciding(plain) == deciding(other)
    assert deciding(plain) != deciding(SelectionSettings(window=9))
