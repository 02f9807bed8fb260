"""A real Prefect server that demands authentication and encrypts what it is told to keep secret."""

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2 as httpx
from cryptography.fernet import Fernet

from tests.flows.serving import Engine

ENVIRONMENT_CANARY = "sk-canary-from-the-environment-0123456789abcdef"
BLOCK_CANARY = "sk-canary-from-a-secret-block-fedcba9876543210"
KEY_VARIABLE = "CANARY_KEY"
BLOCK = "canary-key"
_SAVE = "import sys; from prefect.blocks.system import Secret; Secret(value=sys.stdin.read()).save"


class SecuredEngine(Engine):
    """A server with a pool, the deployments and a worker that has a model's key."""

    def __init__(self, home: Path, root: Path) -> None:
        super().__init__(home, root)
        self.home = home
        self.password = f"admin:{secrets.token_hex(8)}"
        self.env |= {
            "PREFECT_SERVER_API_AUTH_STRING": self.password,
            "PREFECT_API_AUTH_STRING": self.password,
            "PREFECT_SERVER_ENCRYPTION_KEY": Fernet.generate_key().decode(),
            "PREFECT_LOGGING_LEVEL": "DEBUG",
            "WEAK2WISE_FOLDERS": str(home),
            KEY_VARIABLE: ENVIRONMENT_CANARY,
        }

    def serve(self) -> None:
        """Start the server, deploy, start a worker and save the Secret block."""
        self.start("server", "start", "--host", "127.0.0.1", "--port", str(self.port))
        self.wait_until_up()
        self.run("work-pool", "create", "builds", "--type", "process")
        self.run("deploy", "--name", "build-gr1k", "--prefect-file", "deployments/prefect.yaml")
        self.start("worker", "start", "--pool", "builds")
        self.save_block(BLOCK, BLOCK_CANARY)

    def save_block(self, name: str, value: str) -> None:
        """Keep a value in a Secret block of the server, as SERVER.md shows."""
        command = [sys.executable, "-c", f"{_SAVE}({name!r}, overwrite=True)"]
        subprocess.run(command, input=value, text=True, env=self.env, check=True, timeout=240)

    def weak2wise(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the command line against this server; its output also goes to the log."""
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli", *arguments],
            cwd=self.root,
            env={key: value for key, value in (self.env | environment).items() if value},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        with self.log.open("a") as log:
            log.write(done.stdout + done.stderr)
        return done

    def post(self, path: str, **body: Any) -> Any:
        """Ask the server's API, with the password."""
        user, _, word = self.password.partition(":")
        return httpx.post(
            f"{self.url}/{path}", json=body, timeout=120, auth=httpx.BasicAuth(user, word)
        ).json()

    def submit(self, recipe: Mapping[str, Any]) -> str:
        """Submit a build as the form of the server does; the id of its run."""
        (chosen,) = self.post("deployments/filter")
        created = self.post(
            f"deployments/{chosen['id']}/create_flow_run", parameters={"recipe": recipe}
        )
        return str(created["id"])

    def state(self, run: str) -> dict[str, Any]:
        """The state of a run: type, name and message."""
        (found,) = self.post("flow_runs/filter", flow_runs={"id": {"any_": [run]}})
        state: dict[str, Any] = found["state"]
        return state

    def logs(self) -> str:
        """Every message of every run that the server holds."""
        messages: list[str] = []
        while page := self.post("logs/filter", offset=len(messages), sort="TIMESTAMP_ASC"):
            messages += [one["message"] for one in page]
        return "\n".join(messages)

    def wait_for_log(self, text: str) -> None:
        """Wait until the logs hold a text: runs send what they log in batches, some time later."""
        for _ in range(120):
            if text in self.logs():
                return
            time.sleep(0.5)
        raise AssertionError(f"{text!r} is not in the server's logs: {self.logs()[-4000:]}")

    def wait_for(self, run: str, *types: str) -> dict[str, Any]:
        """Wait until a run is in a state of one of these types."""
        for _ in range(480):
            state = self.state(run)
            if state["type"] in types:
                return state
            time.sleep(0.25)
        raise AssertionError(f"the run is in none of {types}: {self.log.read_text()[-4000:]}")


def write_recipe(path: Path, recipe: Mapping[str, Any]) -> Path:
    """A recipe file; JSON is YAML."""
    path.write_text(json.dumps(recipe))
    return path
