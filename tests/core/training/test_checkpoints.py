"""Laws of the workshop: only whole checkpoints of the same training count."""

from pathlib import Path

import pytest

from tests.core.training.schooling import job
from weak2wise_core.errors import TrainingRefusedError
from weak2wise_core.training.checkpoints import Workshop


def checkpoint(workshop: Workshop, step: int) -> Path:
    """A checkpoint as the trainer writes it, not yet marked."""
    folder = workshop.folder / f"checkpoint-{step}"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def test_an_unmarked_checkpoint_does_not_count(tmp_path: Path) -> None:
    """A process that is killed while it saves leaves the older one in force."""
    workshop = Workshop(job(tmp_path))
    with workshop.open():
        assert workshop.last() is None
        checkpoint(workshop, 2)
        assert workshop.last() is None
        two = workshop.mark(2)
        ten = checkpoint(workshop, 10)
        assert workshop.last() == two
        workshop.clear_broken()
        assert not ten.exists()
        assert two.exists()


def test_a_marked_checkpoint_replaces_the_older_ones(tmp_path: Path) -> None:
    """By number, not by name: 10 is newer than 9."""
    workshop = Workshop(job(tmp_path))
    with workshop.open():
        for step in (9, 10):
            checkpoint(workshop, step)
            workshop.mark(step)
        assert workshop.last() == workshop.folder / "checkpoint-10"
        assert not (workshop.folder / "checkpoint-9").exists()


def test_another_training_does_not_go_on_from_a_checkpoint(tmp_path: Path) -> None:
    """Other settings begin anew; the same ones, opened again, go on."""
    first = Workshop(job(tmp_path))
    with first.open():
        checkpoint(first, 5)
        first.mark(5)
    with Workshop(job(tmp_path, threads=2)).open():
        assert first.last() is not None
    with Workshop(job(tmp_path, learning_rate=1.0)).open():
        assert first.last() is None


def test_one_training_at_a_time(tmp_path: Path) -> None:
    """A second one is refused while the first holds the workshop, and only then."""
    first, second = Workshop(job(tmp_path)), Workshop(job(tmp_path))
    with first.open(), pytest.raises(TrainingRefusedError, match="another process"), second.open():
        pass
    with second.open():
        second.remove()
    assert not second.folder.exists()
