"""Laws of a build behind a server that fails on purpose: nothing is lost, everything is named.

200 questions, and one strong model that streams while the other does not. To the flow all failures
that pass are alike: a call that ended in a `TransientModelError`. So four of them come here, each
alone in 20% of all requests, of the kinds that differ most (a status, silence, half a body, half a
stream), and the others at the stages, in tests/core/stages/test_faults.py. Faults inside a reply
that arrived differ in what becomes of them: every one of these comes here. Last come all of them
together in 10% of all requests, judged by rule and by a model.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from benchmarks.auditing import DiscrepancyError, check_named, file_bytes, manifest_of
from benchmarks.fault_builds import Builds, Orchard
from benchmarks.faults import ALL, broken, outcome_of, play, rates_of, table
from benchmarks.loopback_replies import LASTING_FAULTS, Fault
from benchmarks.orchard import rows, write_rows

pytestmark = pytest.mark.slow

Build = Callable[..., Awaitable[Any]]

QUESTIONS = rows(200)
MOST_DIFFERENT = [Fault.RATE_LIMITED, Fault.HANG, Fault.CUT_BODY, Fault.STREAM_STOPS]
SAME_TEXT = [Fault.OTHER_MODEL, Fault.NULL_FIELDS, Fault.MISSING_FIELDS]
OTHER_TEXT = sorted(LASTING_FAULTS - set(SAME_TEXT))
TRAINED_ON = ("train.parquet", "train.jsonl")


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Orchard:
    """Two hundred questions."""
    path = write_rows(tmp_path_factory.mktemp("questions") / "q.jsonl", QUESTIONS)
    return Orchard(path=path, ids=[row["id"] for row in QUESTIONS])


@pytest.fixture
def builds(build: Build, questions: Orchard, tmp_path: Path) -> Builds:
    """Builds on a new store."""
    return Builds(build, questions, tmp_path / "data")


@dataclass(slots=True)
class Whole:
    """A build in which nothing went wrong."""

    files: dict[str, bytes] = field(default_factory=dict)
    calls: int = 0


@pytest.fixture(scope="module")
def made_once() -> Whole:
    """Filled by the first test that needs it."""
    return Whole()


@pytest.fixture
async def whole(made_once: Whole, build: Build, questions: Orchard, tmp_path: Path) -> Whole:
    """The undisturbed build."""
    if not made_once.files:
        undisturbed = Builds(build, questions, tmp_path / "whole")
        made_once.files = file_bytes(await undisturbed.run({}))
        made_once.calls = undisturbed.progress.calls
    return made_once


@pytest.mark.parametrize("fault", MOST_DIFFERENT)
async def test_what_a_passing_fault_took_the_next_build_brings_back(
    fault: Fault, builds: Builds, whole: Whole
) -> None:
    """A question whose retries are used up is one row; with the fault gone the bytes are whole.

    Nothing is paid for twice: both builds together ask for as many replies as one undisturbed one.
    """
    damaged = await builds.run(rates_of(fault))
    first = builds.progress.calls
    assert manifest_of(damaged)["counts"]["quarantined"] > 0
    assert builds.server.stats()["faults"][fault.value] > 100
    assert builds.stored() == first
    repaired = await builds.run({})
    assert file_bytes(repaired) == whole.files
    assert len(builds.server.requests) == builds.progress.calls
    assert builds.stored() == first + builds.progress.calls == whole.calls


@pytest.mark.parametrize("fault", SAME_TEXT)
async def test_a_fault_beside_the_text_changes_no_training_row(
    fault: Fault, builds: Builds, whole: Whole
) -> None:
    """A reply under another model id, or without one, trains as any other, and is counted as such.

    A stream that brings no finish reason is broken off and asked again; a later build mends what
    that cost. The model ids of the manifest say how many replies named which.
    """
    await builds.run(rates_of(fault))
    hit = Counter(one.body["model"] for one in builds.server.requests if one.fault is not None)
    folder = await builds.run({})
    files = file_bytes(folder)
    assert all(files[name] == whole.files[name] for name in TRAINED_ON)
    assert files["manifest.json"] != whole.files["manifest.json"]
    models = manifest_of(folder)["models"]
    other = {model: f"{model}-0925" if fault is Fault.OTHER_MODEL else "" for model in models}
    assert models["plain"][other["plain"]] == hit["plain"] > 0
    assert models["weak"][other["weak"]] >= hit["weak"] > 0  # two rows may share a reply
    assert all(models[model][model] > 0 for model in models)


@pytest.mark.parametrize("fault", OTHER_TEXT)
async def test_a_faulty_reply_is_a_reply(fault: Fault, builds: Builds) -> None:
    """What arrived was paid for: it is stored, judged as it is, and never asked for again.

    So a build without the faults on the same store asks nothing and gives the same bytes.
    """
    first = await builds.run(rates_of(fault))
    assert builds.stored() == builds.progress.calls
    check_fate(fault, builds, first)
    again = await builds.run({})
    assert builds.server.requests == []
    assert file_bytes(again) == file_bytes(first)


def check_fate(fault: Fault, builds: Builds, folder: Path) -> None:
    """Every faulty reply of a strong model is a refused candidate with the name of its fault.

    One that is merely long is none: it holds its steps and its answer.
    """
    refused = manifest_of(folder)["candidates_refused"]
    name = {
        Fault.LENGTH: "cut_by_length",
        Fault.CONTENT_FILTER: "content_filter",
        Fault.NULL_CONTENT: "no_step",
        Fault.LARGE: None,
    }[fault]
    for model in ("plain", "streamed"):
        assert refused[model] == ({name: len(builds.hit(model))} if name else {})
    unaided = sum("## Hint" not in text for text in builds.hit("weak"))
    assert 0 < unaided < len(builds.hit("weak"))
    quarantined = manifest_of(folder)["quarantined"]
    withheld = {"filter_qa": {"unjudged": unaided}} if fault is Fault.CONTENT_FILTER else {}
    assert {stage: quarantined[stage] for stage in quarantined if stage == "filter_qa"} == withheld


@pytest.mark.parametrize("judge", [False, True], ids=["rule", "model"])
async def test_all_faults_together_lose_nothing(
    judge: bool, builds: Builds, build: Build, questions: Orchard, tmp_path: Path
) -> None:
    """Whatever comes at once, the rows add up, and a dataset is a function of the stored replies.

    A second build mends what passed. A third one, with nothing but the reply store and no server
    at all behind the address, gives the same bytes.
    """
    damaged = await builds.run(rates_of(ALL), judge=judge)
    stats = builds.server.stats()
    assert len(stats["faults"]) > 0.8 * len(Fault)  # a rare kind may not have been drawn
    assert manifest_of(damaged)["counts"]["train"] > 0
    repaired = await builds.run({}, judge=judge)
    assert not any("model_failed" in one for one in manifest_of(repaired)["quarantined"].values())
    bare = tmp_path / "bare"
    bare.mkdir()
    (tmp_path / "data" / "replies.sqlite").rename(bare / "replies.sqlite")
    from_store = Builds(build, questions, bare)
    again = await from_store.run({}, judge=judge)
    assert file_bytes(again) == file_bytes(repaired)


async def test_the_command_tells_what_became_of_every_build(build: Build, tmp_path: Path) -> None:
    """Twelve questions behind a fault that passes and behind all of them; what is lost is named."""
    path, kinds = write_rows(tmp_path / "q.jsonl", rows(12)), (Fault.SERVER_ERROR, ALL)
    how = {"questions": 12, "build": build, "folder": tmp_path, "console": Console(file=StringIO())}
    found = await play(kinds, **how)  # type: ignore[arg-type]
    assert [one.fault for one in found] == list(kinds)
    assert [*broken(found)] == []
    for one in found:
        assert one.train + one.solved + one.dropped + one.quarantined == one.rows == 12
    assert table(found).row_count == len(kinds) + 1

    more = Orchard(path=path, ids=[*(row["id"] for row in rows(12)), "q999"])
    lossy = await outcome_of(Fault.LENGTH, build=build, questions=more, data=tmp_path / "data")
    assert [*broken([lossy, replace(found[1], injected=0)])] == [
        "length: rows lost, or there twice: Counter({'q999': 1}), Counter()",
        f"all: no reply of {found[1].requests} had a fault; ask more questions",
    ]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({}, None),
        ({"stage": ""}, "without its stage"),
        ({"model": "unknown"}, "without its model"),
        ({"draw": None}, "without its draw"),
        ({"reason": "bad luck"}, "unknown reason"),
        ({"detail": "it failed"}, "fewer than eight words"),
        ({"detail": "it failed for whatever reason there may have been"}, "not explained"),
    ],
)
def test_a_quarantined_row_names_what_failed(
    change: dict[str, Any], what: str | None, tmp_path: Path
) -> None:
    """A row without one of its parts does not pass."""
    row = {"kind": "quarantined", "stage": "filter_qa", "model": "weak", "draw": 0}
    row |= {"reason": "model_failed", "detail": "h gave no reply in 3 tries; the last failure: 500"}
    pd.DataFrame([row | change]).to_parquet(tmp_path / "quarantine.parquet")
    found = nullcontext() if what is None else pytest.raises(DiscrepancyError, match=what)
    with found:
        check_named(tmp_path, models={"weak"}, tries=3, host="h")
