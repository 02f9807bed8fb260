"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

REAL_DATA = "WEAK2WISE_REAL_DATA"
REPOSITORY = Path(__file__).parents[1]

# A loaded machine may hold up any example; whatever profile is in force (CI has its own) is kept.
settings.register_profile("unhurried", parent=settings(), deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout that is tested."""
    return REPOSITORY


@pytest.fixture(scope="session", autouse=True)
def folders_that_recipes_may_read(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Recipes of tests name files of the checkout, of temporary folders and of the real data."""
    folders = (REPOSITORY, tmp_path_factory.getbasetemp(), _real_data())
    os.environ["WEAK2WISE_FOLDERS"] = os.pathsep.join(map(str, folders))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real questions, answers and traces that are not part of the project."""
    folder = _real_data()
    if not folder.is_dir():
        pytest.skip(f"real data is absent: set {REAL_DATA} to its folder")
    return folder


def _real_data() -> Path:
    return Path(os.environ.get(REAL_DATA, REPOSITORY.parent / "shared" / "data"))
