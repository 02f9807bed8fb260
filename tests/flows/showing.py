"""What a server shows of artifacts; its answers come in pages of 200 at most."""

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefect.client.schemas.objects import Artifact


async def artifacts(*keys: str) -> dict[str, list[str]]:
    """The data of every artifact under each of these keys, in the order of their making.

    Other tests of the session leave hundreds on the same server: asking for all gives one page.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

    wanted = ArtifactFilter(key=ArtifactFilterKey(any_=list(keys)))
    rows: list[Artifact] = []
    async with get_client() as client:
        while page := await client.read_artifacts(artifact_filter=wanted, offset=len(rows)):
            rows += page
    found: dict[str, list[str]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: str(row.created)):
        found[str(row.key)].append(str(row.data))
    return found
