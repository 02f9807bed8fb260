"""Records as Parquet files, and back.

A file says in its metadata which table it holds and in which version, so that a file of another
table is refused by name and not by a missing column. The same rows give the same bytes with the
same version of pyarrow, in every process and on every machine.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Generic, Self, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from weak2wise_core.errors import InputFileError, StoreError
from weak2wise_core.stores.converting import maker
from weak2wise_core.stores.files import atomic_write_bytes
from weak2wise_core.stores.tables import ROWS_KEY, TABLE_KEY, TABLES, VERSION_KEY, TableSpec

__all__ = [
    "ROWS_A_GROUP",
    "TABLES",
    "TableSpec",
    "TableWriter",
    "describe",
    "from_bytes",
    "read",
    "to_bytes",
    "write",
]

R = TypeVar("R")

ROWS_A_GROUP: Final = 1024
"""Rows that are written, and can be read, together."""
WRITING: Final[Mapping[str, Any]] = {
    "version": "2.6",
    "data_page_version": "1.0",
    "compression": "zstd",
    "compression_level": 3,
    "use_dictionary": False,  # the texts hardly repeat
    "write_page_checksum": True,
}
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
    sink = pa.BufferOutputStream()
    with TableWriter(sink, record_type, rows=len(records), extra=extra) as table:
        for record in records:
            table.add(record)
    return bytes(sink.getvalue())


class TableWriter(Generic[R]):
    """Writes a Parquet file group by group: no more than one group of records is in memory.

    The file is that of `to_bytes`, byte for byte.
    """

    def __init__(
        self,
        sink: IO[bytes] | pa.NativeFile,
        record_type: type[R],
        *,
        rows: int,
        extra: Mapping[str, str] | None = None,
    ) -> None:
        """Begin a file.

        Args:
            sink: Where its bytes go.
            record_type: One of the keys of `TABLES`.
            rows: How many records will be added.
            extra: Further metadata of the file; `describe` returns it.
        """
        self._kind = record_type
        self._spec = TABLES[record_type]
        own = self._spec.schema.metadata | {ROWS_KEY: str(rows).encode()}
        self._schema = self._spec.schema.with_metadata(_encoded(extra or {}) | own)
        self._writer = pq.ParquetWriter(sink, self._schema, **WRITING)
        self._waiting: list[R] = []
        self._missing = rows
        self._written = False

    def add(self, record: R) -> None:
        """Append one record.

        Raises:
            StoreError: It holds what no file can hold, see `to_bytes`.
            TypeError: It is not of the table's type.
        """
        if type(record) is not self._kind:
            raise TypeError(
                f"table {self._spec.id} takes {self._kind.__name__}, found {record!r:.200}"
            )
        self._waiting.append(record)
        if len(self._waiting) == ROWS_A_GROUP:
            self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """End the file.

        Raises:
            ValueError: It did not get the number of records that it was promised.
        """
        try:
            if kind is None:
                if self._waiting or not self._written:
                    self._flush()
                if self._missing:
                    raise ValueError(f"table {self._spec.id}: {self._missing} records are missing")
        finally:
            self._writer.close()

    def _flush(self) -> None:
        columns = [_to_arrow(self._waiting, one, spec=self._spec) for one in self._spec.columns]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))
        self._missing -= len(self._waiting)
        self._written = True
        self._waiting = []


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


def _to_arrow(records: Sequence[Any], column: pa.Field, *, spec: TableSpec) -> pa.Array:
    array = _chunk(records, column, spec=spec)
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
    make = maker(record_type)
    names = list(columns)
    rows = zip(*columns.values(), strict=True)
    return [make(dict(zip(names, row, strict=True))) for row in rows]
