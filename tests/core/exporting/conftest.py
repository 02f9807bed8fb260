"""A small published dataset, and `datasets` kept to this machine."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.core.dataset.test_publishing import contents
from weak2wise_core.dataset.publishing import publish
from weak2wise_core.dataset.reading import DatasetFolder, open_dataset

Load = Callable[..., Any]


@pytest.fixture
def dataset(tmp_path: Path) -> DatasetFolder:
    """One training row, one solved question, one dropped and one quarantined row."""
    return open_dataset(publish(contents(), root=tmp_path / "datasets").folder)


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """`datasets.load_dataset`, offline, with a cache of its own."""
    import datasets
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()

    def run(*args: Any, **options: Any) -> Any:
        return datasets.load_dataset(*args, cache_dir=str(tmp_path / "cache"), **options)

    return run
