"""Laws of the race: it asks less and decides the same."""

import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weak2wise_core.config import Policy, Reading, StepMaskSettings
from weak2wise_core.racing import Cell, Entrant, Race
from weak2wise_core.records import MaskOutcomes, Verdict
from weak2wise_core.selection import select_golden

Table = list[list[Verdict]]


@st.composite
def questions(draw: st.DrawFn) -> tuple[StepMaskSettings, list[Entrant], Table]:
    """Settings, candidates and the verdict that each level would get; ties are common."""
    levels = draw(st.integers(2, 12))
    settings = StepMaskSettings(
        granularity=levels,
        beta=draw(st.sampled_from([0.0, 0.1, 1 / 3, 0.5, 0.75, 1.0]) | st.floats(0, 1)),
        reading=draw(st.sampled_from(Reading)),
    )
    verdict = st.sampled_from([Verdict.CORRECT, Verdict.INCORRECT] * 6 + [Verdict.UNJUDGED])
    row = st.lists(verdict, min_size=levels, max_size=levels)
    table = draw(st.lists(row, max_size=8))
    entrants = [
        Entrant(normal_tokens=draw(st.integers(1, 3)), strong_model=f"m{i % 2}", draw=i // 2)
        for i in range(len(table))
    ]
    return settings, entrants, table


def rows(entrants: list[Entrant], table: list[list[Verdict | None]]) -> list[MaskOutcomes]:
    """A table as the rows that selection reads."""
    return [
        MaskOutcomes(
            question_id="q",
            strong_model=one.strong_model,
            draw=one.draw,
            outcomes=tuple(Verdict.UNJUDGED if known is None else known for known in levels),
            asked=tuple(verdict is not None for verdict in levels),
            attempts=("",) * len(levels),
            normal_tokens=one.normal_tokens,
            spent=(),
        )
        for one, levels in zip(entrants, table, strict=True)
    ]


def run(settings: StepMaskSettings, entrants: list[Entrant], table: Table) -> Race:
    """Drive a race to its end with the verdicts of a table."""
    race = Race(entrants, settings=settings)
    while (cell := race.next_cell()) is not None:
        race.record(cell, table[cell.candidate][cell.level])
    return race


def identity(row: MaskOutcomes | None) -> tuple[str, int] | None:
    """Which candidate a row is."""
    return None if row is None else (row.strong_model, row.draw)


@given(questions())
def test_a_race_and_an_exhaustive_run_choose_the_same_candidate(
    question: tuple[StepMaskSettings, list[Entrant], Table],
) -> None:
    """For every reading, beta and granularity, with ties, zeros and unjudged levels."""
    settings, entrants, table = question
    race = run(settings, entrants, table)
    exhaustive = select_golden(rows(entrants, [list(one) for one in table]), settings=settings)
    raced = select_golden(rows(entrants, race.outcomes), settings=settings)
    assert identity(raced.winner) == identity(exhaustive.winner)
    assert raced.score == exhaustive.score


@given(questions())
def test_a_race_asks_no_cell_twice_and_never_more_than_all(
    question: tuple[StepMaskSettings, list[Entrant], Table],
) -> None:
    """Every cell that was asked holds the verdict it got, and only those cells."""
    settings, entrants, table = question
    race = run(settings, entrants, table)
    for known, truth in zip(race.outcomes, table, strict=True):
        assert all(found in (None, verdict) for found, verdict in zip(known, truth, strict=True))


@given(questions(), st.randoms(use_true_random=False))
def test_the_order_of_the_candidates_does_not_matter(
    question: tuple[StepMaskSettings, list[Entrant], Table], shuffled: random.Random
) -> None:
    """However candidates are lined up, the same cells are asked and the same one wins."""
    settings, entrants, table = question
    order = list(range(len(entrants)))
    shuffled.shuffle(order)
    one = run(settings, entrants, table)
    other = run(settings, [entrants[i] for i in order], [table[i] for i in order])
    assert [one.outcomes[i] for i in order] == other.outcomes


def test_the_winner_is_known_at_every_level() -> None:
    """The winner's score is exact, so that a score of 0 is certain."""
    settings = StepMaskSettings()
    table = [[Verdict.INCORRECT] * 6, [Verdict.CORRECT] * 3 + [Verdict.INCORRECT] * 3]
    entrants = [Entrant(normal_tokens=1, strong_model="a", draw=draw) for draw in range(2)]
    assert None not in run(settings, entrants, table).outcomes[1]


def test_all_zero_candidates_are_all_asked() -> None:
    """Nobody wins with a score of 0 before every level of every candidate is known to fail."""
    entrants = [Entrant(normal_tokens=1, strong_model="a", draw=draw) for draw in range(6)]
    table = [[Verdict.INCORRECT] * 6 for _ in entrants]
    race = run(StepMaskSettings(), entrants, table)
    assert None not in [cell for row in race.outcomes for cell in row]


@pytest.mark.parametrize("reading", Reading)
def test_the_first_cell_is_the_most_masked_level_of_the_shortest_trace(reading: Reading) -> None:
    """With nothing known, ties decide who is asked first."""
    entrants = [
        Entrant(normal_tokens=9, strong_model="a", draw=0),
        Entrant(normal_tokens=5, strong_model="b", draw=0),
    ]
    race = Race(entrants, settings=StepMaskSettings(reading=reading))
    assert race.next_cell() == Cell(1, 5)


@pytest.mark.parametrize("reading", Reading)
def test_the_unmasked_level_of_a_candidate_is_asked_last(reading: Reading) -> None:
    """It is the likeliest to be answered, however much a reading makes of it."""
    race = Race(
        [Entrant(normal_tokens=1, strong_model="a", draw=0)],
        settings=StepMaskSettings(reading=reading),
    )
    asked = []
    while (cell := race.next_cell()) is not None:
        asked.append(cell.level)
        race.record(cell, Verdict.CORRECT)
    assert asked == [5, 4, 3, 2, 1, 0]


def test_a_cell_is_recorded_once() -> None:
    """Two verdicts for one cell are a fault of the driver."""
    race = Race([Entrant(normal_tokens=1, strong_model="a", draw=0)], settings=StepMaskSettings())
    race.record(Cell(0, 0), Verdict.CORRECT)
    with pytest.raises(ValueError, match="recorded before"):
        race.record(Cell(0, 0), Verdict.CORRECT)


def test_a_race_asks_about_two_fifths_on_typical_outcomes() -> None:
    """On simulated questions, whose success falls with the mask, most cells are never asked."""
    rng = random.Random(7)
    asked = 0
    for _ in range(300):
        skill = [rng.random() for _ in range(6)]
        table = [
            [
                Verdict.CORRECT if rng.random() < one * (1 - level / 7) else Verdict.INCORRECT
                for level in range(6)
            ]
            for one in skill
        ]
        entrants = [
            Entrant(normal_tokens=rng.randint(500, 5000), strong_model="m", draw=draw)
            for draw in range(6)
        ]
        race = run(StepMaskSettings(policy=Policy.RACE), entrants, table)
        asked += sum(cell is not None for row in race.outcomes for cell in row)
    assert Fraction(asked, 300 * 36) < Fraction(1, 2)


@given(questions())
def test_guesses_are_cells_that_can_come_next(
    question: tuple[StepMaskSettings, list[Entrant], Table],
) -> None:
    """The cell that a race asks next is among the first two guesses, whatever the verdict."""
    settings, entrants, table = question
    race = Race(entrants, settings=settings)
    while (cell := race.next_cell()) is not None:
        guesses = race.guesses(cell, most=5)
        assert len(guesses) == len(set(guesses)) <= 5
        assert cell not in guesses
        assert all(race.can_matter(one) for one in [cell, *guesses])
        verdict = table[cell.candidate][cell.level]
        race.record(cell, verdict)
        assert not race.can_matter(cell)
        following = race.next_cell()
        if following is not None and verdict is not Verdict.UNJUDGED:
            assert following in guesses[:2]
