"""Records as Parquet files, and back.

A file says in its metadata which table it holds and in which version, so that a file of another
table is refused by name and not by a missing column. The same rows give the same bytes with the
same version of pyarrow, in every process and on every machine.
"""

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from weak2wise_core.errors import InputFileError, StoreError
from weak2wise_core.stores.files import atomic_write_bytes
from weak2wise_core.stores.tables import ROWS_KEY, TABLE_KEY, TABLES, VERSION_KEY, TableSpec

__all__ = ["TABLES", "TableSpec", "describe", "from_bytes", "read", "to_bytes", "write"]

R = TypeVar("R")
Converter: TypeAlias = Callable[[Any], Any]

_ROWS_A_GROUP: Final = 1024
_NOT_OURS_TO_TELL: Final = (TABLE_KEY, VERSION_KEY, ROWS_KEY, b"ARROW:schema")


def to_bytes(
    records: Sequence[R], record_type: type[R], *, extra: Mapping[str, str] | None = None
) -> bytes:
    """The records as a Parquet file in memory.

    Args:
        records: The rows, in order.
        record_type: One of the keys of `TABLES`.
        extra: Further metadata of the file; `describe` returns it.

    Raises:
        StoreError: A text holds half of a surrogate pair, a whole number has more than 64 bits, or
            a score is not finite; the message names record and column.
        TypeError: A record is not of `record_type`.
    """
    spec = TABLES[record_type]
    for record in records:
        if type(record) is not record_type:
            raise TypeError(f"table {spec.id} takes {record_type.__name__}, found {record!r:.200}")
    columns = [_to_arrow(records, column, spec=spec) for column in spec.columns]
    own = spec.schema.metadata | {ROWS_KEY: str(len(records)).encode()}
    schema = spec.schema.with_metadata(_encoded(extra or {}) | own)
    sink = pa.BufferOutputStream()
    pq.write_table(
        pa.Table.from_arrays(columns, schema=schema),
        sink,
        row_group_size=_ROWS_A_GROUP,
        version="2.6",
        data_page_version="1.0",
        compression="zstd",
        compression_level=3,
        use_dictionary=False,  # the texts hardly repeat
        write_page_checksum=True,
    )
    return bytes(sink.getvalue())


def from_bytes(data: bytes, record_type: type[R]) -> list[R]:
    """The records of a Parquet file in memory.

    Raises:
        InputFileError: It is no Parquet file, damaged, of another table or of another version.
    """
    return _from_parquet(data, record_type, source="these bytes")


def describe(data: bytes) -> tuple[type[Any], dict[str, str]]:
    """What a Parquet file in memory holds.

    Returns:
        The type of its records, and the metadata that `to_bytes` was given as `extra`.

    Raises:
        InputFileError: It is no Parquet file of this project.
    """
    source = "these bytes"
    try:
        metadata = _open(data).schema_arrow.metadata or {}
    except (pa.ArrowException, OSError) as error:
        raise InputFileError(f"{source}: not a whole Parquet file ({error})") from error
    name = _table_name(metadata, source=source)
    kinds = [kind for kind, spec in TABLES.items() if spec.name == name]
    if not kinds:
        raise InputFileError(
            f"{source}: holds the table {name}, which this weak2wise does not know"
        )
    return kinds[0], {
        key.decode(): value.decode()
        for key, value in metadata.items()
        if key not in _NOT_OURS_TO_TELL
    }


def write(path: Path, records: Sequence[R], record_type: type[R]) -> None:
    """Write the records to a file that is whole or absent.

    Raises:
        StoreError: The file cannot be written, or a record cannot be (see `to_bytes`).
        TypeError: A record is not of `record_type`.
    """
    atomic_write_bytes(path, to_bytes(records, record_type))


def read(path: Path, record_type: type[R]) -> list[R]:
    """The records of a file.

    Raises:
        InputFileError: The file is missing, no Parquet file, damaged, of another table or of
            another version.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputFileError(f"{path} cannot be read: {error.strerror or error}") from error
    return _from_parquet(data, record_type, source=str(path))


def _encoded(metadata: Mapping[str, str]) -> dict[bytes, bytes]:
    return {key.encode(): value.encode() for key, value in metadata.items()}


def _open(data: bytes) -> pq.ParquetFile:
    return pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)


def _to_arrow(records: Sequence[Any], column: pa.Field, *, spec: TableSpec) -> pa.ChunkedArray:
    starts = range(0, len(records), _ROWS_A_GROUP)  # in groups, for one array holds at most 2 GiB
    chunks = [_chunk(records[start : start + _ROWS_A_GROUP], column, spec=spec) for start in starts]
    array = pa.chunked_array(chunks, type=column.type)
    if array.null_count and not column.nullable:
        raise TypeError(f"table {spec.id}, column {column.name}: a value is missing")
    if pa.types.is_floating(column.type) and pc.all(pc.is_finite(array)).as_py() is False:
        raise StoreError(f"table {spec.id}, column {column.name}: a value is NaN or infinite")
    return array


def _chunk(records: Sequence[Any], column: pa.Field, *, spec: TableSpec) -> pa.Array:
    values = [_plain(getattr(record, column.name)) for record in records]
    try:
        return pa.array(values, type=column.type)
    except (UnicodeEncodeError, OverflowError, pa.ArrowInvalid) as error:
        if len(records) == 1:
            name = getattr(records[0], spec.columns[0].name)
            raise StoreError(
                f"table {spec.id}, {spec.columns[0].name} {name!r}, column {column.name}: cannot "
                f"be stored ({error}). Correct or leave out this record."
            ) from error
        for record in records:  # to name the record, which pyarrow does not
            _chunk([record], column, spec=spec)
        raise


def _plain(value: Any) -> Any:
    """The value in the types of pyarrow, which knows all of a record's but records themselves."""
    if isinstance(value, tuple) and value and is_dataclass(value[0]):
        return [asdict(item) for item in value]
    return value


def _from_parquet(data: bytes, record_type: type[R], *, source: str) -> list[R]:
    spec = TABLES[record_type]
    try:
        file = _open(data)
        _check_table(file.schema_arrow, spec=spec, source=source)
        table = file.read()
        if str(table.num_rows).encode() != file.schema_arrow.metadata.get(ROWS_KEY):
            raise ValueError("the number of rows is not the one that was written")
        return _to_records(table.to_pydict(), record_type)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputFileError(
            f"{source}: not a whole Parquet file of table {spec.id} ({error}). "
            "Remove it and have it made again."
        ) from error


def _check_table(found: pa.Schema, *, spec: TableSpec, source: str) -> None:
    metadata = found.metadata or {}
    name = _table_name(metadata, source=source)
    version = metadata.get(VERSION_KEY, b"").decode("utf-8", "replace")
    if name != spec.name:
        raise InputFileError(f"{source}: holds the table {name}, not {spec.name}")
    if version != str(spec.version):
        raise InputFileError(
            f"{source}: holds {name}/{version}, and this weak2wise reads {spec.id}. "
            "Use the version that wrote it, or have the file made again."
        )
    if not found.equals(spec.schema):
        raise InputFileError(
            f"{source}: the columns are not those of {spec.id}. Found: {_named(found)}. "
            f"Expected: {_named(spec.schema)}."
        )


def _table_name(metadata: Mapping[bytes, bytes], *, source: str) -> str:
    if TABLE_KEY not in metadata:
        raise InputFileError(
            f"{source}: a Parquet file without {TABLE_KEY.decode()} in its metadata; weak2wise did "
            "not write it, or another program rewrote it"
        )
    return metadata[TABLE_KEY].decode("utf-8", "replace")


def _named(schema: pa.Schema) -> str:
    return ", ".join(f"{column.name} {column.type}" for column in schema)


def _to_records(columns: Mapping[str, list[Any]], record_type: type[R]) -> list[R]:
    make = _maker(record_type)
    names = list(columns)
    rows = zip(*columns.values(), strict=True)
    return [make(dict(zip(names, row, strict=True))) for row in rows]


def _maker(record_type: type[Any]) -> Converter:
    """What turns the plain values of one row into a record."""
    hints = get_type_hints(record_type)
    converters = {field.name: _converter(hints[field.name]) for field in fields(record_type)}

    def make(row: Mapping[str, Any]) -> Any:
        return record_type(**{name: convert(row[name]) for name, convert in converters.items()})

    return make


def _converter(hint: Any) -> Converter:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        inner = _converter(next(item for item in arguments if item is not types.NoneType))
        return lambda value: None if value is None else inner(value)
    if origin is tuple:
        inner = _converter(arguments[0])
        return lambda values: tuple(map(inner, values))
    if isinstance(hint, type) and is_dataclass(hint):
        return _maker(hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint
    return _as_it_is


def _as_it_is(value: Any) -> Any:
    return value
