"""Fixtures of the store tests: replies, keys, and programs that run in processes of their own."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE

import pytest

from weak2wise_core.records import ChatReply, FinishReason, Usage

PROGRAMS = Path(__file__).with_name("store_programs.py")


@pytest.fixture(scope="session")
def make_reply() -> Callable[..., ChatReply]:
    """Builds a reply around a text."""

    def make(content: str = "## Final Answer\n\\boxed{42}") -> ChatReply:
        return ChatReply(
            content=content,
            reasoning="6 times 7",
            finish_reason=FinishReason.STOP,
            usage=Usage(prompt_tokens=10, completion_tokens=20, reasoning_tokens=5),
            model="teacher-2026",
        )

    return make


@pytest.fixture(scope="session")
def key_of() -> Callable[[object], str]:
    """Turns any name into a key of the form that `request_key` gives."""
    return lambda name: hashlib.sha256(str(name).encode()).hexdigest()


@pytest.fixture
def start(repository: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts one of the programs in `store_programs.py`; `prefix` is a command to run it under."""

    def run(*arguments: object, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        command = [*prefix, sys.executable, str(PROGRAMS), *map(str, arguments)]
        environment = os.environ | {"PYTHONPATH": str(repository)}
        return subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True, env=environment)

    return run


@pytest.fixture
def small_disk() -> tuple[str, ...]:
    """A command prefix under which /mnt is an empty disk of 2 MB, for that process alone."""
    prefix = ("unshare", "--mount", "--map-root-user", "sh", "-c")
    mount = 'mount -t tmpfs -o size=2m tmpfs /mnt && exec "$@"'
    try:
        subprocess.run([*prefix, mount, "sh", "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this system does not allow mount namespaces")
    return (*prefix, mount, "sh")


@pytest.fixture
def powerless() -> tuple[str, ...]:
    """A command prefix under which permissions hold for root too."""
    if os.geteuid() != 0:
        return ()
    prefix = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    try:
        subprocess.run([*prefix, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("root cannot give up its powers here")
    return prefix
