"""Stage 5b: the dataset as a versioned folder; a product, which no cache eviction touches."""

import asyncio
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from weak2wise_core.dataset.contents import Findings
from weak2wise_core.dataset.publishing import Published, publish


@task(name="publish_dataset", cache_policy=NO_CACHE, persist_result=False)
async def publish_dataset(contents: Findings, data: Path) -> Published:
    """Write the dataset below the data folder, whole or not at all."""
    return await asyncio.to_thread(publish, contents, root=data / "datasets")
