"""Artifacts on the test engine, which all flow tests share: each test reads its own."""

from typing import Any


async def artifacts_like(key: str) -> list[Any]:
    """The newest artifacts whose key fits a pattern, as in `mine-%`."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

    wanted = ArtifactFilter(key=ArtifactFilterKey(like_=key))
    async with get_client() as client:
        return list(await client.read_artifacts(artifact_filter=wanted, limit=200))
