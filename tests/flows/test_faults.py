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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from benchmarks.auditing import check_adds_up, file_bytes, manifest_of, read
from benchmarks.loopback import LoopbackServer
from benchmarks.loopback_replies import LASTING_FAULTS, Fault, FaultPlan
from benchmarks.orchard import answer, content_for, recipe_for, rows, write_rows
from tasks.progress import Progress
from weak2wise_core.recipes import parse_recipe
from weak2wise_core.stores.replies import ReplyStore

pytestmark = pytest.mark.slow

Build = Callable[..., Awaitable[Any]]
Rates = dict[Fault, float]

QUESTIONS = rows(200)
IDS = [row["id"] for row in QUESTIONS]
MOST_DIFFERENT = [Fault.RATE_LIMITED, Fault.HANG, Fault.CUT_BODY, Fault.STREAM_STOPS]
SAME_TEXT = [Fault.OTHER_MODEL, Fault.NULL_FIELDS, Fault.MISSING_FIELDS]
OTHER_TEXT = sorted(LASTING_FAULTS - set(SAME_TEXT))
ALL_AT_ONCE = dict.fromkeys(Fault, 0.1 / len(Fault))
TRAINED_ON = ("train.parquet", "train.jsonl")


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hundred questions."""
    return write_rows(tmp_path_factory.mktemp("questions") / "q.jsonl", QUESTIONS)


class Builds:
    """Builds of the same questions on one store, and what the servers saw."""

    def __init__(self, build: Build, questions: Path, data: Path) -> None:
        self._build = build
        self._questions = questions
        self._data = data
        self.progress = Progress()
        self.server = LoopbackServer(answer)

    async def run(self, rates: Rates, *, judge: bool = False) -> Path:
        """Build against a server with these faults; the published folder, which adds up."""
        self.progress = Progress()
        self.server = LoopbackServer(answer, faults=FaultPlan(rates=rates, seed=3))
        with self.server:
            recipe = self._recipe(timeout_s=0.5 if Fault.HANG in rates else 60.0, judge=judge)
            state = await self._build(recipe, progress=self.progress, data=self._data)
        published = await state.aresult()
        lost = published.manifest["counts"]["quarantined"]
        assert state.name == ("CompletedWithQuarantine" if lost else "Completed"), state.message
        folder: Path = published.folder
        check_adds_up(folder, ids=IDS)
        check_named(folder)
        return folder

    def _recipe(self, *, timeout_s: float, judge: bool) -> Any:
        entry = {"timeout_s": timeout_s}
        if not judge:
            return recipe_for(self.server.base_url, self._questions, entry=entry)
        content = content_for(self.server.base_url, self._questions, entry=entry)
        models = content["models"]
        content["models"] = models | {"judge": models["weak"] | {"model": "judge"}}
        content["judging"] = {"method": "llm", "votes": 3}
        content["execution"] |= {"speculate": "always"}
        return parse_recipe(content)

    def stored(self) -> int:
        """Replies in the store."""
        with ReplyStore(self._data / "replies.sqlite") as store:
            return store.stats().replies

    def hit(self, model: str) -> list[str]:
        """The last message of every request to a model whose reply was faulty."""
        return [
            one.body["messages"][-1]["content"]
            for one in self.server.requests
            if one.fault is not None and one.body["model"] == model
        ]


@pytest.fixture
def builds(build: Build, questions: Path, tmp_path: Path) -> Builds:
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
async def whole(made_once: Whole, build: Build, questions: Path, tmp_path: Path) -> Whole:
    """The undisturbed build."""
    if not made_once.files:
        undisturbed = Builds(build, questions, tmp_path / "whole")
        made_once.files = file_bytes(await undisturbed.run({}))
        made_once.calls = undisturbed.progress.calls
    return made_once


def check_named(folder: Path) -> None:
    """Whoever reads a quarantine row knows what failed, where, and why."""
    for row in read(folder, "quarantine"):
        if row["kind"] != "quarantined":
            continue
        assert row["stage"] in {"filter_qa", "generate_candidates", "score_step_masks"} | {
            "select_golden",
            "truncate_golden",
        }
        assert row["reason"] in {"model_failed", "unjudged"}
        assert row["model"] in {"weak", "plain", "streamed", "judge"}
        assert row["draw"] is not None
        assert len(row["detail"].split()) >= 8
        if row["reason"] == "model_failed":
            assert "gave no reply in 3 tries; the last failure: " in row["detail"]
            assert "127.0.0.1" in row["detail"]


@pytest.mark.parametrize("fault", MOST_DIFFERENT)
async def test_what_a_passing_fault_took_the_next_build_brings_back(
    fault: Fault, builds: Builds, whole: Whole
) -> None:
    """A question whose retries are used up is one row; with the fault gone the bytes are whole.

    Nothing is paid for twice: both builds together ask for as many replies as one undisturbed one.
    """
    damaged = await builds.run({fault: 0.2})
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
    await builds.run({fault: 0.2})
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
    first = await builds.run({fault: 0.2})
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
    judge: bool, builds: Builds, build: Build, questions: Path, tmp_path: Path
) -> None:
    """Whatever comes at once, the rows add up, and a dataset is a function of the stored replies.

    A second build mends what passed. A third one, with nothing but the reply store and no server
    at all behind the address, gives the same bytes.
    """
    damaged = await builds.run(ALL_AT_ONCE, judge=judge)
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
