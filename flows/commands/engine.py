"""The task engine's own server, as a build on the command line uses it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from weak2wise_core.errors import BuildError, UsageError

UNAUTHORIZED = 401
_UNREACHED = "Failed to reach API"  # how the engine's RuntimeError begins


@contextmanager
def _named_errors() -> Iterator[None]:
    """Say in one sentence why a server cannot be used.

    Raises:
        UsageError: It refuses this client.
        BuildError: It does not answer.
    """
    import httpx

    try:
        yield
    except httpx.HTTPStatusError as error:
        raise UsageError(refusal(error.response.status_code)) from error
    except (httpx.TransportError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not str(error).startswith(_UNREACHED):
            raise
        raise BuildError(
            f"the Prefect server at {server_url()} does not answer "
            f"({str(error) or type(error).__name__}). Start it, correct PREFECT_API_URL, or unset "
            "it: then a build starts a server of its own"
        ) from error


def refusal(status: int) -> str:
    """What an error status of the server means for whoever asked."""
    if status == UNAUTHORIZED:
        return (
            f"the Prefect server at {server_url()} demands a password (HTTP 401): set "
            "PREFECT_API_AUTH_STRING to what PREFECT_SERVER_API_AUTH_STRING is on the server"
        )
    return f"the Prefect server at {server_url()} answers with HTTP {status}; see its log"


def server_url() -> str | None:
    """The address of the server that is set; None where a build starts one of its own."""
    from prefect.settings import PREFECT_API_URL

    url: str | None = PREFECT_API_URL.value()
    return url


@contextmanager
def engine_in_its_own_session() -> Iterator[None]:
    """Keep Ctrl-C away from the server that the engine starts for a build without one.

    A terminal sends it to every process in the foreground. The server would be gone before the
    build could say good-bye to it, and the build would wait for it for a minute. The engine has no
    setting for this; it still ends the server when the build is over.

    Raises:
        UsageError: The server that is set refuses this client.
        BuildError: It does not answer.
    """
    with nullcontext() if server_url() else _own_server_detached(), _named_errors():
        yield


@contextmanager
def _own_server_detached() -> Iterator[None]:
    """Have the engine start its server away from this terminal; importing it takes two seconds."""
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
