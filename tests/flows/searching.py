"""Finding a text in everything below a folder, however it is stored."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
import zstandard

_ZSTD = b"\x28\xb5\x2f\xfd"


def places_of(needle: str, folder: Path) -> list[str]:
    """Every place below a folder that holds the text: in bytes, cells of tables or records."""
    wanted = needle.encode()
    return [
        where
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
        for where, content in _contents(path)
        if wanted in content
    ]


def _contents(path: Path) -> Iterator[tuple[str, bytes]]:
    raw = path.read_bytes()
    yield str(path), raw
    if raw.startswith(b"PAR1"):
        file = pq.ParquetFile(path)
        yield f"{path} (rows)", repr(file.read().to_pylist()).encode()
        yield f"{path} (metadata)", repr(file.schema_arrow.metadata).encode()
    elif raw.startswith(b"SQLite format 3"):
        yield from _cells(path)


def _cells(path: Path) -> Iterator[tuple[str, bytes]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        connection.text_factory = bytes
        names = connection.execute("select name from sqlite_master where type = 'table'")
        for name in [one.decode() for (one,) in names.fetchall()]:
            for row in connection.execute(f'select * from "{name}"'):
                for cell in row:
                    yield f"{path} (table {name})", _decoded(cell)


def _decoded(cell: object) -> bytes:
    if isinstance(cell, bytes) and cell.startswith(_ZSTD):
        return zstandard.ZstdDecompressor().decompress(cell, max_output_size=1 << 26)
    return cell if isinstance(cell, bytes) else str(cell).encode()
