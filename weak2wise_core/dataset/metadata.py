"""The header of a dataset card: what hubs and `datasets` read, with the columns of every table."""

from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa

from weak2wise_core.dataset.conversations import SCHEMA as CONVERSATIONS
from weak2wise_core.dataset.preferences import SCHEMA as PREFERENCES
from weak2wise_core.records import Answer
from weak2wise_core.stores.tables import TABLES

_SIZES: Final = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
)
_LARGEST: Final = "1M<n<10M"
_SCHEMAS: Final[Mapping[str, pa.Schema]] = {
    **{f"{spec.name}.parquet": spec.schema for spec in TABLES.values()},
    "train_chat.parquet": CONVERSATIONS,
    "pairs_chat.parquet": PREFERENCES,
}
_ANSWERS: Final = TABLES[Answer].schema
"""Of `answers-ROLE.parquet`, the only tables whose names a recipe decides."""
_WORDS: Final = {pa.string(): "string", pa.int64(): "int64", pa.float64(): "float64"}


def metadata(
    manifest: Mapping[str, Any],
    *,
    license_: str,
    languages: tuple[str, ...],
    there: Mapping[str, str],
) -> dict[str, Any]:
    """Everything that stands in the header of a build's card.

    Args:
        manifest: Counts, settings and files of the dataset.
        license_: An identifier of the hub's list.
        languages: ISO 639 codes; the header names no language where there is none.
        there: The file of every configuration that can be loaded.
    """
    models = manifest["settings"]["models"]
    facts = {
        "weak_model": models["weak"]["model"],
        "strong_models": [spec["model"] for spec in models["strong"].values()],
    }
    return _header(
        manifest, license_=license_, languages=languages, there=there, tag="step-mask", facts=facts
    )


def lesson_metadata(
    manifest: Mapping[str, Any],
    *,
    license_: str,
    languages: tuple[str, ...],
    there: Mapping[str, str],
) -> dict[str, Any]:
    """The same for a dataset of a related method; see `metadata`."""
    models = {role: spec["model"] for role, spec in manifest["settings"]["models"].items()}
    facts = {"method": manifest["method"], "step": manifest["step"], "models": models}
    return _header(
        manifest,
        license_=license_,
        languages=languages,
        there=there,
        tag=manifest["method"],
        facts=facts,
    )


def _header(
    manifest: Mapping[str, Any],
    *,
    license_: str,
    languages: tuple[str, ...],
    there: Mapping[str, str],
    tag: str,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    name = {"license_name": "terms-of-the-source-models"} if license_ == "other" else {}
    return {
        "pretty_name": manifest["dataset"],
        "license": license_,
        **name,
        **({"language": list(languages)} if languages else {}),
        "task_categories": ["text-generation"],
        "size_categories": [size(manifest["counts"]["train"])],
        "language_creators": ["machine-generated"],
        "annotations_creators": ["machine-generated"],
        "tags": ["reasoning", "chain-of-thought", "synthetic", "weak2wise", tag],
        "configs": [
            {"config_name": one, "data_files": [{"split": "train", "path": file}]}
            for one, file in there.items()
        ],
        "dataset_info": [
            _information(one, file, manifest["files"][file])
            for one, file in there.items()
            if "rows" in manifest["files"].get(file, {})
        ],
        "weak2wise": {"version": manifest["version"], **facts},
    }


def size(rows: int) -> str:
    """The hub's word for so many rows.

    Example:
        >>> size(107), size(20_000)
        ('n<1K', '10K<n<100K')
    """
    return next((name for limit, name in _SIZES if rows < limit), _LARGEST)


def _information(name: str, file: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Columns and rows of one table; sizes are those of its file."""
    split = {"name": "train", "num_bytes": entry["bytes"], "num_examples": entry["rows"]}
    schema = _SCHEMAS.get(file, _ANSWERS)
    return {
        "config_name": name,
        "features": [{"name": field.name, **_feature(field.type)} for field in schema],
        "splits": [split],
        "download_size": entry["bytes"],
        "dataset_size": entry["bytes"],
    }


def _feature(kind: pa.DataType) -> dict[str, Any]:
    """A type in the words of `datasets`.

    Example:
        >>> _feature(pa.list_(pa.list_(pa.string())))
        {'list': {'list': 'string'}}
    """
    if pa.types.is_list(kind):
        inner = _feature(kind.value_type)
        return {"list": inner.get("dtype", inner.get("struct", inner))}
    if pa.types.is_struct(kind):
        return {"struct": [{"name": field.name, **_feature(field.type)} for field in kind]}
    return {"dtype": _WORDS.get(kind, "bool")}
