"""Files and folders that are whole or absent.

Everything is written beside its place, brought to the disk and renamed: a reader never sees half
of it, and a process that is killed leaves the old content as it was. What it was writing stays
beside under a hidden name; `remove_abandoned` tells it from what living writers write.
"""

import fcntl
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

from weak2wise_core.errors import StoreError

_HIDDEN = re.compile(r"\..+\.[0-9a-f]{32}\.tmp")


@contextmanager
def atomic_writer(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its name when the block ends without an error.

    Args:
        path: Where the content belongs; missing parent folders are made. An existing file is
            replaced at once, or kept as it was when the block fails.

    Yields:
        A binary handle. Everything done inside the block must be writing to it: an OSError there
        is reported as a failure to write `path`.

    Raises:
        StoreError: The file cannot be written: full disk, no permission, a folder in its place.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside, mark = _made_beside(path, partial(Path.touch, exist_ok=False))
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        with beside.open("wb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        beside.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        _let_go(mark)  # last: a name without its lock would be taken for dead


def atomic_write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file, or leave what is there.

    Raises:
        StoreError: The file cannot be written.
    """
    with atomic_writer(path) as handle:
        handle.write(data)


def atomic_write_text(path: Path, text: str) -> None:
    r"""Write a whole file of UTF-8 text with its line ends as given, or leave what is there.

    Raises:
        StoreError: The file cannot be written.
        UnicodeEncodeError: The text holds half of a surrogate pair, which UTF-8 cannot hold.
    """
    atomic_write_bytes(path, text.encode("utf-8"))


@contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Be the only one that reads and replaces a file, for as long as the block lasts.

    Others who ask for the same wait. It does not last beyond the process, however that ends. Where
    the file system has no locks nobody waits.

    Raises:
        StoreError: The folder of the file cannot be made or written.
    """
    name = path.name.encode()[:200].decode(errors="ignore")  # names are limited to 255 bytes
    lock = path.with_name(f".{name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _lock_of_its_own(lock)
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        yield
    finally:
        with suppress(OSError):
            lock.unlink()
        _let_go(descriptor)


def _lock_of_its_own(lock: Path) -> int:
    """A lock file that is ours: whoever had it before us has taken its name away."""
    while True:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        if _locked(descriptor, lock):
            return descriptor
        os.close(descriptor)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Fill a folder that takes its name when the block ends without an error.

    Args:
        path: Where the folder belongs; missing parents are made. A folder that exists there when
            the block ends is left alone and the new one is thrown away: of two writers of the same
            version the first one wins.

    Yields:
        A new, empty folder beside `path`. Everything done inside the block must be writing to it:
        an OSError there is reported as a failure to write `path`.

    Raises:
        StoreError: The folder cannot be made, brought to the disk or renamed.
    """
    with scratch_folder(path) as beside:
        try:
            yield beside
        except OSError as error:
            raise _cannot_write(path, error) from error
        settle(beside, path)


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """A new, empty, hidden folder beside `path`, for as long as the block lasts.

    Raises:
        StoreError: It cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside, mark = _made_beside(path, Path.mkdir)
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        yield beside
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        _let_go(mark)


def remove_folder(path: Path) -> None:
    """Remove a folder in one step: it is there whole, or not at all.

    It takes a hidden name first, under which `remove_abandoned` finds what is left of it should
    this process be killed; whoever sweeps there meanwhile only helps. A folder that is missing, or
    cannot be renamed, is left as it is.
    """
    beside = _beside(path)
    with suppress(OSError):
        path.rename(beside)
        shutil.rmtree(beside, ignore_errors=True)


def set_aside(path: Path) -> Path:
    """Give a folder that is not what its name says another name, in one step; that name.

    Raises:
        StoreError: It cannot be renamed.
    """
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    try:
        path.rename(aside)
    except FileNotFoundError:
        pass  # another writer was faster
    except OSError as error:
        raise _cannot_write(path, error) from error
    return aside


def remove_abandoned(folder: Path) -> None:
    """Remove the hidden files and folders that killed writers left in a folder.

    A writer holds a lock on what it writes, and the system takes it back however the writer ends.
    Where the file system has no locks nothing is removed.
    """
    hidden: list[Path] = []
    with suppress(OSError):
        hidden += (one for one in folder.iterdir() if _HIDDEN.fullmatch(one.name))
    for beside in hidden:
        with suppress(OSError):  # its writer was faster, or it is somebody else's
            _remove_if_free(beside)


def remove_abandoned_below(folder: Path) -> None:
    """The same in a folder and in every folder below it that is not hidden."""
    for place, names, _ in os.walk(folder):
        remove_abandoned(Path(place))
        names[:] = [name for name in names if not name.startswith(".")]


def _remove_if_free(beside: Path) -> None:
    if beside.is_symlink():
        return
    descriptor = os.open(beside, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if beside.is_dir():
            shutil.rmtree(beside, ignore_errors=True)
        else:
            beside.unlink(missing_ok=True)
    finally:  # an error: somebody writes it, or there are no locks
        _let_go(descriptor)


def _made_beside(path: Path, make: Callable[[Path], None]) -> tuple[Path, int]:
    """A new hidden file or folder in the same folder, with the lock of its writer.

    Whoever removes abandoned ones may come between making and locking: then it is made again.
    """
    while True:
        beside = _beside(path)
        make(beside)
        with suppress(FileNotFoundError):
            descriptor = os.open(beside, os.O_RDONLY | os.O_CLOEXEC)
            if _locked(descriptor, beside):
                return beside, descriptor
            os.close(descriptor)


def _locked(descriptor: int, path: Path) -> bool:
    """Lock what was opened under a name; whether the name is still its own.

    Where the file system has no locks nobody else removes the name.
    """
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _let_go(descriptor: int) -> None:
    """Give a lock back and close what held it, for a child that inherited it as well."""
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def settle(beside: Path, path: Path) -> None:
    """Bring a filled scratch folder to the disk and give it its name, unless that is taken.

    Raises:
        StoreError: It cannot be done.
    """
    try:
        _sync_tree(beside)
        if not path.is_dir():
            _rename_unless_taken(beside, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _rename_unless_taken(beside: Path, path: Path) -> None:
    try:
        beside.rename(path)
    except OSError:
        if not path.is_dir():  # else another writer was faster by less than a millisecond
            raise


def _beside(path: Path) -> Path:
    """A new hidden name in the same folder; short, for names are limited to 255 bytes."""
    return path.with_name(f".{path.name[:40]}.{uuid.uuid4().hex}.tmp")


def _sync_tree(folder: Path) -> None:
    for item in folder.rglob("*"):
        if item.is_dir():
            _sync_folder(item)
        elif not item.is_symlink():
            with item.open("rb") as handle:
                os.fsync(handle.fileno())
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, without which a renamed file can lose its name."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cannot_write(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"{path} cannot be written: {error.strerror or error}. What was there is unchanged; "
        "free space or correct the permissions, or choose another place."
    )
