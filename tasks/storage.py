"""Where the task engine keeps stage results: files that are whole or absent, and never pickles.

The engine's own storage writes in place, so that a full disk leaves half a file; and beside every
result it reads a note that names the serializer to decode it with, from pickle to any module that
can be imported. Whoever can write to the data folder could so run code in the next build. Here a
note that names another serializer than ours is as good as absent: the result is made anew.
"""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

from prefect.filesystems import LocalFileSystem

from tasks.results import ParquetStageResult
from tasks.runtime import KEYS, RESULTS, report_unwritten
from weak2wise_core.errors import InputFileError, StoreError
from weak2wise_core.stores.files import atomic_write_bytes

_SERIALIZER = {"type": ParquetStageResult().type}

logger = logging.getLogger(__name__)


class WholeFiles(LocalFileSystem):
    """A folder whose files are whole or absent, whatever happens while they are written."""

    _block_type_name = "Weak2Wise results"

    async def aread_path(self, path: str) -> bytes:
        """Content of a file.

        Raises:
            ValueError: There is no such file, or it lies outside of the folder.
        """
        return await asyncio.to_thread(self.read_path, path)

    def read_path(self, path: str) -> bytes:  # type: ignore[override] # the engine's is both
        """Content of a file; see `aread_path`."""
        resolved = self._resolve_path(path)
        if not resolved.is_file():
            raise ValueError(f"{resolved} is no file")
        return resolved.read_bytes()

    async def awrite_path(self, path: str, content: bytes) -> str:
        """Write a file in one step; its path.

        Raises:
            ValueError: The path lies outside of the folder.
            StoreError: It cannot be written; what was there is unchanged.
        """
        return await asyncio.to_thread(self.write_path, path, content)

    def write_path(self, path: str, content: bytes) -> str:  # type: ignore[override]
        """Write a file in one step; see `awrite_path`.

        The engine logs an error here and goes on without the result: the build is told as well.
        """
        resolved = self._resolve_path(path)
        try:
            atomic_write_bytes(resolved, content)
        except StoreError as error:
            report_unwritten(error)
            raise
        return str(resolved)


class CheckedKeys(WholeFiles):
    """The notes beside the results; only those are handed out that this project can have written.

    Checked before the engine reads a note, for it imports what some serializers name while reading.
    """

    _block_type_name = "Weak2Wise result keys"

    def read_path(self, path: str) -> bytes:  # type: ignore[override]
        """A note about a result, as it was understood: no other reader finds more in it.

        Raises:
            ValueError: There is none.
            InputFileError: It names another serializer than ours.
        """
        note = _decoded(super().read_path(path))
        if note.get("serializer") != _SERIALIZER:
            logger.warning(
                "%s says that its result is stored as %.100s, which this project never writes; "
                "the result is computed again",
                self._resolve_path(path),
                note.get("serializer"),
            )
            raise InputFileError(f"{path} names a serializer that is not read")
        return json.dumps(note).encode()


def _decoded(content: bytes) -> dict[str, Any]:
    try:
        note = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return note if isinstance(note, dict) else {}


def results_in(data: Path) -> WholeFiles:
    """Where the stage results of a data folder lie."""
    return WholeFiles(basepath=str(data / RESULTS))


def keys_in(data: Path) -> CheckedKeys:
    """Where the notes beside the stage results of a data folder lie."""
    return CheckedKeys(basepath=str(data / KEYS))
