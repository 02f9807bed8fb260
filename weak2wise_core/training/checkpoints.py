"""The workshop of a training: its checkpoints, beside the place of the model.

A checkpoint counts only when it is marked, after its last byte: a process that is killed while it
saves leaves one that is ignored, and an older one that is whole.
"""

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from weak2wise_core.errors import StoreError, TrainingRefusedError
from weak2wise_core.stores.files import atomic_write_text
from weak2wise_core.training.jobs import TrainingJob, job_version

_MARK = "complete"
_IDENTITY = "job.json"
_LOCK = "lock"
_PREFIX = "checkpoint-"


class Workshop:
    """A hidden folder beside the model's place. Only one process of a training changes it."""

    def __init__(self, job: TrainingJob) -> None:
        """Name the folder; nothing is made yet."""
        self.folder = job.output.parent / f".{job.output.name[:80]}.training"
        self._job = job

    @contextmanager
    def open(self) -> Iterator[None]:
        """Make the folder and hold it against other trainings of the same output.

        Checkpoints of another training (other rows, model or settings) are removed.

        Raises:
            TrainingRefusedError: Another process is training this very output.
            StoreError: The folder cannot be made.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / _LOCK).open("w")
        except OSError as error:
            raise StoreError(f"{self.folder} cannot be made: {error}") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise TrainingRefusedError(
                    f"another process is training {self._job.output} right now; wait for it"
                ) from error
            self._clear_if_foreign()
            yield

    def _clear_if_foreign(self) -> None:
        path, version = self.folder / _IDENTITY, job_version(self._job)
        if not path.is_file() or json.loads(path.read_bytes()).get("version") != version:
            for checkpoint in self._checkpoints():
                shutil.rmtree(checkpoint)
            atomic_write_text(path, json.dumps({"version": version}))

    def _checkpoints(self) -> list[Path]:
        """Checkpoint folders, oldest first."""
        found = [path for path in self.folder.glob(f"{_PREFIX}*") if path.is_dir()]
        return sorted(found, key=lambda path: int(path.name.removeprefix(_PREFIX)))

    def last(self) -> Path | None:
        """The newest whole checkpoint."""
        whole = [path for path in self._checkpoints() if (path / _MARK).is_file()]
        return whole[-1] if whole else None

    def clear_broken(self) -> None:
        """Remove what a killed process left half-written."""
        for path in self._checkpoints():
            if not (path / _MARK).is_file():
                shutil.rmtree(path)

    def mark(self, step: int) -> Path:
        """Declare the checkpoint of a step whole, and remove the older ones."""
        newest = self.folder / f"{_PREFIX}{step}"
        atomic_write_text(newest / _MARK, "")
        for path in self._checkpoints():
            if path != newest:
                shutil.rmtree(path)
        return newest

    def remove(self) -> None:
        """Throw everything away; the model is in its place."""
        shutil.rmtree(self.folder, ignore_errors=True)
