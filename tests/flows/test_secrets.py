"""Keys appear nowhere: a real server, a real worker, failing models that repeat the key."""

import json
import re
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmarks.loopback import LoopbackServer
from benchmarks.loopback_replies import Fault, Reply
from tests.flows.searching import places_of
from tests.flows.secured import (
    BLOCK,
    BLOCK_CANARY,
    ENVIRONMENT_CANARY,
    KEY_VARIABLE,
    SecuredEngine,
    write_recipe,
)
from weak2wise_core.records import ChatReply, FinishReason, Question, Usage
from weak2wise_core.stores.parquet import write
from weak2wise_core.stores.replies import ReplyStore

pytestmark = pytest.mark.slow

CANARIES = (ENVIRONMENT_CANARY, BLOCK_CANARY)
KEYS = {"weak": ENVIRONMENT_CANARY, "strong-a": ENVIRONMENT_CANARY}
KEYS |= {"judge": BLOCK_CANARY, "strong-b": BLOCK_CANARY}


def echo(model: str) -> str:
    """What servers say of a key that they do not like."""
    return f"Incorrect API key provided: {KEYS[model]}"


def failures(model: str) -> Mapping[int, Reply]:
    """What a model's server does with some of the questions; it repeats the key it was sent."""
    recited = f"Authorization: Bearer {KEYS[model]}, and again {KEYS[model]}"
    error = {"error": {"message": echo(model), "code": KEYS[model]}}
    thought = f"## A\n{recited}\n\n## Final Answer\n2"
    return {
        0: Reply(status=500, raw=f"<h1>500</h1><pre>{recited}</pre>".encode()),
        1: Reply(status=400, error=echo(model)),
        2: Reply(fault=Fault.HANG),
        3: Reply(raw=json.dumps(error).encode()),
        4: Reply(content=thought, reasoning=recited, model=recited),
        5: Reply(status=503, raw=f"{'x' * 280}{recited}".encode(), headers={"Retry-After": "0"}),
    }


QUESTIONS = 8


def failing(request: dict[str, Any]) -> Reply | str:
    """Models that need a key each; two of them fail and repeat it wherever they can."""
    text = " ".join(turn["content"] for turn in request["messages"])
    if request["model"] == "judge":
        return "Yes" if "boxed{2}" in text else "No"
    number = next(n for n in range(QUESTIONS) if f"number {n}?" in text)
    if request["model"].startswith("strong"):
        good = Reply(content="## A\n1 + 1 is two\n\n## Final Answer\n2", reasoning="1 + 1 = 2.")
        return failures(request["model"]).get(number, good)
    return r"\boxed{2}" if "is two" in text else r"\boxed{0}"


def recipe_for(server: LoopbackServer, home: Path, *, dataset: str) -> dict[str, Any]:
    """Every model needs a key: two from the environment, two from the Secret block."""
    rows = [
        {"id": f"q{i}", "question": f"What is 1 + 1, number {i}?", "answer": 2}
        for i in range(QUESTIONS)
    ]
    questions = home / "questions.jsonl"
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def model(name: str, **key: str) -> dict[str, Any]:
        served = {"backend": "openai", "base_urls": [server.base_url], "model": name}
        return served | {"retries": 1, "backoff_s": 0.01, "timeout_s": 1} | key

    environment, block = {"api_key_env": KEY_VARIABLE}, {"api_key_block": BLOCK}
    return {
        "dataset": dataset,
        "questions": {"path": str(questions)},
        "models": {
            "weak": model("weak", **environment) | {"tokenizer": "testbed/weak_model"},
            "strong": [
                model("strong-a", **environment) | {"name": "a"},
                model("strong-b", **block) | {"name": "b"},
            ],
            "judge": model("judge", **block),
        },
        "generate": {"samples_per_model": 1},
        "truncation": {"method": "rule"},
        "sft": {"max_tokens": 4096},
        "execution": {"max_quarantine_fraction": 1.0, "questions_per_task": 4},
    }


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    """In plain files, compressed tables, their metadata, databases and compressed records."""
    needle = "needle-in-a-haystack"
    (tmp_path / "log").write_bytes(b"\x00" + needle.encode())
    row = Question(id="1", question=f"{'hay ' * 500}{needle}{' hay' * 500}", answer="1")
    write(tmp_path / "table.parquet", [row] * 3, Question)
    with ReplyStore(tmp_path / "replies.sqlite") as store:
        reply = ChatReply(
            content=f"{'hay ' * 500}{needle}",
            reasoning=None,
            finish_reason=FinishReason.STOP,
            usage=Usage(),
            model="m",
        )
        store.put("00" * 32, reply, model="m", stage="s")
    with sqlite3.connect(tmp_path / "server.db") as connection:
        connection.execute("create table log (message text)")
        connection.execute("insert into log values (?)", (needle,))
    found = " ".join(places_of(needle, tmp_path))
    for where in ("log", "table.parquet (rows)", "replies.sqlite (table", "server.db (table log)"):
        assert where in found, found
    assert places_of("absent", tmp_path) == []


def test_keys_are_written_nowhere(secured: SecuredEngine) -> None:
    """A build by a worker and one by the command line, with every failure that repeats a key.

    Searched is everything that either wrote: reply store, stage results, dataset, the server's
    database and logs, the worker's and the command line's output, and the engine's home.
    """
    with LoopbackServer(failing) as server:
        recipe = recipe_for(server, secured.home, dataset="canary")
        run = secured.submit(recipe)
        state = secured.wait_for(run, "COMPLETED", "FAILED", "CRASHED")
        assert state["name"] == "CompletedWithQuarantine", state["message"]
        sent = {one.body["model"]: one.headers["authorization"] for one in server.requests}
    assert sent["strong-a"] == sent["weak"] == f"Bearer {ENVIRONMENT_CANARY}"
    assert sent["strong-b"] == sent["judge"] == f"Bearer {BLOCK_CANARY}"

    with LoopbackServer(lambda one: Reply(status=401, error=echo(one["model"]))) as server:
        refused = recipe_for(server, secured.home, dataset="refused")
        path = write_recipe(secured.home / "refused.yaml", refused)
        # without the replies of the build before, the weak model is the first to be asked
        command = ["build", str(path), "--json", "--data-dir", str(secured.home / "refused")]
        done = secured.weak2wise(*command, PREFECT_LOGGING_LEVEL="DEBUG")
    assert done.returncode == 1
    assert f"the key in ${KEY_VARIABLE} was refused" in done.stderr

    for canary in CANARIES:
        assert places_of(canary, secured.home) == []
        assert canary[:20] not in done.stdout + done.stderr


def test_what_was_searched_holds_the_failures_without_the_keys(secured: SecuredEngine) -> None:
    """The errors of the test before reached the quarantine, the reply store and the server's logs.

    Else it would have searched where nothing could be.
    """
    folder = secured.data / "datasets" / "canary" / "latest"
    quarantine = pd.read_parquet(folder / "quarantine.parquet")
    assert {f"q{number}" for number in (0, 2, 3, 5)} <= set(quarantine["question_id"])
    details = quarantine.set_index("question_id")["detail"]
    assert all("[key]" in details[one] for one in ("q0", "q3"))
    candidates = pd.read_parquet(folder / "candidates.parquet")
    assert candidates["detail"].str.contains("[key]", regex=False).any()
    recited = candidates[candidates["question_id"] == "q4"]
    assert recited["step_reasoning"].str.contains("Bearer [key]", regex=False).all()
    assert recited["model"].str.contains("Bearer [key]", regex=False).all()
    secured.wait_for_log("Traceback")
    secured.wait_for_log("was refused (HTTP 401")
    assert BLOCK in places_where_the_block_is(secured)


def places_where_the_block_is(secured: SecuredEngine) -> str:
    """The names of the Secret blocks in the server's database."""
    with sqlite3.connect(secured.home / "prefect" / "prefect.db") as connection:
        return " ".join(name for (name,) in connection.execute("select name from block_document"))


# --- the server -----------------------------------------------------------------------------------


def test_a_server_with_a_password_refuses_whoever_does_not_know_it(
    secured: SecuredEngine, repository: Path
) -> None:
    """A build is one sentence and exit code 2; `doctor` says the same; nothing is built."""
    recipe = str(repository / "deployments" / "recipes" / "testbed.yaml")
    command = ["build", recipe, "--limit", "2", "--set", "dataset=shut"]
    done = secured.weak2wise(*command, PREFECT_API_AUTH_STRING="")
    assert done.returncode == 2, done.stderr
    assert "demands a password (HTTP 401)" in done.stderr
    assert "PREFECT_API_AUTH_STRING" in done.stderr
    assert "Traceback" not in done.stderr
    checked = secured.weak2wise("doctor", "--json", PREFECT_API_AUTH_STRING="admin:wrong")
    findings = {one["what"]: one for one in json.loads(checked.stdout)}
    assert checked.returncode == 1
    assert "HTTP 401" in findings["prefect"]["detail"]
    assert not (secured.data / "datasets" / "shut").exists()


def test_the_documented_server_is_this_one(secured: SecuredEngine, repository: Path) -> None:
    """Every variable that SERVER.md sets is set here, so that the tests speak of what it says."""
    text = (repository / "deployments" / "SERVER.md").read_text()
    exported = re.findall(r"^export (\w+)=", text, re.MULTILINE)
    assert len(exported) == 5
    assert not [name for name in exported if name not in secured.env]


def test_doctor_reads_a_block_from_a_server_with_a_password(secured: SecuredEngine) -> None:
    """With the password, the block is found and the key reaches the model's server."""
    with LoopbackServer(failing) as server:
        recipe = recipe_for(server, secured.home, dataset="doctor")
        path = write_recipe(secured.home / "doctor.yaml", recipe)
        done = secured.weak2wise("doctor", str(path), "--json")
    findings = {one["what"]: one for one in json.loads(done.stdout)}
    assert findings["prefect"]["ok"]
    assert findings[f"Secret block {BLOCK}"] == {
        "what": f"Secret block {BLOCK}",
        "ok": True,
        "detail": "holds a key",
    }
    assert not [one for one in CANARIES if one in done.stdout + done.stderr]


def test_a_form_cannot_send_a_file_of_the_server_to_a_model(
    secured: SecuredEngine, tmp_path: Path
) -> None:
    """A submitted recipe that names files outside of the allowed folders fails and reads none."""
    with LoopbackServer(failing) as server:
        recipe = recipe_for(server, secured.home, dataset="form")
        recipe["prompts"] = {"solve": "/etc/passwd"}
        recipe["questions"] = {"path": str(secured.home / ".." / ".." / "q.jsonl")}
        state = secured.wait_for(secured.submit(recipe), "COMPLETED", "FAILED", "CRASHED")
        assert server.requests == []
    assert state["type"] == "FAILED"
    assert "prompts.solve: /etc/passwd" in state["message"]
    assert "questions.path" in state["message"]
    assert "root:" not in state["message"]
