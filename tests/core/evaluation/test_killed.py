"""The law of a killed evaluation: it goes on where it ended, and leaves nothing but its replies."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.loopback import LoopbackServer
from benchmarks.loopback_replies import Reply
from tests.core.evaluation.conftest import Write

pytestmark = pytest.mark.slow

PROGRAM = """
import asyncio, json, sys
from pathlib import Path
from weak2wise_core.config import EvaluationSettings, ModelSpec
from weak2wise_core.equivalence import AnswerChecker
from weak2wise_core.evaluation.running import evaluate
from weak2wise_core.gateway import Gateway
from weak2wise_core.llm.openai_compatible import OpenAIModel
from weak2wise_core.stores.replies import ReplyStore

async def main(url, benchmark, data):
    spec = ModelSpec(backend="openai", model="m", base_urls=(url,))
    settings = EvaluationSettings(benchmarks=(json.loads(benchmark),), samples=2)
    model = OpenAIModel(spec, api_key="")
    with ReplyStore(Path(data) / "replies.sqlite") as store, AnswerChecker() as checker:
        gateway = Gateway(in_flight=4, store=store)
        found = await evaluate(
            spec, settings=settings, gateway=gateway, chat=model, checker=checker, name="m"
        )
    await model.aclose()
    print(found.benchmarks[0].accuracy, gateway.accounts["evaluate", "m"].stored)

asyncio.run(main(*sys.argv[1:]))
"""


def test_a_killed_evaluation_goes_on_where_it_ended(
    tmp_path: Path, additions: Write, repository: Path
) -> None:
    """Replies that came before SIGKILL are not asked for again, and no cache is left at home."""
    pytest.importorskip("lm_eval", reason="needs the extra eval")
    benchmark, home = additions(20), tmp_path / "home"
    (tmp_path / "data").mkdir()
    home.mkdir()

    def answer(request: dict[str, object]) -> Reply:
        text = str(request["messages"][0]["content"])  # type: ignore[index]
        return Reply(content=f"\\boxed{{{2 * int(text.split()[0])}}}", delay_s=0.05)

    with LoopbackServer(answer) as server:
        command = [sys.executable, "-c", PROGRAM, server.base_url, json.dumps(benchmark)]
        process = subprocess.Popen(
            [*command, str(tmp_path / "data")],
            cwd=repository,
            env={**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")},
            stdout=subprocess.PIPE,
        )
        while len(server.requests) < 20 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        before = len(server.requests)
        again = subprocess.run(
            [*command, str(tmp_path / "data")],
            cwd=repository,
            env={**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")},
            capture_output=True,
            text=True,
            check=False,
        )
        asked = Counter(
            (one.body["messages"][0]["content"], one.body["seed"]) for one in server.requests
        )
    assert again.returncode == 0, again.stderr
    accuracy, stored = again.stdout.split()
    assert (float(accuracy), before < 40) == (1.0, True)
    assert int(stored) >= before - 8  # all but those in flight or just being written
    assert len(asked) == 40  # twenty questions, two seeds each
    assert sum(asked.values()) - 40 <= 8
    assert not [path for path in home.rglob("*") if path.is_file()]
