"""The benchmark of builds, with a few questions."""

import json
from argparse import Namespace
from pathlib import Path

import pytest

import tasks.identities
import tasks.runtime
from benchmarks.builds import Built, build_here, medians
from flows.road import Stages

REPLACED = (
    (tasks.runtime, "open_model"),
    (tasks.identities, "local_model"),
    (Stages, "of"),
)


def built(folder: Path, *, again: bool) -> Built:
    """A build without the engine, of three questions."""
    questions = folder / "questions.jsonl"
    rows = [{"id": f"q{n}", "question": f"Item {n}: how many?", "answer": "42"} for n in range(3)]
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = {"questions": questions, "count": 3, "engine": "off", "again": again}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WEAK2WISE_DATA", str(folder / "data"))
        for owner, name in REPLACED:  # the benchmark has a process of its own; put them back here
            patch.setattr(owner, name, getattr(owner, name))
        return build_here(Namespace(**options, latency_ms=0.0, in_flight=8, no_store=False))


@pytest.mark.slow
def test_a_build_is_made_once(tmp_path: Path) -> None:
    """The second one finds everything ready, and has the same version."""
    first, second = built(tmp_path, again=False), built(tmp_path, again=True)
    assert first.calls > 3
    assert second.calls == 0
    assert first.version == second.version
    assert [one.again for one in medians([first, second, second])] == [False, True]
