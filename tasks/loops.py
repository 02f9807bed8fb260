"""What the extra `scale` brings: uvloop, and the packages behind `execution.runner`.

uvloop spends less of a processor on every call, and is used wherever it is installed.
"""

import asyncio
import importlib
import importlib.util
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from weak2wise_core.config import Recipe, Runner
from weak2wise_core.errors import MissingExtraError

R = TypeVar("R")

_PACKAGES = {
    Runner.ASYNC: (),
    Runner.DASK: ("prefect_dask", "distributed"),
    Runner.RAY: ("prefect_ray", "ray"),
}


def run(coroutine: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine in a loop of its own, as `asyncio.run` does."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(coroutine)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes a loop of uvloop; None where it is not installed."""
    if importlib.util.find_spec("uvloop") is None:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module(
        "uvloop"
    ).new_event_loop
    return factory


def check_runner(recipe: Recipe) -> None:
    """Make sure that the packages behind `execution.runner` are there, before the engine starts.

    Raises:
        MissingExtraError: One is not installed.
    """
    runner = recipe.execution.runner
    for name in _PACKAGES[runner]:
        if importlib.util.find_spec(name) is None:
            raise MissingExtraError(
                f"execution.runner {runner.value} needs {name}, which is not installed. Run: "
                "pip install 'weak2wise[scale]', or set execution.runner: async"
            )
