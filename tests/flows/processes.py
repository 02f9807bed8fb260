"""Builds in processes of their own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml


class BuildProcess:
    """`weak2wise build` of a recipe, started in the background."""

    def __init__(
        self, content: Mapping[str, Any], *, recipe: Path, data: Path, own_engine: bool = False
    ) -> None:
        """Write the recipe and start.

        Args:
            content: The recipe as plain data.
            recipe: Where it is written.
            data: The data folder of the build.
            own_engine: Whether it starts a task engine, as from a terminal, in place of asking that
                of the session.
        """
        recipe.write_text(yaml.safe_dump(dict(content)), encoding="utf-8")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "build", str(recipe), "--json"],
            cwd=Path(__file__).parents[2],
            env=os.environ
            | {"WEAK2WISE_DATA": str(data)}
            | ({"PREFECT_HOME": str(data / "prefect")} if own_engine else _engine_of_the_session()),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # as a terminal does: its signals reach the build alone
        )

    def facts(self) -> dict[str, Any]:
        """Wait for a build that goes well; what it prints."""
        output, errors = self.ended()
        assert self.process.returncode == 0, errors
        found: dict[str, Any] = json.loads(output)
        return found

    def kill(self) -> None:
        """SIGKILL; may be called from any thread."""
        self.process.kill()

    def died(self) -> int:
        """Wait for the end; the exit code."""
        self.ended()
        return self.process.returncode

    def ended(self) -> tuple[str, str]:
        """Wait for the end; its output and its errors."""
        return self.process.communicate(timeout=300)


def _engine_of_the_session() -> dict[str, str]:
    from prefect.settings import PREFECT_API_URL

    return {"PREFECT_API_URL": PREFECT_API_URL.value() or ""}
