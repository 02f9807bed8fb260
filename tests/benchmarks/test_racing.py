"""The benchmark of the race on a few questions: it runs, and fails where a winner differs."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import racing

FEW = ("--questions", "4", "--timed-questions", "2")


def test_every_way_of_scoring_has_the_winners_of_all_calls(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three ways in three readings and the timed ones, with fewer calls and the same winners."""
    file = tmp_path / "found.json"
    assert racing.main([*FEW, "--json", str(file)]) == 0
    rows = json.loads(file.read_text())
    assert [row["way"] for row in rows] == [*racing.WAYS] * 4
    for every, _, race in zip(*[iter(rows)] * 3, strict=True):
        assert race["winners"] == every["winners"]
    for every, _, race in zip(*[iter(rows[:9])] * 3, strict=True):
        assert race["weak_calls"] < every["weak_calls"]
    assert "4 of 4" in capsys.readouterr().out


def scored(way: str, winners: tuple[str, ...]) -> racing.Scored:
    """One way with these winners."""
    return racing.Scored(
        way=way,
        reading="unit_range",
        questions=len(winners),
        weak_calls=9,
        judge_calls=9,
        seconds=1.0,
        winners=winners,
    )


@pytest.mark.parametrize("where", [0, 1])
def test_another_winner_is_an_exit_code(
    where: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Counted or timed, one question whose winner differs is named and fails the benchmark."""
    same = [scored(way, ("a0 1", "b1 0")) for way in racing.WAYS]
    found = [list(same), list(same)]
    found[where][2] = replace(same[2], winners=("a0 1", "b2 0"))

    async def measured(_: object) -> Any:
        return found

    monkeypatch.setattr(racing, "_all", measured)
    assert racing.main(FEW) == 1
    assert "race, unit_range: 1 of 2 questions have another" in capsys.readouterr().out
