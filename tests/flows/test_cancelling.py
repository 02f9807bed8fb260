"""A build that is cancelled from the task engine ends in order, and goes on when started again."""

import json

import pytest

from benchmarks.loopback import LoopbackServer
from tests.flows.gates import (
    BEFORE_THE_GATE,
    CALLS_OF_A_BUILD,
    IN_FLIGHT,
    Gate,
    dataset_bytes,
    recipe_for,
    wait_until,
    write_questions,
)
from tests.flows.secured import SecuredEngine, write_recipe

pytestmark = pytest.mark.slow


def stored_replies(secured: SecuredEngine) -> int:
    """How many replies the store of the worker holds, all of them sound."""
    done = secured.weak2wise("replies", "verify", "--data-dir", str(secured.data), "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["bad_keys"], found["faults"]) == (0, [], []), done.stderr
    replies: int = found["replies"]
    return replies


def test_a_cancelled_build_loses_nothing_and_goes_on(secured: SecuredEngine) -> None:
    """Cancelled means Cancelled; what was answered is stored and sound; the bytes are the same.

    Started again, the build asks for what it has no reply to, and for nothing else.
    """
    before = stored_replies(secured) if (secured.data / "replies.sqlite").exists() else 0
    gate = Gate()
    with LoopbackServer(gate) as server:
        recipe = recipe_for(server, write_questions(secured.home))
        run = secured.submit(recipe)
        wait_until(lambda: gate.full)
        secured.run("flow-run", "cancel", run)
        state = secured.wait_for(run, "CANCELLED", "COMPLETED", "FAILED", "CRASHED")
        assert state["name"] == "Cancelled", state["message"]
        # the last process to close the store removes its log
        wait_until(lambda: not (secured.data / "replies.sqlite-wal").exists())
        assert gate.full
        assert stored_replies(secured) - before == BEFORE_THE_GATE

        gate.open = True
        again = secured.wait_for(secured.submit(recipe), "COMPLETED", "FAILED", "CRASHED")
        assert again["name"] == "Completed", again["message"]
        assert gate.asked == CALLS_OF_A_BUILD + IN_FLIGHT

        other = secured.home / "undisturbed"
        path = write_recipe(secured.home / "stopped.yaml", recipe)
        done = secured.weak2wise("build", str(path), "--data-dir", str(other), "--json")
        assert done.returncode == 0, done.stderr
    assert dataset_bytes(secured.data) == dataset_bytes(other)
