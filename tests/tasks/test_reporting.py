"""Laws of reports: they are for people, and a server that takes none fails no build."""

import httpx
import pytest
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.logging import disable_run_logger

from tasks.reporting import _tolerated

REQUEST = httpx.Request("POST", "http://127.0.0.1:4200/api/artifacts/")
REFUSED = httpx.HTTPStatusError("500", request=REQUEST, response=httpx.Response(500))


@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        PrefectHTTPStatusError("500", request=REQUEST, response=httpx.Response(500)),
        ObjectNotFound(REFUSED),
        OSError("no route"),
    ],
)
async def test_a_report_that_cannot_be_written_is_a_warning(error: Exception) -> None:
    """Whatever the engine's own client raises; its HTTP library is not the one of the models."""
    with disable_run_logger():
        async with _tolerated("the report"):
            raise error


async def test_a_fault_of_the_program_is_not_hidden() -> None:
    """Only the server is forgiven."""
    with disable_run_logger(), pytest.raises(KeyError):
        async with _tolerated("the report"):
            raise KeyError("drops")
