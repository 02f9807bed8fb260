"""Laws of degenerate traces: a loop is found, real reasoning is none."""

import json
from pathlib import Path

import pytest

from weak2wise_core.config import LoopSettings
from weak2wise_core.related.loops import find_loop

SETTINGS = LoopSettings()


@pytest.mark.parametrize(
    ("unit", "copies"), [("Wait, let me check. ", 20), ("a ", 200), ("2 + 2 = 4.\n", 30)]
)
def test_a_loop_is_found_anywhere(unit: str, copies: int) -> None:
    """With its first place and its copies, whatever stands around it."""
    loop = find_loop("So x is 7; " + unit * copies + "Done: 7", settings=SETTINGS)
    assert loop is not None
    assert loop.unit.split() == unit.split()
    assert loop.copies >= copies
    assert loop.start <= len("So x is 7; ")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no " * 4,
        "Wait, let me check. " * 4,
        "-" * 100,
        "".join(f"Step {number}: we count on. " for number in range(60)),
    ],
)
def test_what_is_short_or_moves_on_is_no_loop(text: str) -> None:
    """Few copies, few words, a ruled line, a count that goes up."""
    assert find_loop(text, settings=SETTINGS) is None


def test_the_bounds_are_settings() -> None:
    """Copies and length, both."""
    text = "Wait, let me check. " * 4
    assert find_loop(text, settings=LoopSettings(copies=4, min_tokens=20)) is not None
    assert find_loop(text, settings=LoopSettings(copies=5, min_tokens=20)) is None


def test_real_traces_hardly_ever_loop(shared_data: Path) -> None:
    """Traces of four reasoning models: what is found is truly repeated, and it is rare."""
    path = shared_data / "traces" / "gsm8k_r1_qwq_s11_dsq_120q.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    texts = [row["reasoning_content"] or row["raw"] or "" for row in rows]
    found = [(text, find_loop(text, settings=SETTINGS)) for text in texts]
    loops = [(text, loop) for text, loop in found if loop is not None]
    assert len(loops) <= len(texts) / 100
    for text, loop in loops:
        assert "".join(text.split()).count("".join(loop.unit.split())) >= loop.copies


def test_real_loops_are_found_and_nothing_else(shared_data: Path) -> None:
    """Of 800 attempts of base models three run in circles; these, and no others."""
    path = shared_data / "attempts" / "gsm8k_openai_6b_175b.jsonl"
    texts = [json.loads(line)["attempt"] for line in path.read_text(encoding="utf-8").splitlines()]
    found = [loop for text in texts if (loop := find_loop(text, settings=SETTINGS)) is not None]
    assert len(found) == 3
    assert min(loop.copies for loop in found) > 50
