"""The task engine's own server, as a build on the command line uses it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def engine_in_its_own_session() -> Iterator[None]:
    """Keep Ctrl-C away from the server that the engine starts for a build without one.

    A terminal sends it to every process in the foreground. The server would be gone before the
    build could say good-bye to it, and the build would wait for it for a minute. The engine has no
    setting for this; it still ends the server when the build is over.
    """
    from prefect.server.api.server import SubprocessASGIServer

    original = SubprocessASGIServer._run_uvicorn_command  # noqa: SLF001 - there is no other way in

    def run(server: SubprocessASGIServer) -> subprocess.Popen[Any]:
        popen = subprocess.Popen

        def detached(*args: Any, **kwargs: Any) -> subprocess.Popen[Any]:
            return popen(*args, **kwargs, start_new_session=True)

        subprocess.Popen = detached  # type: ignore[misc, assignment]
        try:
            return original(server)
        finally:
            subprocess.Popen = popen  # type: ignore[misc]

    SubprocessASGIServer._run_uvicorn_command = run  # type: ignore[method-assign, assignment] # noqa: SLF001
    try:
        yield
    finally:
        SubprocessASGIServer._run_uvicorn_command = original  # type: ignore[method-assign] # noqa: SLF001
