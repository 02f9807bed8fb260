"""Processes of the kill test: one task engine server, and builds that can be held and killed."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

REPOSITORY = Path(__file__).resolve().parents[1]
_COMMAND = (sys.executable, "-m", "flows.cli")
_LONGEST_BUILD_S = 300.0
_BETWEEN_SAMPLES_S = 0.01
_JANITOR = """
import os, pathlib, shutil, signal, sys
sys.stdin.read()  # until the benchmark has ended, however it did
for process in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        if sys.argv[1].encode() in (process / "environ").read_bytes():
            os.kill(int(process.name), signal.SIGKILL)
    except OSError:
        pass  # ended meanwhile, or not ours
shutil.rmtree(sys.argv[1], ignore_errors=True)
"""


class RigError(Exception):
    """The benchmark cannot go on: something that is not measured went wrong."""


@contextmanager
def workplace() -> Iterator[Path]:
    """A temporary folder that goes, with every process that works in it, however this one ends."""
    folder = Path(tempfile.mkdtemp(prefix="weak2wise-kill-"))
    command = [sys.executable, "-c", _JANITOR, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True):
        yield folder


@contextmanager
def engine_server(home: Path) -> Iterator[dict[str, str]]:
    """A task engine server for all builds, with a database of its own.

    Args:
        home: A folder for its database and log; made here.

    Yields:
        What the environment of a build needs to reach it.

    Raises:
        RigError: It did not start.
    """
    home.mkdir(parents=True)
    port = _free_port()
    own = {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    command = (sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1")
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--port", str(port)],
            stdout=log,
            stderr=log,
            env={**os.environ, **own},
            start_new_session=True,
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}/api/health", server, log=home / "server.log")
        yield own | {"PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
    finally:
        _end(server)


class Build:
    """One `weak2wise build` in a process group of its own.

    Args:
        arguments: What follows `weak2wise build`.
        data: Its data folder.
        environment: What its environment has beside this one's.
        folder: Where its outputs and temporary files go.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        data: Path,
        environment: Mapping[str, str],
        folder: Path,
    ) -> None:
        self._facts, self._errors = folder / "facts.json", folder / "errors.txt"
        with self._facts.open("wb") as out, self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [*_COMMAND, "build", *arguments, "--data-dir", str(data), "--json"],
                stdout=out,
                stderr=errors,
                cwd=REPOSITORY,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        self.started = time.monotonic()
        self.pid = self._process.pid

    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def hold(self) -> float:
        """Stop every process of the group where it is; when, on the monotonic clock."""
        self._send(signal.SIGSTOP)
        return time.monotonic()

    def go_on(self) -> None:
        """Let it run again."""
        self._send(signal.SIGCONT)

    def kill(self) -> float | None:
        """Kill every process of the group; when, or None if it had ended by itself."""
        if not self.running():
            return None
        at = time.monotonic()
        self._send(signal.SIGKILL)
        self._process.wait()
        return at

    def finish(self) -> dict[str, Any]:
        """Wait for its end; what it says of itself.

        Raises:
            RigError: It failed, or takes minutes.
        """
        try:
            code = self._process.wait(_LONGEST_BUILD_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RigError(f"a build did not end within {_LONGEST_BUILD_S:.0f} s") from None
        if code:
            said = "".join(
                path.read_text(errors="replace")[-2000:] for path in (self._errors, self._facts)
            )
            raise RigError(f"a build ended with exit code {code}: {said}")
        facts: dict[str, Any] = json.loads(self._facts.read_bytes())
        return facts

    def _send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


Waits = Mapping[str, float]
"""Seconds for which each thread of a process has waited for a processor since it began."""


class Starvation:
    """How long the threads of a process wait for a processor, sampled while the block runs.

    A build that gets no processor reads and writes nothing; on a busy machine that would be
    counted against it. Linux tells; elsewhere nothing is sampled.
    """

    def __init__(self, pid: int) -> None:
        self._files = Path(f"/proc/{pid}/task")
        self._samples: list[tuple[float, Waits]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def since(self, moment: float) -> float:
        """Seconds from a moment on the monotonic clock to the end; see `longest_wait`."""
        return longest_wait(self._samples, since=moment)

    def _sample(self) -> None:
        while not self._over.wait(_BETWEEN_SAMPLES_S):
            at = time.monotonic()
            waits: dict[str, float] = {}
            with suppress(OSError):  # the process ends meanwhile
                for path in self._files.glob("*/schedstat"):
                    with suppress(OSError, IndexError):  # or one of its threads
                        waits[path.parent.name] = int(path.read_text().split()[1]) / 1e9
            if any(waits.values()):  # nothing is left of a dead process
                self._samples.append((at, waits))


def longest_wait(samples: Sequence[tuple[float, Waits]], *, since: float) -> float:
    """The wait of the thread that waited longest, from a moment to the last sample.

    Threads wait at the same time, so that their sum could be more than the time that went by.

    Args:
        samples: When, oldest first, and how long each thread had waited by then.
        since: The moment, on the clock of the samples.
    """
    if not samples:
        return 0.0
    before: dict[str, float] = {}
    after: dict[str, float] = {}
    for at, waits in samples:
        (before if at <= since else after).update(waits)
    longest = max((waited - before.get(name, 0.0) for name, waited in after.items()), default=0.0)
    return max(0.0, min(longest, samples[-1][0] - since))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreCheck:
    """What `weak2wise replies verify` found."""

    verdict: str
    """`sound`, `absent`, or the faults."""
    replies: int = 0


def verify_store(data: Path) -> StoreCheck:
    """Run `weak2wise replies verify` on a data folder."""
    if not (data / "replies.sqlite").exists():
        return StoreCheck(verdict="absent")
    done = subprocess.run(
        [*_COMMAND, "replies", "verify", "--data-dir", str(data), "--json"],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=False,
        timeout=_LONGEST_BUILD_S,
    )
    if done.returncode:
        return StoreCheck(verdict=(done.stdout + done.stderr).strip())
    return StoreCheck(verdict="sound", replies=json.loads(done.stdout)["replies"])


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _wait_for(url: str, server: subprocess.Popen[bytes], *, log: Path) -> None:
    deadline = time.monotonic() + 120
    while server.poll() is None and time.monotonic() < deadline:
        with suppress(urllib.error.URLError, OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.1)
    raise RigError(f"the task engine did not start: {log.read_text(errors='replace')[-2000:]}")


def _end(server: subprocess.Popen[bytes]) -> None:
    for number, patience_s in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0)):
        with suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        with suppress(subprocess.TimeoutExpired):
            server.wait(patience_s)
            return
