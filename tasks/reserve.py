"""Room on the disk that is kept free for replies that were paid for when it ran full."""

import os
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from weak2wise_core.errors import StoreError

RESERVE_BYTES = 16 << 20
"""Room for the replies of several hundred calls in flight."""


class Reserve:
    """Holds room in a folder until it is closed; a process that is killed frees it too.

    A build that finds the disk full stops. What models have answered by then is still in memory;
    it is written in the room that is freed here, and so it is never paid for again.
    """

    def __init__(self, folder: Path) -> None:
        """Take the room.

        Raises:
            StoreError: There is none, or the folder cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = _filled(folder)
        except OSError as error:
            raise StoreError(
                f"{folder} takes no {RESERVE_BYTES / 1e6:.0f} MB ({error.strerror or error}), the "
                "least that a build needs. Free space, correct the permissions, or choose another "
                "data folder"
            ) from error

    def close(self) -> None:
        """Give the room back; doing so again does nothing."""
        self._file.close()


def _filled(folder: Path) -> IO[bytes]:
    """A file without a name, full of noise: some file systems keep zeros in no room at all."""
    file = TemporaryFile(dir=folder)  # noqa: SIM115 - it stays open as long as the build runs
    try:
        file.write(os.urandom(RESERVE_BYTES))
        file.flush()
    except OSError:
        file.close()
        raise
    return file
