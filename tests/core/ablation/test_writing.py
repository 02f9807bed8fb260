"""Laws of what an ablation leaves behind."""

import json
from pathlib import Path

import pandas as pd
import pytest
from pydantic import TypeAdapter

from tests.core.ablation.making import verdicts
from weak2wise_core.ablation.comparing import BASE, compare
from weak2wise_core.ablation.drawing import draw
from weak2wise_core.ablation.preparing import PreparedPool, Training
from weak2wise_core.ablation.results import (
    AblationResult,
    arm_table,
    difference_table,
    disorder_lines,
    summarise,
)
from weak2wise_core.ablation.writing import CHOICES, RESULT, VERDICTS, markdown, write_ablation
from weak2wise_core.config.ablation import Arm
from weak2wise_core.errors import StoreError
from weak2wise_core.records import SFTExample, Truncation

ANSWERS = {
    ("highest", 0): "1111",
    ("highest", 1): "0000",
    ("random", 0): "1100",
    ("random", 1): "1100",
    (BASE, None): "0000",
}


def row(question: str, *, score: float = 0.5, tokens: int = 20) -> SFTExample:
    """A training row."""
    return SFTExample(
        question_id=question,
        prompt="p",
        response="<think> r </think> 1",
        answer="1",
        strong_model="a",
        draw=0,
        score=score,
        truncation=Truncation.RULE,
        tokens=tokens,
    )


POOL = PreparedPool(
    name="all",
    questions=("q", "r"),
    rows={
        Training(arm, seed): (row("q", score=score, tokens=tokens), row("r"))
        for arm, score, tokens in ((Arm.HIGHEST, 0.9, 30), (Arm.RANDOM, 0.3, 40))
        for seed in (0, 1)
    },
    left_out={"zero_score": 2},
)
ROWS = verdicts(ANSWERS)
RESULT_OF_ALL = AblationResult(
    name="d",
    version="0123456789ab",
    inputs={"seeds": [0, 1]},
    pools=(summarise(POOL),),
    comparisons=tuple(compare(ROWS, resamples=200)),
)


def test_the_folder_holds_every_verdict_and_every_choice(tmp_path: Path) -> None:
    """Whoever doubts a figure can compute it again from the tables."""
    folder = tmp_path / "d" / "0123456789ab"
    write_ablation(RESULT_OF_ALL, pools=[POOL], verdicts=ROWS, folder=folder)
    found = pd.read_parquet(folder / VERDICTS)
    correct = found["verdicts"].map(lambda given: list(given) == ["correct"])
    by_arm = correct.groupby(found["arm"]).mean().to_dict()
    assert by_arm == {"highest": 0.5, "random": 0.5, "base": 0.0}
    assert found["seed"].isna().sum() == 4
    choices = pd.read_parquet(folder / CHOICES)
    assert len(choices) == 8
    assert choices.groupby("arm")["tokens"].mean().to_dict() == {"highest": 25, "random": 30}
    plain = json.loads((folder / RESULT).read_text())
    read_back = TypeAdapter(AblationResult).validate_python(
        {key: value for key, value in plain.items() if key != "format"}
    )
    assert read_back == RESULT_OF_ALL
    text = (folder / "README.md").read_text()
    assert text == markdown(RESULT_OF_ALL)
    assert "| all | zero_score | 2 |" in text
    assert (folder / "accuracy-b.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that cannot be written leaves nothing behind, and a second writer changes nothing."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    folder = tmp_path / "d" / "v"
    with monkeypatch.context() as patched:
        patched.setattr("weak2wise_core.ablation.writing.pq.write_table", full)
        with pytest.raises((StoreError, OSError)):
            write_ablation(RESULT_OF_ALL, pools=[POOL], verdicts=ROWS, folder=folder)
    assert list((tmp_path / "d").iterdir()) == []
    write_ablation(RESULT_OF_ALL, pools=[POOL], verdicts=ROWS, folder=folder)
    before = (folder / RESULT).stat().st_mtime_ns
    write_ablation(RESULT_OF_ALL, pools=[POOL], verdicts=ROWS, folder=folder)
    assert (folder / RESULT).stat().st_mtime_ns == before


def test_the_tables_name_rows_scores_seeds_and_the_base_model_last() -> None:
    """One line an arm; the base model was trained on nothing."""
    table = arm_table(RESULT_OF_ALL, benchmark="b")
    assert [line[:6] for line in table] == [
        ("all", "highest", "2", "25", "0.700", "0.500"),
        ("all", "random", "2", "30", "0.400", "0.500"),
        ("", "base", "", "", "", "0.000"),
    ]
    assert table[0][-1] == "1.000 0.000"
    differences = difference_table(RESULT_OF_ALL, benchmark="b")
    assert differences[0][:3] == ("all", "highest - random", "+0.000")
    assert differences[0][-1] == "not told apart"


def test_a_failed_order_is_a_sentence_with_pool_seed_and_figures() -> None:
    """The reader need not look for it; where all is in order one sentence says that."""
    assert disorder_lines(RESULT_OF_ALL, benchmark="b") == [
        "the order fails: pool all, on average: highest 0.500 is not above random 0.500",
        "the order fails: pool all, seed 1: highest 0.000 is not above random 0.500",
    ]
    ordered = AblationResult(
        name="d",
        version="v",
        inputs={},
        pools=RESULT_OF_ALL.pools,
        comparisons=tuple(
            compare(verdicts({("highest", 0): "11", ("random", 0): "10"}), resamples=10)
        ),
    )
    (line,) = disorder_lines(ordered, benchmark="b")
    assert line.startswith("highest > random > lowest holds")


def test_a_figure_is_the_same_bytes_every_time() -> None:
    """No date and no random name is in it, and it names arms, pool and base."""
    first, second = (draw(RESULT_OF_ALL.comparisons, file_format="svg") for _ in range(2))
    assert first == second
    text = first.decode()
    assert all(word in text for word in ("highest", "random", "base", "pool all"))
