"""Writing a dataset: beside its place, renamed when whole, manifest last; `latest` points to it."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weak2wise_core.dataset.card import card
from weak2wise_core.dataset.contents import Findings, check
from weak2wise_core.dataset.manifest import FORMAT, summary
from weak2wise_core.dataset.writing import file_names, write_tables
from weak2wise_core.errors import StoreError
from weak2wise_core.hashing import content_hash
from weak2wise_core.stores.files import remove_abandoned, scratch_folder, settle

LATEST = "latest"
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A dataset in its folder."""

    folder: Path
    version: str
    manifest: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpublished:
    """What a build found that published nothing."""

    manifest: Mapping[str, Any]


def publish(findings: Findings, *, root: Path) -> Published:
    """Write a dataset below `root` / name / version and let `latest` point to it.

    The version is a hash of the manifest, which holds the digests of all tables: the same inputs
    and replies give the same folder with the same bytes, and writing it again changes nothing.
    What a killed build left half-written is removed. Rows pass through memory in small groups.

    Raises:
        BuildError: The tables do not account for every row; nothing is written.
        StoreError: The folder cannot be written; nothing is left behind.
    """
    check(findings)
    return publish_folder(
        findings.recipe.dataset,
        write=lambda folder: write_tables(findings, folder),
        head=lambda: summary(findings),
        describe=card,
        root=root,
    )


def publish_folder(
    name: str,
    *,
    write: Callable[[Path], None],
    head: Callable[[], Mapping[str, Any]],
    describe: Callable[[Mapping[str, Any]], str],
    root: Path,
) -> Published:
    """Write files as a version of a dataset; see `publish`.

    Args:
        name: Of the dataset.
        write: Puts the files into an empty folder.
        head: What the manifest says beside the digests of the files.
        describe: Makes the card of a manifest.
        root: The folder of all datasets.

    Raises:
        StoreError: The folder cannot be written; nothing is left behind.
    """
    remove_abandoned(root / name)
    with scratch_folder(root / name / name) as beside:
        try:
            write(beside)
            files = {one: _described(beside / one) for one in file_names(beside)}
            content = {"format": FORMAT, "dataset": name, **head(), "files": files}
            version = content_hash(content)[:12]
            manifest = content | {"version": version}
            (beside / "README.md").write_text(describe(manifest), encoding="utf-8")
            (beside / MANIFEST).write_text(plain_json(manifest) + "\n", encoding="utf-8")
        except OSError as error:
            raise StoreError(
                f"{beside} cannot be written: {error.strerror or error}. Nothing is published; "
                "free space or correct the permissions, or choose another place."
            ) from error
        folder = root / name / version
        settle(beside, folder)
    _point(folder.parent / LATEST, version)
    return Published(folder=folder, version=version, manifest=manifest)


def _described(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"sha256": digest, "bytes": path.stat().st_size}


def plain_json(value: object) -> str:
    """A value as the files of a dataset hold it: the same value gives the same bytes."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)


def _point(link: Path, target: str) -> None:
    """Let a symbolic link point to a version, in one step."""
    with scratch_folder(link) as beside:
        new = beside / link.name
        new.symlink_to(target, target_is_directory=True)
        new.replace(link)
