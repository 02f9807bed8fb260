"""Writing a dataset: beside its place, renamed when whole, manifest last; `latest` points to it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from weak2wise_core.dataset.card import card
from weak2wise_core.dataset.contents import AnyContents, check
from weak2wise_core.dataset.manifest import FORMAT, summary
from weak2wise_core.dataset.reported import tables_of
from weak2wise_core.dataset.writing import file_names, write_tables
from weak2wise_core.errors import StoreError
from weak2wise_core.hashing import content_hash
from weak2wise_core.records import Finding
from weak2wise_core.report.explorer import MOST_QUESTIONS
from weak2wise_core.report.numbers import Numbers, numbers
from weak2wise_core.report.page import page
from weak2wise_core.stores.files import remove_abandoned, scratch_folder, settle

LATEST = "latest"
MANIFEST = "manifest.json"
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
    and replies give the same folder with the same bytes, and writing it again changes nothing.
    What a killed build left half-written is removed. Rows pass through memory in small groups, but
    for the report: a dataset of more questions than a page shows is published without one.

    Raises:
        BuildError: The tables do not account for every row; nothing is written.
        StoreError: The folder cannot be written; nothing is left behind.
    """
    check(contents)
    name = contents.recipe.dataset
    remove_abandoned(root / name)
    with scratch_folder(root / name / name) as beside:
        try:
            found = write_tables(contents, beside)
            files = {one: _described(beside / one) for one in file_names(beside)}
            facts = summary(contents, found=found)
            content = {"format": FORMAT, "dataset": name, **facts, "files": files}
            version = content_hash(content)[:12]
            manifest = content | {"version": version}
            (beside / "README.md").write_text(card(manifest), encoding="utf-8")
            stated = _report(contents, manifest, found, path=beside / REPORT)
            (beside / MANIFEST).write_text(_json(manifest) + "\n", encoding="utf-8")
        except OSError as error:
            raise StoreError(
                f"{beside} cannot be written: {error.strerror or error}. Nothing is published; "
                "free space or correct the permissions, or choose another place."
            ) from error
        folder = root / name / version
        settle(beside, folder)
    _point(folder.parent / LATEST, version)
    return Published(folder=folder, version=version, manifest=manifest, numbers=stated)


def _described(path: Path) -> dict[str, Any]:
    """Digest and size of a file; of a table also its rows."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    rows = {"rows": pq.read_metadata(path).num_rows} if path.suffix == ".parquet" else {}
    return {"sha256": digest, "bytes": path.stat().st_size, **rows}


def _report(
    contents: AnyContents,
    manifest: Mapping[str, Any],
    found: Sequence[Finding],
    *,
    path: Path,
) -> Numbers | None:
    """Write the report of a dataset that fits into memory; the numbers that it states."""
    if len(contents.questions) > MOST_QUESTIONS:
        return None
    tables = tables_of(contents, manifest, found)
    path.write_text(page(tables), encoding="utf-8")
    return numbers(tables)


def _json(value: object) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)


def _point(link: Path, target: str) -> None:
    """Let a symbolic link point to a version, in one step."""
    with scratch_folder(link) as beside:
        new = beside / link.name
        new.symlink_to(target, target_is_directory=True)
        new.replace(link)
