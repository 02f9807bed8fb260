"""What training tests share: the testbed's tokenizer, and models that are trained once."""

import asyncio
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from testbed.models import WEAK_MODEL_FOLDER
from tests.core.training.schooling import job
from weak2wise_core.llm.tokens import Tokens
from weak2wise_core.training.events import EventKind, TrainingEvent
from weak2wise_core.training.jobs import Trained
from weak2wise_core.training.running import train

NEEDS_TRAINER = (
    *("test_trainer", "test_running", "test_saving", "test_resuming", "test_together"),
    "test_preferences",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what trains where the extra is not installed; the libraries' warnings are not ours."""
    here = Path(__file__).parent
    for item in items:
        if not item.path.is_relative_to(here):
            continue
        item.add_marker(pytest.mark.filterwarnings("default"))
        if item.path.stem in NEEDS_TRAINER and importlib.util.find_spec("trl") is None:
            item.add_marker(pytest.mark.skip(reason="trl is not installed: weak2wise[train]"))


@pytest.fixture(scope="session")
def tokens() -> Tokens:
    """The tokenizer of the testbed's weak model."""
    return Tokens.load(WEAK_MODEL_FOLDER)


@dataclass
class School:
    """Trainings that several tests look at, and everything that was said meanwhile."""

    folder: Path
    events: list[TrainingEvent] = field(default_factory=list)
    trained: dict[str, Trained] = field(default_factory=dict)

    def losses(self, name: str) -> list[float]:
        """Losses of a model's steps, as its manifest tells."""
        return losses(self.trained[name])

    def kinds(self, name: str) -> Sequence[EventKind]:
        """What happened in a training, in order."""
        return [event.kind for event in self.events if event.job == name]


def losses(trained: Trained) -> list[float]:
    """Losses of all steps."""
    return [step["loss"] for step in trained.manifest["steps"]]


@pytest.fixture(scope="session")
def school(tmp_path_factory: pytest.TempPathFactory) -> School:
    """Several models, trained one after another in one process."""
    school = School(tmp_path_factory.mktemp("school"))
    jobs = [
        job(school.folder, "plain"),
        job(school.folder, "packed", packing=True, global_batch_size=2, per_device_batch_size=1),
        job(school.folder, "adapted", lora={"rank": 8}, epochs=1),
        job(school.folder, "half", precision="bfloat16", epochs=1),
        job(school.folder, "summed", loss="equation_10", epochs=1),
        job(school.folder, "again"),
    ]
    results = asyncio.run(train(jobs, on_event=school.events.append))
    school.trained = {one.name: result for one, result in zip(jobs, results, strict=True)}
    return school
