"""Laws of a build that Ctrl-C or SIGTERM stops: nothing answered is lost or asked again."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.loopback import LoopbackServer
from tests.flows.gates import (
    BEFORE_THE_GATE,
    CALLS_OF_A_BUILD,
    Gate,
    dataset_bytes,
    recipe_for,
    write_questions,
)
from tests.flows.processes import BuildProcess
from weak2wise_core.stores.replies import ReplyStore

pytestmark = pytest.mark.slow

HOW_TO_GO_ON = "stopped; every reply is kept. Start the same build again to go on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Undisturbed:
    """A build that nobody stopped."""

    questions: Path
    files: dict[str, bytes]


def start(server: LoopbackServer, questions: Path, data: Path) -> BuildProcess:
    """A build as from a terminal: with an engine of its own, in a process group of its own."""
    data.mkdir(exist_ok=True)
    recipe = recipe_for(server, questions)
    return BuildProcess(recipe, recipe=data / "recipe.yaml", data=data, own_engine=True)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """The questions, and what comes of them."""
    folder = tmp_path_factory.mktemp("undisturbed")
    questions = write_questions(folder)
    with LoopbackServer(Gate(is_open=True)) as server:
        facts = start(server, questions, folder / "data").facts()
    assert facts["run"]["calls"] == CALLS_OF_A_BUILD
    return Undisturbed(questions=questions, files=dataset_bytes(folder / "data"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_build_keeps_every_reply_and_goes_on(
    number: int, code: int, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """Its exit code and how to go on; a sound store with every reply; later the same bytes.

    As from a terminal, the signal goes to every process of the group. It comes at the moment in
    which the last reply has been read, with replies that are not yet written.
    """
    gate = Gate()
    with LoopbackServer(gate) as server:
        build = start(server, undisturbed.questions, tmp_path)
        gate.at_full = lambda: os.killpg(build.process.pid, number)
        output, errors = build.ended()
        assert build.process.returncode == code, output + errors
        assert errors.splitlines()[-1] == HOW_TO_GO_ON
        assert "Traceback" not in errors
        assert output == ""
        assert (gate.full, gate.answered) == (True, BEFORE_THE_GATE)
        with ReplyStore(tmp_path / "replies.sqlite", create=False) as store:
            found = store.verify()
        assert (found.sound, found.replies) == (True, BEFORE_THE_GATE)
        assert not (tmp_path / "datasets").exists()

        gate.open = True
        facts = start(server, undisturbed.questions, tmp_path).facts()
        answered = {repr(request.body) for request in server.requests}
    assert facts["state"] == "Completed"
    assert facts["run"]["calls"] == CALLS_OF_A_BUILD - BEFORE_THE_GATE
    assert len(server.requests) == len(answered) == CALLS_OF_A_BUILD
    assert dataset_bytes(tmp_path) == undisturbed.files
