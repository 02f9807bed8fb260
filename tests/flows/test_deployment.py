"""Deployments: what they say is valid, and a real server with a real worker runs them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import yaml
from prefect.utilities.importtools import import_object

from weak2wise_core.recipes import load_recipe

PREFECT = [sys.executable, "-m", "prefect", "--no-prompt"]


def deployments(repository: Path) -> list[dict[str, Any]]:
    """Every deployment of prefect.yaml."""
    content = yaml.safe_load((repository / "deployments" / "prefect.yaml").read_text())
    found: list[dict[str, Any]] = content["deployments"]
    return found


def test_every_deployment_starts_a_flow_with_valid_parameters(repository: Path) -> None:
    """Entrypoints are module paths that import, and their parameters pass the flow's own check."""
    for deployment in deployments(repository):
        module, _, name = deployment["entrypoint"].rpartition(".")
        flow = import_object(f"{module}:{name}" if ":" in module else f"{module}.{name}")
        flow.validate_parameters(deployment["parameters"])


def test_the_deployment_says_what_the_recipe_file_says(repository: Path) -> None:
    """The nightly build and `weak2wise build` of the same recipe are the same build."""
    recipe = load_recipe(repository / "deployments" / "recipes" / "gr1k.yaml")
    (deployment,) = [one for one in deployments(repository) if one["name"] == "build-gr1k"]
    assert recipe.model_validate(deployment["parameters"]["recipe"]) == recipe


def test_every_recipe_file_is_valid(repository: Path) -> None:
    """Recipes that ship can be loaded."""
    paths = sorted((repository / "deployments" / "recipes").glob("*.yaml"))
    assert [load_recipe(path).dataset for path in paths] == [path.stem for path in paths]


class Engine:
    """A server of its own, with commands and workers that talk to it."""

    def __init__(self, home: Path, root: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/api"
        self.root = root
        self.log = home / "engine.log"
        self.env = os.environ | {
            "PREFECT_HOME": str(home / "prefect"),
            "PREFECT_API_URL": self.url,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "WEAK2WISE_ROOT": str(root),
            "WEAK2WISE_DATA": str(home / "data"),
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

    def post(self, path: str, **body: Any) -> Any:
        """Ask the server's API."""
        return httpx.post(f"{self.url}/{path}", json=body, timeout=30).json()

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


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[Engine]:
    """A server with a pool, the deployments and a worker."""
    engine = Engine(tmp_path_factory.mktemp("engine"), repository)
    engine.start("server", "start", "--host", "127.0.0.1", "--port", str(engine.port))
    try:
        engine.wait_until_up()
        engine.run("work-pool", "create", "builds", "--type", "process")
        engine.run("deploy", "--all", "--prefect-file", "deployments/prefect.yaml")
        engine.start("worker", "start", "--pool", "builds")
        yield engine
    finally:
        engine.stop()


@pytest.mark.slow
def test_a_worker_builds_a_dataset(served: Engine, repository: Path) -> None:
    """`prefect deployment run` with the testbed's values ends with a published dataset."""
    recipe = yaml.safe_load((repository / "deployments" / "recipes" / "testbed.yaml").read_text())
    recipe["questions"]["limit"] = 8
    served.run(
        "deployment",
        "run",
        "weak2wise/build-gr1k",
        "--params",
        json.dumps({"recipe": recipe}),
        "--watch",
    )
    (folder,) = (Path(served.env["WEAK2WISE_DATA"]) / "datasets" / "testbed").glob("latest")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["counts"]["train"] >= 1
    keys = {one["key"] for one in served.post("artifacts/filter", limit=50)}
    assert {"testbed-progress", "testbed-drops", "testbed-account", "testbed-summary"} <= keys
    events = served.post(
        "events/filter",
        filter={"event": {"name": ["weak2wise.dataset.published"]}},
        limit=10,
    )
    assert [one["payload"]["version"] for one in events["events"]] == [manifest["version"]]


@pytest.mark.slow
def test_a_bad_recipe_is_refused_at_submission(served: Engine, repository: Path) -> None:
    """The server checks the parameter against its schema before a run exists."""
    recipe = yaml.safe_load((repository / "deployments" / "recipes" / "testbed.yaml").read_text())
    (deployment,) = served.post("deployments/filter", limit=10)
    answer = httpx.post(
        f"{served.url}/deployments/{deployment['id']}/create_flow_run",
        json={"parameters": {"recipe": recipe | {"step_mask": {"fineness": 6}}}},
        timeout=30,
    )
    assert answer.status_code in {409, 422}
    assert "fineness" in answer.text


@pytest.mark.slow
def test_the_nightly_schedule_creates_runs(served: Engine) -> None:
    """The scheduler plans the coming nights by itself."""
    for _ in range(60):
        runs = served.post(
            "flow_runs/filter", flow_runs={"state": {"name": {"any_": ["Scheduled"]}}}, limit=20
        )
        if scheduled := [run for run in runs if run["auto_scheduled"]]:
            break
        time.sleep(1)
    else:
        raise AssertionError(f"no scheduled run appeared: {served.log.read_text()[-3000:]}")
    assert all("T02:00:00" in run["expected_start_time"] for run in scheduled)
