"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest

REAL_DATA = "WEAK2WISE_REAL_DATA"
REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout that is tested."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real questions, answers and traces that are not part of the project."""
    folder = Path(os.environ.get(REAL_DATA, REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data is absent: set {REAL_DATA} to its folder")
    return folder
