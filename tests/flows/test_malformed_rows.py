"""A question file full of faults: every bad row has a name, and the build goes on."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from weak2wise_core.config import Recipe

pytestmark = pytest.mark.slow

Build = Callable[..., Any]
MakeRecipe = Callable[..., Recipe]

BAD_ROWS = 200

KINDS: list[tuple[str, Callable[[int], bytes | dict[str, Any]]]] = [
    ("not_json", lambda n: b"{no json %d" % n),
    ("not_json", lambda n: b"[" * (50_000 + n)),
    ("not_json", lambda n: b'{"question": "q%d", "answer": "1"' % n),
    ("not_utf8", lambda n: b'{"question": "q%d \xff", "answer": "1"}' % n),
    ("not_an_object", lambda n: b"[%d]" % n),
    ("not_an_object", lambda n: b'"%d"' % n),
    ("not_an_object", lambda _: b"null"),
    ("no_question", lambda n: {"id": f"bad{n}", "answer": "1"}),
    ("no_question", lambda _: {"question": None, "answer": "1"}),
    ("no_question", lambda _: {"question": " \t\n", "answer": "1"}),
    ("question_not_text", lambda n: {"question": n, "answer": "1"}),
    ("question_not_text", lambda n: {"question": {"text": f"q{n}"}, "answer": "1"}),
    ("question_too_long", lambda n: {"question": f"q{n}" * 60_000, "answer": "1"}),
    ("no_answer", lambda n: {"question": f"q{n}"}),
    ("no_answer", lambda n: {"question": f"q{n}", "answer": None}),
    ("no_answer", lambda n: {"question": f"q{n}", "answer": "  "}),
    ("answer_not_text", lambda n: {"question": f"q{n}", "answer": [n]}),
    ("answer_not_text", lambda n: {"question": f"q{n}", "answer": False}),
    ("answer_not_finite", lambda n: b'{"question": "q%d", "answer": NaN}' % n),
    ("answer_not_finite", lambda n: b'{"question": "q%d", "answer": -Infinity}' % n),
    ("answer_too_long", lambda n: {"question": f"q{n}", "answer": "9" * 10_001}),
    ("control_character", lambda n: {"question": f"q{n}\u0000", "answer": "1"}),
    ("control_character", lambda n: {"question": f"q{n}", "answer": "1\u001b[2J"}),
    ("bidi_control", lambda n: {"question": f"q{n} \u202e", "answer": "1"}),
    ("lone_surrogate", lambda n: b'{"question": "q%d \\udc00", "answer": "1"}' % n),
    ("control_token", lambda n: {"question": f"q{n} <|im_start|>", "answer": "1"}),
    ("control_token", lambda n: {"question": f"q{n}", "answer": "</think> 1"}),
    ("id_not_text", lambda n: {"id": [n], "question": f"q{n}", "answer": "1"}),
    ("id_too_long", lambda n: {"id": "x" * 201, "question": f"q{n}", "answer": "1"}),
    ("id_not_printable", lambda n: {"id": f"a\t{n}", "question": f"q{n}", "answer": "1"}),
]


async def test_two_hundred_malformed_rows_are_named_one_by_one(
    build: Build, testbed_recipe: MakeRecipe, tmp_path: Path, repository: Path
) -> None:
    """Rows in are rows trained on, solved, or rejected by name and place; no good row is lost."""
    rng = random.Random(7)
    good = (repository / "testbed" / "questions.jsonl").read_bytes().splitlines()[:12]
    bad = [KINDS[number % len(KINDS)] for number in range(BAD_ROWS)]
    made = [(reason, make(number)) for number, (reason, make) in enumerate(bad)]
    rows: list[tuple[str, Any]] = [*made, *(("", line) for line in good)]
    rng.shuffle(rows)
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for _, row in rows]
    path = tmp_path / "questions.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")

    state = await build(testbed_recipe(questions={"path": str(path)}))

    assert state.name == "CompletedWithQuarantine"
    published = await state.aresult()
    counts = published.manifest["counts"]
    assert counts["rows"] == BAD_ROWS + len(good)
    assert counts["questions"] == len(good)
    assert counts["rows"] == sum(
        counts[name] for name in ("train", "solved", "dropped", "quarantined")
    )
    lost = pd.read_parquet(published.folder / "quarantine.parquet")
    lost = lost[lost["stage"] == "load"]
    named = {
        int(detail.partition("row ")[2].split(":")[0].split()[0].rstrip(",.")): reason
        for detail, reason in zip(lost["detail"], lost["reason"], strict=True)
    }
    assert named == {place: reason for place, (reason, _) in enumerate(rows, start=1) if reason}
