"""Laws of the flow: what is recomputed, what is never lost, how a build ends."""

import hashlib
import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from benchmarks.loopback import LoopbackServer
from benchmarks.loopback_replies import Reply
from tasks.caching import StageKey
from tasks.progress import STAGES, Progress
from tests.flows.showing import artifacts
from weak2wise_core.config import GenerateSettings, ModelSpec, Recipe
from weak2wise_core.equivalence import AnswerChecker
from weak2wise_core.errors import FatalModelError, InputFileError, MissingKeyError, RecipeError
from weak2wise_core.importing import import_rows
from weak2wise_core.llm.tokens import Tokens
from weak2wise_core.recipes import parse_recipe
from weak2wise_core.records import CandidateTrace
from weak2wise_core.report.drawing import FIGURES
from weak2wise_core.stores.parquet import write

pytestmark = pytest.mark.slow

Build = Callable[..., Awaitable[Any]]
MakeRecipe = Callable[..., Recipe]
ALL_STAGES = {
    "filter_qa",
    "generate_candidates",
    "score_step_masks",
    "select_golden",
    "truncate_golden",
    "format_sft",
}


def recomputed(progress: Progress) -> set[str]:
    """Stages that ran for at least one question instead of coming from the cache."""
    return {stage for stage in ALL_STAGES if progress.entered[stage] > progress.cached[stage]}


async def test_a_dataset_is_built_and_a_second_build_asks_nothing(
    build: Build, testbed_recipe: MakeRecipe, tmp_path: Path
) -> None:
    """The same build again takes every stage from the cache and gives the same version."""
    first, second = Progress(), Progress()
    state = await build(testbed_recipe(), progress=first)
    assert state.name == "Completed", state.message
    again = await build(testbed_recipe(), progress=second)
    published, republished = await state.aresult(), await again.aresult()
    assert first.calls > 0
    assert recomputed(first) == ALL_STAGES
    assert (second.calls, second.stored, recomputed(second)) == (0, 0, set())
    assert republished.version == published.version
    files = str(tmp_path / "data" / "results" / "stage=score_step_masks" / "*.parquet")
    stored = duckdb.sql(f"select count(*), count(distinct question_id) from '{files}'")
    assert stored is not None
    assert stored.fetchall() == [
        (published.manifest["counts"]["scored"], first.entered["score_step_masks"])
    ]


async def test_another_beta_recomputes_the_selection_and_asks_nothing(
    build: Build, testbed_recipe: MakeRecipe
) -> None:
    """Outcomes of mask levels do not depend on how they are weighed."""
    await build(testbed_recipe(), progress=Progress())
    progress = Progress()
    recipe = testbed_recipe(step_mask={"beta": 0.9, "policy": "exhaustive"})
    state = await build(recipe, progress=progress)
    assert state.name == "Completed"
    assert (progress.calls, progress.stored) == (0, 0)
    assert recomputed(progress) <= {"select_golden", "truncate_golden", "format_sft"}
    assert "select_golden" in recomputed(progress)


async def test_a_race_gives_the_same_training_set(
    build: Build, testbed_recipe: MakeRecipe, tmp_path: Path
) -> None:
    """Racing and asking every level end with the same train.parquet, byte for byte."""
    asked, train = {}, {}
    for policy in ("race", "exhaustive"):
        progress = Progress()
        recipe = testbed_recipe(step_mask={"policy": policy})
        state = await build(recipe, progress=progress, data=tmp_path / policy)
        published = await state.aresult()
        train[policy] = (published.folder / "train.parquet").read_bytes()
        asked[policy] = published.manifest["counts"]["mask_levels_asked"]
    assert train["race"] == train["exhaustive"]
    assert asked["race"] < asked["exhaustive"]


async def test_one_changed_question_recomputes_one_shard(
    build: Build, testbed_recipe: MakeRecipe, tmp_path: Path, repository: Path
) -> None:
    """Questions of other shards come from the cache; those beside it from the reply store."""
    lines = (repository / "testbed" / "questions.jsonl").read_text().splitlines()[:13]
    rows = [json.loads(line) for line in lines]
    path = tmp_path / "questions.jsonl"

    def recipe(chosen: list[dict[str, Any]]) -> Recipe:
        path.write_text("".join(json.dumps(row) + "\n" for row in chosen))
        return testbed_recipe(questions={"path": str(path)})

    first, second = Progress(), Progress()
    await build(recipe(rows[:12]), progress=first)
    changed = [*rows[:11], rows[12] | {"id": rows[11]["id"]}]
    await build(recipe(changed), progress=second)
    assert 1 <= second.entered["filter_qa"] - second.cached["filter_qa"] <= 4
    assert 1 <= second.calls < first.calls / 3


async def test_a_build_without_a_helpful_trace_says_so(
    build: Build, testbed_recipe: MakeRecipe, repository: Path, tmp_path: Path
) -> None:
    """Each action on a score of 0 does what it says, from the same outcomes."""
    skipped = {
        "generate": {"samples_per_model": 1},
        "questions": {"path": str(repository / "testbed" / "questions.jsonl"), "limit": 40},
        "execution": {"questions_per_task": 40},
    }
    dropped = await (await build(testbed_recipe(**skipped))).aresult()
    zeros = dropped.manifest["dropped"]["select_golden"]["zero_score"]
    assert zeros >= 1
    counts = dropped.manifest["counts"]

    kept = testbed_recipe(**skipped, zero_score={"action": "keep"})
    manifest = (await (await build(kept)).aresult()).manifest
    assert manifest["counts"]["train"] == counts["train"] + zeros

    waiting = testbed_recipe(**skipped, zero_score={"action": "annotate"})
    published = await (await build(waiting)).aresult()
    queue = [
        json.loads(line)
        for line in (published.folder / "annotation_queue.jsonl").read_text().splitlines()
    ]
    assert len(queue) == zeros
    filled = tmp_path / "filled.jsonl"
    queue[0]["reasoning"] = "A person wrote this."
    filled.write_text("".join(json.dumps(row) + "\n" for row in queue))
    answered = testbed_recipe(
        **skipped, zero_score={"action": "annotate", "annotations": str(filled)}
    )
    published = await (await build(answered)).aresult()
    assert published.manifest["golden"]["by_source"]["annotation"] == 1
    train = pd.read_parquet(published.folder / "train.parquet")
    assert train["response"].str.contains("A person wrote this.").sum() == 1

    again = testbed_recipe(**skipped, zero_score={"action": "resample", "max_draws": 4})
    manifest = (await (await build(again)).aresult()).manifest
    left = manifest["dropped"].get("select_golden", {}).get("zero_score", 0)
    assert left < zeros
    assert manifest["counts"]["train"] == counts["train"] + zeros - left
    assert manifest["counts"]["candidates"] > counts["candidates"]


def server_recipe(server: LoopbackServer, questions: Path, **changes: Any) -> Recipe:
    """A recipe whose models all stand behind one loopback server."""
    entry = {"backend": "openai", "model": "m", "base_urls": [server.base_url], "retries": 0}
    tokenizer = Path(__file__).parents[2] / "testbed" / "weak_model"
    content: dict[str, Any] = {
        "dataset": "served",
        "questions": {"path": str(questions)},
        "models": {
            "weak": entry | {"tokenizer": str(tokenizer)},
            "strong": [entry | {"name": "strong", "model": "s"}],
        },
        "generate": {"samples_per_model": 1},
        "step_mask": {"policy": "exhaustive"},
        "judging": {"method": "rule"},
        "truncation": {"method": "rule"},
        "sft": {"max_tokens": 4096},
    }
    return parse_recipe(content | changes)


def script(request: dict[str, Any]) -> Reply | str:
    """A weak model that knows nothing without a hint, and a strong one that knows."""
    if request["model"] == "s":
        return Reply(content="## Add\n1 + 1 is two\n\n## Final Answer\n2", reasoning="1 + 1 = 2.")
    return r"\boxed{2}" if "is two" in request["messages"][-1]["content"] else r"\boxed{0}"


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """Four questions."""
    rows = [
        {"id": f"q{i}", "question": f"What is 1 + 1, number {i}?", "answer": 2} for i in range(4)
    ]
    path = tmp_path / "q.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


async def test_keys_made_beforehand_are_those_of_the_engine(
    build: Build, questions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a key is made of is what the engine hands to the stage, no more and no less."""
    keys: dict[str, tuple[str | None, str]] = {}
    compute_key = StageKey.compute_key

    def noted(self: StageKey, *, inputs: dict[str, Any], **more: Any) -> str:
        keys[self.stage] = self.known, self.of(inputs)
        return compute_key(self, inputs=inputs, **more)

    monkeypatch.setattr(StageKey, "compute_key", noted)
    with LoopbackServer(script) as server:
        await (await build(server_recipe(server, questions))).aresult()
    assert keys.keys() == ALL_STAGES
    assert all(known == found for known, found in keys.values())


async def test_the_tokenizer_is_needed_only_where_something_is_left_to_do(
    build: Build, questions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that cannot be read is found before anything is asked; a finished build needs none."""

    def unreadable(_: ModelSpec) -> Tokens:
        raise RecipeError("no tokenizer")

    with LoopbackServer(script) as server:
        recipe = server_recipe(server, questions)
        with monkeypatch.context() as broken:
            broken.setattr("tasks.runtime.load_tokens", unreadable)
            with pytest.raises(RecipeError, match="no tokenizer"):
                await (await build(recipe)).aresult()
        assert server.requests == []
        published = await (await build(recipe)).aresult()
        monkeypatch.setattr("tasks.runtime.load_tokens", unreadable)
        again = await (await build(recipe)).aresult()
    assert again.version == published.version


async def test_a_failing_question_is_quarantined_and_asked_again(
    build: Build, questions: Path
) -> None:
    """One bad question is one named row; the next build asks for it and for nothing else."""
    broken = True

    def sometimes(request: dict[str, Any]) -> Reply | str:
        bad = broken and "number 3" in request["messages"][0]["content"]
        return Reply(status=500) if bad and request["model"] == "s" else script(request)

    with LoopbackServer(sometimes) as server:
        recipe = server_recipe(
            server, questions, execution={"max_quarantine_fraction": 0.5, "questions_per_task": 4}
        )
        state = await build(recipe, progress=Progress())
        assert state.name == "CompletedWithQuarantine", state.message
        published = await state.aresult()
        lost = pd.read_parquet(published.folder / "quarantine.parquet").to_dict("records")
        assert [(row["question_id"], row["stage"], row["model"], row["draw"]) for row in lost] == [
            ("q3", "generate_candidates", "strong", 0)
        ]
        assert "500" in lost[0]["detail"]
        broken = False
        second = Progress()
        repaired = await build(recipe, progress=second)
    assert repaired.name == "Completed"
    assert (await repaired.aresult()).manifest["counts"]["train"] == 4
    assert second.calls == 1 + 6  # the failed draw and its mask levels


async def test_too_many_failures_publish_nothing(
    build: Build, questions: Path, tmp_path: Path
) -> None:
    """Above the limit the build fails by name, and there is no dataset."""

    def down(request: dict[str, Any]) -> Reply | str:
        return Reply(status=503) if request["model"] == "s" else script(request)

    with LoopbackServer(down) as server:
        state = await build(server_recipe(server, questions))
    assert (state.type.value, state.name) == ("FAILED", "TooManyQuarantined")
    assert "4 of 4" in state.message
    assert not (tmp_path / "data" / "datasets").exists()


async def test_a_reached_budget_stops_and_goes_on_when_it_is_raised(
    build: Build, questions: Path
) -> None:
    """The cap is never crossed, and what was paid for is used by the next build."""
    with LoopbackServer(script) as server:
        state = await build(server_recipe(server, questions, budget={"calls": 7}))
        assert state.name == "StoppedAtBudget"
        assert len(server.requests) == 7
        progress = Progress()
        state = await build(server_recipe(server, questions), progress=progress)
        assert state.name == "Completed"
        assert len(server.requests) == 7 + progress.calls == 4 + 4 + 24


async def test_a_model_that_is_not_there_stops_the_build_at_once(
    build: Build, questions: Path
) -> None:
    """A server that is down gives one clear error, not a quarantined set."""
    with LoopbackServer(script) as server:
        recipe = server_recipe(server, questions)
    state = await build(recipe)
    error = await state.aresult(raise_on_failure=False)
    assert isinstance(error, FatalModelError)
    assert "no server answers" in str(error)


async def test_a_missing_key_is_found_before_anything_is_asked(
    build: Build, questions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the variable, and no model was asked."""
    monkeypatch.delenv("ABSENT_KEY", raising=False)
    with LoopbackServer(script) as server:
        plain = server_recipe(server, questions)
        spec = plain.models.strong[0].model_copy(update={"api_key_env": "ABSENT_KEY"})
        models = plain.models.model_copy(update={"strong": (spec,)})
        state = await build(plain.model_copy(update={"models": models}))
        error = await state.aresult(raise_on_failure=False)
        assert isinstance(error, MissingKeyError)
        assert "ABSENT_KEY" in str(error)
        assert server.requests == []


async def test_skipping_the_filter_makes_no_filter_call(build: Build, questions: Path) -> None:
    """With the filter off every question is kept and the weak model is not asked about it."""
    with LoopbackServer(script) as server:
        state = await build(server_recipe(server, questions, filter={"enabled": False}))
        unaided = [r for r in server.requests if "## Hint" not in r.body["messages"][-1]["content"]]
        assert state.name == "Completed"
        assert {request.body["model"] for request in unaided} == {"s"}


async def test_artifacts_hold_the_real_numbers(build: Build, testbed_recipe: MakeRecipe) -> None:
    """Progress, drops, figures, links, account and summary are there for the engine's pages."""
    published = await (await build(testbed_recipe(dataset="artifacts"))).aresult()
    shown = ["progress", "account", "summary", "drops", "stages", "figures", "report", "dataset"]
    shown += [f"progress-{stage}".replace("_", "-") for stage in STAGES]
    rows = await artifacts(*(f"artifacts-{one}" for one in shown))
    found = {key: data[-1] for key, data in rows.items()}
    assert float(found["artifacts-progress"]) == 100.0
    for stage in STAGES:
        key = f"artifacts-progress-{stage}".replace("_", "-")
        assert float(found[key]) == 100.0
    assert {row["stage"] for row in json.loads(found["artifacts-stages"])} == set(STAGES)
    assert found["artifacts-figures"].count("data:image/svg+xml;base64,") == len(FIGURES)
    assert str(published.folder / "report.html") in found["artifacts-report"]
    assert published.folder.as_uri() in found["artifacts-dataset"]
    account = json.loads(found["artifacts-account"])
    assert sum(row["calls"] + row["stored"] for row in account) > 0
    assert published.version in found["artifacts-summary"]
    assert json.loads(found["artifacts-drops"])


async def test_imported_candidates_take_part_without_a_strong_model(
    build: Build, questions: Path, tmp_path: Path
) -> None:
    """Existing replies are scored like fresh ones; those of other questions are left out."""
    rows = [
        {
            "id": f"q{i}",
            "question": f"What is 1 + 1, number {i}?",
            "gold": "2",
            "model": "kept",
            "reasoning_content": "1 + 1 = 2.",
            "content": "## Add\n1 + 1 is two\n\n## Final Answer\n2",
        }
        for i in range(6)
    ]
    with AnswerChecker() as checker:
        imported = import_rows(rows, check=checker.check)
    write(tmp_path / "c.parquet", imported.candidates, CandidateTrace)
    with LoopbackServer(script) as server:
        recipe = server_recipe(
            server, questions, generate={"imported": [str(tmp_path / "c.parquet")]}
        )
        alone = recipe.model_copy(
            update={"models": recipe.models.model_copy(update={"strong": ()})}
        )
        state = await build(alone)
        assert state.name == "Completed", state.message
        manifest = (await state.aresult()).manifest
        assert manifest["golden"]["by_strong_model"] == {"kept": 4}
        assert {request.body["model"] for request in server.requests} == {"m"}
        twice = alone.model_copy(
            update={"generate": GenerateSettings(imported=(tmp_path / "c.parquet",) * 2)}
        )
        error = await (await build(twice)).aresult(raise_on_failure=False)
        assert isinstance(error, InputFileError)
        assert "is in" in str(error)


async def test_a_damaged_stage_result_is_made_anew(
    build: Build, testbed_recipe: MakeRecipe, tmp_path: Path
) -> None:
    """Half a file, a deleted folder or a moved one costs a recomputation, not the build.

    So do damaged files of finished shards, without which no stage result is looked for.
    """
    first = await (await build(testbed_recipe())).aresult()
    finished = sorted((tmp_path / "data" / "shards").glob("*/*.portions"))
    whole = [path.read_bytes() for path in finished]
    for path in finished:
        path.write_bytes(path.read_bytes()[:-1])
    for stage in ("select_golden", "score_step_masks"):
        (path, *_) = sorted((tmp_path / "data" / "results" / f"stage={stage}").iterdir())
        path.write_bytes(path.read_bytes()[:100])
    progress = Progress()
    state = await build(testbed_recipe(), progress=progress)
    assert state.name == "Completed", state.message
    assert (await state.aresult()).version == first.version
    assert progress.calls == 0
    assert finished
    assert [path.read_bytes() for path in finished] == whole
    again = Progress()
    await build(testbed_recipe(), progress=again)
    assert recomputed(again) == set()
    for name in ("results", "shards"):
        shutil.rmtree(tmp_path / "data" / name)
    (tmp_path / "data").rename(tmp_path / "moved")
    moved = Progress()
    state = await build(testbed_recipe(), progress=moved, data=tmp_path / "moved")
    assert state.name == "Completed", state.message
    assert (moved.calls, (await state.aresult()).version) == (0, first.version)


async def test_a_build_without_a_training_row_publishes_nothing(
    build: Build, questions: Path, tmp_path: Path
) -> None:
    """A weak model that solves everything leaves nothing to teach, and no empty dataset."""
    with LoopbackServer(lambda _: r"\boxed{2}") as server:
        state = await build(server_recipe(server, questions))
    assert (state.type.value, state.name) == ("FAILED", "NothingToTrainOn")
    assert not (tmp_path / "data" / "datasets").exists()


async def test_no_row_is_lost_whatever_fails(build: Build, questions: Path, tmp_path: Path) -> None:
    """With failures spread over every stage, the manifest still adds up."""
    rows: list[dict[str, Any]] = [
        {"id": f"q{i}", "question": f"What is 1 + 1, number {i}?", "answer": 2} for i in range(30)
    ]
    rows += [{"id": "bad", "question": "", "answer": 1}, rows[0]]
    path = tmp_path / "many.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def failing(request: dict[str, Any]) -> Reply | str:
        lot = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).digest()[0]
        if lot < 12:
            return Reply(status=500)
        if lot < 20:
            return Reply(status=400)
        if lot < 30:
            return Reply(content="", finish_reason="content_filter")
        if lot < 45:
            return Reply(content="no steps at all", reasoning="1 + 1 = 2.")
        return script(request)

    with LoopbackServer(failing) as server:
        recipe = server_recipe(
            server,
            path,
            generate={"samples_per_model": 2},
            zero_score={"action": "resample", "max_draws": 4},
            execution={"max_quarantine_fraction": 1.0, "questions_per_task": 7},
        )
        state = await build(recipe)
    counts = (await state.aresult()).manifest["counts"]
    gone = counts["solved"] + counts["dropped"] + counts["quarantined"]
    assert counts["train"] + gone == counts["rows"] == 32
    assert counts["quarantined"] > 1
