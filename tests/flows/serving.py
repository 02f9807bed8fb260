"""A Prefect server of its own, with pools, deployments and workers, as a person would start it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

PREFECT = [sys.executable, "-m", "prefect", "--no-prompt"]
GPU_POOL = ["gpu", "--type", "process", "--base-job-template"]
OVER = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
PATIENCE = 120.0
"""Seconds for one answer of the server, which shares a machine with builds and trainings."""


class Engine:
    """A server of its own, with commands and workers that talk to it."""

    def __init__(self, home: Path, root: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/api"
        self.root = root
        self.data = home / "data"
        self.log = home / "engine.log"
        self.env = os.environ | {
            "PREFECT_HOME": str(home / "prefect"),
            "PREFECT_API_URL": self.url,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "WEAK2WISE_ROOT": str(root),
            "WEAK2WISE_DATA": str(self.data),
        }
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str) -> None:
        """Start something that stays."""
        with self.log.open("ab") as log:
            self._running.append(
                subprocess.Popen(
                    [*PREFECT, *command],
                    cwd=self.root,
                    env=self.env,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )

    def run(self, *command: str) -> str:
        """Run a command to its end; its output."""
        done = subprocess.run(
            [*PREFECT, *command],
            cwd=self.root,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    def ask(self, method: str, path: str, **body: Any) -> httpx.Response:
        """One request to the server's API; again where its database is busy, as its clients do."""
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = httpx.request(
                method, f"{self.url}/{path}", json=body or None, timeout=PATIENCE
            )
            busy = answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
            if not busy or time.monotonic() > deadline:
                return answer
            time.sleep(0.5)

    def post(self, path: str, **body: Any) -> Any:
        """Ask the server's API for what it finds."""
        answer = self.ask("POST", path, **body)
        assert answer.status_code == httpx.codes.OK, f"{path}: {answer.text}"
        return answer.json()

    def send(self, events: list[dict[str, Any]]) -> httpx.Response:
        """Send events, as runs do."""
        return httpx.post(f"{self.url}/events", json=events, timeout=PATIENCE)

    def deployment(self, name: str) -> dict[str, Any]:
        """A deployment by its flow's name and its own."""
        found: dict[str, Any] = self.ask("GET", f"deployments/name/{name}").json()
        return found

    def runs(self, name: str) -> list[dict[str, Any]]:
        """Runs of a deployment that somebody or something asked for, the first one first."""
        wanted = {"id": {"any_": [self.deployment(name)["id"]]}}
        found = self.post("flow_runs/filter", deployments=wanted, sort="EXPECTED_START_TIME_ASC")
        return [run for run in found if not run["auto_scheduled"]]

    def wait_for_run(
        self, name: str, *, seconds: float, before: Collection[str] = ()
    ) -> dict[str, Any]:
        """Wait until a deployment has run to an end; that run.

        Args:
            name: The flow's name and the deployment's.
            seconds: For how long.
            before: Ids of earlier runs, which are not waited for.

        Raises:
            AssertionError: It has not, or did not complete; the message ends with the logs.
        """
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            new = [run for run in self.runs(name) if run["id"] not in before]
            over = [run for run in new if run["state_type"] in OVER]
            if over:
                assert over[0]["state_type"] == "COMPLETED", self.told(over[0])
                return over[0]
            time.sleep(1)
        raise AssertionError(f"{name} did not end in {seconds} s: {self.log.read_text()[-5000:]}")

    def told(self, run: dict[str, Any]) -> str:
        """State and logs of a run."""
        wanted = {"flow_run_id": {"any_": [run["id"]]}}
        logs = self.post("logs/filter", logs=wanted, sort="TIMESTAMP_ASC", limit=200)
        lines = "\n".join(one["message"] for one in logs)
        return f"{run['name']}: {run['state']['name']}, {run['state']['message']}\n{lines[-5000:]}"

    def wait_until_up(self) -> None:
        """Wait for the server's health check."""
        for _ in range(240):
            try:
                if httpx.get(f"{self.url}/health", timeout=5).status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.5)
        raise AssertionError(f"the server did not start: {self.log.read_text()[-3000:]}")

    def stop(self) -> None:
        """End everything that was started, and what it started."""
        for process in self._running:
            os.killpg(process.pid, signal.SIGTERM)
        for process in self._running:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[Engine]:
    """A server with both pools, the deployments and a worker for builds; one for the session."""
    engine = Engine(tmp_path_factory.mktemp("engine"), repository)
    engine.start("server", "start", "--host", "127.0.0.1", "--port", str(engine.port))
    try:
        engine.wait_until_up()
        engine.run("work-pool", "create", "builds", "--type", "process")
        engine.run("work-pool", "create", *GPU_POOL, "deployments/templates/process-gpu.json")
        engine.run("deploy", "--all", "--prefect-file", "deployments/prefect.yaml")
        engine.start("worker", "start", "--pool", "builds")
        yield engine
    finally:
        engine.stop()
