"""Reading a published dataset back: only what its manifest lists, and only inside its folder.

A dataset may come from anybody. Nothing in it may point elsewhere: a name in a manifest that climbs
out of the folder, and a link that leads out of it, are refused before a file is opened.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from weak2wise_core.config.base import Name
from weak2wise_core.dataset.manifest import FORMAT, LATEST, MANIFEST
from weak2wise_core.errors import InputFileError, UsageError
from weak2wise_core.hashing import content_hash, file_hash

_NAME: TypeAdapter[str] = TypeAdapter(Name)
_VERSION = re.compile(r"[0-9a-f]{12}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetFolder:
    """One version of a dataset, checked to be well formed; its content only by `verify`."""

    folder: Path
    """Absolute, links resolved."""
    name: str
    version: str
    manifest: Mapping[str, Any]

    def file(self, name: str) -> Path:
        """The path of a file that the manifest lists.

        Raises:
            InputFileError: The manifest does not list it, it is missing, or it leads out of the
                folder.
        """
        if name not in self.manifest["files"]:
            listed = ", ".join(sorted(self.manifest["files"]))
            raise InputFileError(f"dataset {self.folder}: no file {name!r}; it lists {listed}")
        return _inside(self.folder, name)

    def verify(self) -> None:
        """Make sure that manifest and files are what was published.

        Raises:
            InputFileError: The manifest does not belong to its version, or a file is missing, or
                is not the one that the manifest describes.
        """
        if (found := _version_of(self.manifest)) != self.version:
            raise InputFileError(
                f"dataset {self.folder}: the manifest says version {self.version}, its content is "
                f"{found}: it was changed after it was published. Build or copy the dataset again"
            )
        for name, entry in self.manifest["files"].items():
            if _hash(path := self.file(name)) != entry["sha256"]:
                raise InputFileError(
                    f"{path} is not the file that the manifest describes (SHA-256 differs): it was "
                    "changed or damaged. Build or copy the dataset again"
                )


def refuse_published(path: Path) -> None:
    """Make sure that a file to write lies in no version of a dataset: those never change.

    Raises:
        UsageError: It does, perhaps through a link such as `latest`.
    """
    for folder in path.resolve().parents:
        if _is_published(folder):
            raise UsageError(
                f"{path} lies in the published dataset {folder}, which never changes; name a file "
                "outside of it"
            )


def _is_published(folder: Path) -> bool:
    """Whether a folder is a version of a dataset, by whatever version of this program."""
    try:
        found = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and {"dataset", "version"} <= found.keys()


def open_dataset(path: Path) -> DatasetFolder:
    """Open a published dataset.

    Args:
        path: The folder of one version, or the folder of all its versions, of which the latest is
            taken.

    Raises:
        InputFileError: There is no dataset, its manifest is damaged or of another format, or
            something in it leads out of its folder.
    """
    folder = _version_folder(path)
    manifest = _manifest(folder)
    _check(manifest, folder)
    return DatasetFolder(
        folder=folder,
        name=manifest["dataset"],
        version=manifest["version"],
        manifest=manifest,
    )


def _version_folder(path: Path) -> Path:
    if (path / MANIFEST).is_file() and path.name != LATEST:
        return path.resolve()
    link = path if path.name == LATEST else path / LATEST
    if not (link / MANIFEST).is_file():
        raise InputFileError(
            f"{path} is no dataset: it holds neither {MANIFEST} nor {LATEST}; name the folder of a "
            "dataset, as in data/datasets/gr1k/latest"
        )
    folder = link.resolve()
    if folder.parent != link.parent.resolve():
        raise InputFileError(f"{link} leads to {folder}, out of its dataset; name that one itself")
    return folder


def _manifest(folder: Path) -> Any:
    path = _inside(folder, MANIFEST)
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputFileError(f"{path} cannot be read: {error}; publish the dataset again") from None


def _check(manifest: Any, folder: Path) -> None:
    """Make sure that everything later code relies on is there, in the form it relies on."""
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else manifest
        raise InputFileError(
            f"dataset {folder}: its format is {str(found)[:100]!r}, and this weak2wise reads "
            f"{FORMAT}; build it again with this version"
        )
    if not _is_name(manifest.get("dataset")):
        raise _faulty(folder, "dataset", manifest.get("dataset"))
    if not _matches(_VERSION, manifest.get("version")):
        raise _faulty(folder, "version", manifest.get("version"))
    files = manifest.get("files")
    if not isinstance(files, dict):
        raise _faulty(folder, "files", files)
    for name, entry in files.items():
        _check_file(folder, name, entry)


def _check_file(folder: Path, name: str, entry: Any) -> None:
    if not _stays(name):
        raise InputFileError(
            f"dataset {folder}: its manifest lists {name!r}, which leads out of the folder; do not "
            "use a dataset from a source that you do not trust"
        )
    if not isinstance(entry, dict) or not _matches(_SHA256, entry.get("sha256")):
        raise _faulty(folder, f"files.{name}", entry)


def _stays(name: str) -> bool:
    """Whether a name is that of a file in a folder or its subfolders, on every system."""
    parts = name.split("/")
    strange = any(sign in name for sign in "\\:\0")
    return not strange and all(part not in {"", ".", ".."} for part in parts)


def _inside(folder: Path, name: str) -> Path:
    """A file of the folder.

    Raises:
        InputFileError: It is missing, or a link on the way leads out of the folder.
    """
    path = folder / name
    if not path.is_file():
        raise InputFileError(f"{path} is missing; build or copy the dataset again")
    if not path.resolve().is_relative_to(folder):
        raise InputFileError(
            f"{path} is a link to {path.resolve()}, out of the dataset; put the file itself there"
        )
    return path


def _version_of(manifest: Mapping[str, Any]) -> str:
    """The version that `publish` gives to this content; none where it could not have made it."""
    content = {key: value for key, value in manifest.items() if key != "version"}
    try:
        return content_hash(content)[:12]
    except (ValueError, RecursionError) as error:
        return f"none ({type(error).__name__})"


def _is_name(value: object) -> bool:
    try:
        _NAME.validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _faulty(folder: Path, key: str, value: object) -> InputFileError:
    return InputFileError(
        f"dataset {folder}: the manifest's {key} is {str(value)[:100]!r}, which this weak2wise "
        "never writes; build or copy the dataset again"
    )


def _hash(path: Path) -> str:
    try:
        return file_hash(path)
    except OSError as error:
        raise InputFileError(f"{path} cannot be read: {error.strerror or error}") from error
