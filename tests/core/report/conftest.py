"""What tests of reports share: published datasets that are made once."""

from pathlib import Path

import pytest

from benchmarks.report_rows import made
from weak2wise_core.config import Selector
from weak2wise_core.dataset.publishing import publish
from weak2wise_core.dataset.reading import DatasetFolder, open_dataset


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> DatasetFolder:
    """A dataset of 120 questions with every kind of row, and what two selectors read."""
    root: Path = tmp_path_factory.mktemp("published")
    contents = made(120, seed=3, measured=(Selector.RANK_SURPRISAL, Selector.LOG_PROBABILITY))
    return open_dataset(publish(contents, root=root).folder)


@pytest.fixture(scope="session")
def page(published: DatasetFolder) -> str:
    """The report that was published with it."""
    return (published.folder / "report.html").read_text(encoding="utf-8")
