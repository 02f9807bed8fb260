"""Builds in processes of their own, below the task engine of the session."""

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

    def __init__(self, content: Mapping[str, Any], *, recipe: Path, data: Path) -> None:
        """Write the recipe and start.

        Args:
            content: The recipe as plain data.
            recipe: Where it is written.
            data: The data folder of the build.
        """
        from prefect.settings import PREFECT_API_URL

        recipe.write_text(yaml.safe_dump(dict(content)), encoding="utf-8")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "build", str(recipe), "--json"],
            cwd=Path(__file__).parents[2],
            env=os.environ
            | {"WEAK2WISE_DATA": str(data), "PREFECT_API_URL": PREFECT_API_URL.value() or ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def facts(self) -> dict[str, Any]:
        """Wait for a build that goes well; what it prints."""
        output, errors = self.process.communicate(timeout=300)
        assert self.process.returncode == 0, errors
        found: dict[str, Any] = json.loads(output)
        return found

    def kill(self) -> None:
        """SIGKILL; may be called from any thread."""
        self.process.kill()

    def died(self) -> int:
        """Wait for the end; the exit code."""
        self.process.communicate(timeout=300)
        return self.process.returncode
