"""Laws of `weak2wise plan`: it asks and writes nothing, unless a pilot is wanted."""

import asyncio
import hashlib
import io
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from benchmarks.loopback import LoopbackServer
from benchmarks.loopback_replies import Reply
from flows.commands.building import _facts
from flows.commands.display import print_account, show_result, show_warnings
from tasks.progress import Progress
from tests.flows.showing import artifacts
from tests.flows.test_cli import invoke
from weak2wise_core.accounts import Account
from weak2wise_core.recipes import load_recipe

Build = Callable[..., Awaitable[Any]]
QUESTIONS = 10


def script(request: dict[str, Any]) -> Reply:
    """Four models whose replies follow from a hash of the request."""
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).digest()
    chance, text = digest[0] / 256, request["messages"][-1]["content"]
    usage = {
        "prompt_tokens": 100 + digest[1],
        "completion_tokens": 20 + digest[2],
        "prompt_tokens_details": {"cached_tokens": digest[1] // 2},
        "completion_tokens_details": {"reasoning_tokens": digest[2] // 2},
    }
    if request["model"] == "s":
        content = f"## Add\n1 + 1, by way {digest[3]}, is two\n\n## Final Answer\n2"
        thinking = "1 + 1 = 2. So it is 2. Wait, yes."
        return Reply(content=content, reasoning=thinking, usage=usage)
    if request["model"] == "j":
        right = "> \\boxed{2}" in text
        says = "I cannot tell" if chance < 0.2 else "Yes" if right else "No"
        return Reply(content=says, usage=usage)
    if request["model"] == "t":
        return Reply(content="So it is 2.", usage=usage)
    solves = chance < (0.4 if "## Hint" in text else 0.2)
    return Reply(content=r"\boxed{2}" if solves else rf"\boxed{{{3 + digest[3] % 5}}}", usage=usage)


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    """The server behind every model."""
    with LoopbackServer(script) as opened:
        yield opened


@pytest.fixture
def recipe(server: LoopbackServer, tmp_path: Path, repository: Path) -> Path:
    """A recipe in which every stage asks a model and every model has a price."""
    rows = [
        {"id": f"q{i}", "question": f"What is 1 + 1, number {i}?", "answer": 2}
        for i in range(QUESTIONS)
    ]
    questions = tmp_path / "q.jsonl"
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    entry = {
        "backend": "openai",
        "base_urls": [server.base_url],
        "retries": 0,
        "max_tokens": 500,
        "usd_per_mtok": {"input": 1.0, "output": 4.0, "cached_input": 0.1},
    }
    tokenizer = str(repository / "testbed" / "weak_model")
    content = {
        "dataset": "planned",
        "questions": {"path": str(questions)},
        "models": {
            "weak": entry | {"model": "w", "tokenizer": tokenizer},
            "strong": [entry | {"name": "s", "model": "s"}],
            "judge": entry | {"model": "j"},
            "truncator": entry | {"model": "t"},
        },
        "generate": {"samples_per_model": 2},
        "step_mask": {"granularity": 3, "policy": "exhaustive"},
        "truncation": {"over_tokens": 4},
        "execution": {"questions_per_task": 5, "max_quarantine_fraction": 1.0},
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def planned(recipe: Path, data: Path, *more: object, code: int = 0) -> dict[str, Any]:
    """The JSON of a plan; its standard error is left out."""
    got, output = invoke("plan", recipe, "--data-dir", data, "--json", *more)
    assert got == code, output
    found: dict[str, Any] = json.loads(output[output.index("{\n") :])
    return found


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(one): one.read_bytes() for one in folder.rglob("*") if one.is_file()}


def test_a_plan_asks_nothing_and_writes_nothing(
    recipe: Path, server: LoopbackServer, tmp_path: Path
) -> None:
    """No call, and no data folder where there was none."""
    found = planned(recipe, tmp_path / "data")
    assert server.requests == []
    assert not (tmp_path / "data").exists()
    calls = {(row["stage"], row["model"]): row for row in found["calls"]}
    assert (found["open"], found["stored"]) == (QUESTIONS, 0)
    assert calls["filter_qa", "weak"]["exact"]
    assert calls["filter_qa", "weak"]["most"] == QUESTIONS
    assert not calls["generate_candidates", "s"]["exact"]
    assert found["usd_most"] > found["usd_typical"] > 0


def test_a_plan_needs_no_key(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may not ask a model may still count; a pilot says which key is missing."""
    monkeypatch.delenv("ABSENT_KEY", raising=False)
    change = ("--set", "models.judge.api_key_env=ABSENT_KEY")
    planned(recipe, tmp_path / "data", *change)
    code, output = invoke("plan", recipe, "--data-dir", tmp_path / "d", *change, "--pilot", 2)
    assert code == 2
    assert "ABSENT_KEY" in output


@pytest.mark.slow
def test_a_pilot_pays_once_and_says_what_it_costs_at_most(
    recipe: Path, server: LoopbackServer, tmp_path: Path
) -> None:
    """Its calls stay below what it announced; again it pays nothing and expects the same."""
    data = tmp_path / "data"
    first = planned(recipe, data, "--pilot", 4)
    asked = len(server.requests)
    assert asked == first["pilot"]["calls"] <= first["pilot"]["most"]
    assert 0 < first["pilot"]["usd"] <= first["pilot"]["usd_most"]
    assert first["stored"] == asked
    assert (first["open"], first["samples"]) == (QUESTIONS - 4, 4)
    before = content(data)
    plain = planned(recipe, data)
    assert content(data) == before
    assert plain["stored"] == asked
    again = planned(recipe, data, "--pilot", 4)
    assert len(server.requests) == asked
    assert (again["pilot"]["calls"], again["pilot"]["most"]) == (0, 0)
    assert again["expected"] == first["expected"]
    assert again["pilot"]["questions"] == first["pilot"]["questions"]
    assert not (data / "datasets").exists()


@pytest.mark.slow
def test_the_budget_stops_a_pilot_which_can_go_on(
    recipe: Path, server: LoopbackServer, tmp_path: Path
) -> None:
    """Exit code 1 and the budget's message; with more money only the rest is paid."""
    data = tmp_path / "data"
    stopped = planned(recipe, data, "--pilot", 4, "--set", "budget.calls=7", code=1)
    assert (stopped["state"], len(server.requests)) == ("StoppedAtBudget", 7)
    assert "raise the budget" in stopped["message"]
    assert (stopped["expected"], stopped["stored"]) == (None, 7)
    code, output = invoke("plan", recipe, "--data-dir", data, "--pilot", 4)
    assert code == 0
    assert "The pilot asks 4 questions: at most" in output
    assert "Expected by the pilot" in output
    assert max(map(len, output.splitlines()[1:4])) <= 100


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_pilot_says_how_to_go_on(
    recipe: Path, tmp_path: Path, repository: Path, number: int, code: int
) -> None:
    """Ctrl-C and SIGTERM end with their exit codes, and what was paid for is kept."""

    def slow(request: dict[str, Any]) -> Reply:
        return Reply(content=r"\boxed{0}", delay_s=0.0 if len(seen) < 6 else 5.0)

    with LoopbackServer(slow) as server:
        seen = server.requests
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "flows.cli", "plan", str(recipe), "--pilot", "8"),
                *("--data-dir", str(tmp_path / "data")),
                *("--set", f"models.weak.base_urls=[{server.base_url}]"),
            ],
            cwd=repository,
            env=os.environ | {"PREFECT_HOME": str(tmp_path / "prefect")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        for _ in range(600):
            if len(seen) >= 8:
                break
            time.sleep(0.1)
        time.sleep(0.5)
        os.killpg(process.pid, number)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == code, output + errors
    assert "Start the same plan again to go on" in errors
    assert "Traceback" not in errors
    assert planned(recipe, tmp_path / "data")["stored"] >= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "guesses"), [("race", "never"), ("race", "always"), ("exhaustive", "never")]
)
async def test_plan_and_build_agree_before_half_way_and_after(
    build: Build, recipe: Path, server: LoopbackServer, tmp_path: Path, policy: str, guesses: str
) -> None:
    """What is planned is what the flow pays for: after a pilot, after a stop, after the end."""
    data = tmp_path / "data"
    changes: dict[str, Any] = {"step_mask.policy": policy, "execution.speculate": guesses}
    arguments = [f"--set={key}={value}" for key, value in changes.items()]
    wanted = load_recipe(recipe, changes)

    pilot = await in_thread(planned, recipe, data, "--pilot", 3, *arguments)
    stop = load_recipe(recipe, changes | {"budget.calls": 60})
    progress = Progress()
    state = await build(stop, progress=progress, data=data)
    assert state.name == "StoppedAtBudget"
    assert len(server.requests) == pilot["pilot"]["calls"] + 60

    half = await in_thread(planned, recipe, data, *arguments)
    progress = Progress()
    state = await build(wanted, progress=progress, data=data)
    assert state.name.startswith("Completed"), state.message
    for row in half["calls"]:
        paid = progress.accounts.get((row["stage"], row["model"]), Account()).calls
        assert row["least"] <= paid <= row["most"], row
    assert half["least"] <= progress.calls <= half["most"]

    done = await in_thread(planned, recipe, data, *arguments)
    assert (done["open"], done["least"], done["most"]) == (0, 0, 0)
    assert all(row["least"] == row["most"] == 0 for row in done["calls"])
    asked = len(server.requests)
    assert done["stored"] == asked or (guesses == "always" and done["stored"] < asked)
    cost = {(r["stage"], r["model"]): r for r in (await state.aresult()).manifest["cost"]}
    assert set(cost) <= {(row["stage"], row["model"]) for row in done["calls"]}


async def in_thread(function: Callable[..., Any], *arguments: object) -> Any:
    """Run a command, which has an event loop of its own, beside this one."""
    return await asyncio.to_thread(function, *arguments)


@pytest.mark.slow
async def test_a_model_that_answers_under_another_id_is_reported(
    build: Build,
    recipe: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In manifest and card where one build has both; else in progress and summary only."""
    named = "s-0714"

    def renamed(request: dict[str, Any]) -> Reply:
        plain = script(request)
        return Reply(content=plain.content, reasoning=plain.reasoning, model=named)

    rules = {"judging.method": "rule", "truncation.method": "rule", "questions.limit": 4}
    with LoopbackServer(renamed) as other:
        moved = rules | {"models.strong.0.base_urls": [other.base_url], "dataset": "drifting"}
        first = await (await build(load_recipe(recipe, moved), progress=Progress())).aresult()
        assert "models_changed" not in first.manifest

        named, progress = "s-0925", Progress()
        other_words = tmp_path / "generate.txt"
        other_words.write_text("Explain in steps that begin with ##, the last ## Final Answer.")
        new = moved | {"prompts.generate": str(other_words)}
        second = await (await build(load_recipe(recipe, new), progress=progress)).aresult()
        (change,) = progress.model_changes
        assert (change.model, list(change.earlier)) == ("s", ["s-0714"])
        assert f"drifting/{first.version}" in change.sentence
        assert "s-0714" not in json.dumps(dict(second.manifest))
        summaries = (await artifacts("drifting-summary"))["drifting-summary"]
        assert [change.sentence in text for text in summaries].count(True) == 1

        named, progress = "s-1231", Progress()
        mixed = new | {"questions.limit": QUESTIONS}
        logger = logging.getLogger("prefect.flow_runs")
        logger.addHandler(caplog.handler)
        monkeypatch.setattr(logger, "level", logging.WARNING)
        monkeypatch.setattr(logger, "_cache", {})
        state = await build(load_recipe(recipe, mixed), progress=progress)
        third = await state.aresult()
        assert set(third.manifest["models_changed"]["s"]) == {"s-0925", "s-1231"}
        assert "more than one id" in (third.folder / "README.md").read_text()
        assert sorted(bool(one.dataset) for one in progress.model_changes) == [False, True]
        facts = await asyncio.to_thread(_facts, state, progress, seconds=1.0)
        console = Console(width=100, record=True, file=io.StringIO())
        show_result(facts, console)
        shown = " ".join(console.export_text().split())
        for one in progress.model_changes:
            assert one.sentence in caplog.text
            assert one.sentence in shown
        assert [one["within_build"] for one in facts["model_changes"]] == [True, False]


@pytest.mark.parametrize("width", [80, 100, 180])
@pytest.mark.parametrize("tokens", [0, 9, 999_999_999])
def test_the_account_fits_on_a_page_and_shows_what_there_is(width: int, tokens: int) -> None:
    """At most 100 columns; cached and reasoning tokens are shown where any model has some."""
    row = {
        "stage": "score_step_masks",
        "model": "a-model-with-a-rather-long-name",
        "calls": 1_000_000,
        "stored": 36_000,
        "prompt_tokens": 2 * tokens,
        "completion_tokens": 2 * tokens,
        "cached_tokens": tokens,
        "reasoning_tokens": tokens,
        "usd": 12_345.6789,
    }
    console = Console(width=width, record=True, file=io.StringIO())
    print_account([row, row | {"cached_tokens": 0}], console, title="Asked")
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= min(width, 100)
    assert ("cached" in text) == ("reasoning" in text) == bool(tokens)
    assert "…" not in text
    assert "12,345.68" in text


def test_a_changed_id_is_a_warning_on_the_terminal() -> None:
    """The sentence is shown whole, also where it looks like markup."""
    console = Console(width=80, record=True, file=io.StringIO())
    show_warnings([{"sentence": "s [red] answered as b"}], console)
    assert "warning: s [red] answered as b" in console.export_text()
