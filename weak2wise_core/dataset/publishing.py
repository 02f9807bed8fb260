"""Writing a dataset: beside its place, renamed when whole, manifest last; `latest` points to it."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from weak2wise_core.dataset.card import card
from weak2wise_core.dataset.contents import AnyContents, check
from weak2wise_core.dataset.manifest import FORMAT, LATEST, MANIFEST, summary
from weak2wise_core.dataset.reading import open_dataset
from weak2wise_core.dataset.reported import tables_of
from weak2wise_core.dataset.writing import file_names, write_tables
from weak2wise_core.errors import InputFileError, StoreError
from weak2wise_core.hashing import content_hash, file_hash
from weak2wise_core.records import Finding
from weak2wise_core.report.numbers import Numbers, numbers
from weak2wise_core.report.page import page_parts
from weak2wise_core.report.survey import Survey
from weak2wise_core.stores.files import remove_abandoned, scratch_folder, set_aside, settle

_log = logging.getLogger(__name__)

CARD = "README.md"
REPORT = "report.html"
"""As the card it is made of the manifest, so that the manifest lists neither."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A dataset in its folder."""

    folder: Path
    version: str
    manifest: Mapping[str, Any]
    numbers: Numbers | None = None
    """What its report states; None where it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpublished:
    """What a build found that published nothing."""

    manifest: Mapping[str, Any]


def publish(contents: AnyContents, *, root: Path) -> Published:
    """Write a dataset below `root` / name / version and let `latest` point to it.

    The version is a hash of the manifest, which holds the digests of all tables: the same inputs
    and replies give the same folder with the same bytes, and writing it again changes nothing. A
    folder of that version whose files are others is set aside, under a name that says so. What a
    killed build left half-written is removed. Rows pass through memory in small groups.

    Raises:
        BuildError: The tables do not account for every row; nothing is written.
        StoreError: The folder cannot be written; nothing is left behind.
    """
    check(contents)
    build = _Build(contents)
    published = publish_folder(
        contents.recipe.dataset, write=build.write, describe=build.describe, root=root
    )
    return replace(published, numbers=build.numbers)


def publish_folder(
    name: str,
    *,
    write: Callable[[Path], Mapping[str, Any]],
    describe: Callable[[Mapping[str, Any], Path], None],
    root: Path,
) -> Published:
    """Write files as a version of a dataset; see `publish`.

    Args:
        name: Of the dataset.
        write: Puts the files into an empty folder; what the manifest says beside their digests.
        describe: Writes beside them what is made of the manifest, and so not listed in it.
        root: The folder of all datasets.

    Raises:
        StoreError: The folder cannot be written; nothing is left behind.
    """
    remove_abandoned(root / name)
    with scratch_folder(root / name / name) as beside:
        try:
            head = write(beside)
            files = {one: _described(beside / one) for one in file_names(beside)}
            content = {"format": FORMAT, "dataset": name, **head, "files": files}
            version = content_hash(content)[:12]
            manifest = content | {"version": version}
            describe(manifest, beside)
            (beside / MANIFEST).write_text(plain_json(manifest) + "\n", encoding="utf-8")
        except OSError as error:
            raise StoreError(
                f"{beside} cannot be written: {error.strerror or error}. Nothing is published; "
                "free space or correct the permissions, or choose another place."
            ) from error
        folder = root / name / version
        if folder.is_dir() and not _is_whole(folder, manifest):
            _log.warning("%s was damaged or changed; it is kept as %s", folder, set_aside(folder))
        settle(beside, folder)
    _point(folder.parent / LATEST, version)
    return Published(folder=folder, version=version, manifest=manifest)


def _is_whole(folder: Path, manifest: Mapping[str, Any]) -> bool:
    """Whether a folder holds what a manifest says, and that manifest."""
    try:
        found = open_dataset(folder)
        found.verify()
        return plain_json(found.manifest) == plain_json(manifest)
    except (InputFileError, OSError, ValueError, RecursionError):
        return False


def _described(path: Path) -> dict[str, Any]:
    """Digest and size of a file; of a table also its rows."""
    rows = {"rows": pq.read_metadata(path).num_rows} if path.suffix == ".parquet" else {}
    return {"sha256": file_hash(path), "bytes": path.stat().st_size, **rows}


class _Build:
    """The files of a build, and what is made of its manifest: card and report."""

    def __init__(self, contents: AnyContents) -> None:
        self._contents = contents
        self._survey = Survey(contents.recipe.step_mask)
        self._found: Sequence[Finding] = ()
        self.numbers: Numbers | None = None

    def write(self, folder: Path) -> Mapping[str, Any]:
        """Write the tables, audited and counted on the way; the manifest's part they decide."""
        self._found = write_tables(self._contents, folder, also=self._survey.add)
        return summary(self._contents, found=self._found)

    def describe(self, manifest: Mapping[str, Any], folder: Path) -> None:
        """Write the card and the report."""
        (folder / CARD).write_text(card(manifest), encoding="utf-8")
        tables = tables_of(self._contents, manifest, self._found)
        self.numbers = numbers(tables, self._survey.counts)
        with (folder / REPORT).open("w", encoding="utf-8") as file:
            file.writelines(page_parts(tables, found=self._survey))


def plain_json(value: object) -> str:
    """A value as the files of a dataset hold it: the same value gives the same bytes."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)


def _point(link: Path, target: str) -> None:
    """Let a symbolic link point to a version, in one step."""
    with scratch_folder(link) as beside:
        new = beside / link.name
        new.symlink_to(target, target_is_directory=True)
        new.replace(link)
