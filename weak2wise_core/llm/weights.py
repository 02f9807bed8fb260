"""What a model folder holds: whether it is there, and a digest of all that decides replies."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from weak2wise_core.errors import InputFileError

# What decides replies in a model folder; not the state of an optimiser, logs or a README.
_DECISIVE = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "chat_template.jinja",
    "*.safetensors",
    "*.bin",
)
_WHOLE_BYTES = 64 << 20
_EDGE_BYTES = 4 << 20
_STRIDE_BYTES = 16 << 20
_SAMPLE_BYTES = 64 << 10


def model_folder(name: str) -> Path | None:
    """The folder, or None for a hub id."""
    folder = Path(name)
    if folder.is_dir():
        return folder.resolve()
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise InputFileError(f"the model folder {name} does not exist; write its path, or a hub id")
    return None


def model_name(name: str) -> str:
    """What to call a model or tokenizer: a hub id, or a folder's name and content."""
    folder = Path(name)
    if not folder.is_dir():
        return name
    return f"{folder.resolve().name}@{folder_digest(folder)[:12]}"


def folder_digest(folder: Path) -> str:
    """SHA-256 of the names and content of all files in a model folder that decide replies.

    Of a file of more than 64 MB it reads the size, the first and last 4 MB, and 64 kB out of every
    16 MB: an edit that touches none of these is not seen.
    """
    digest = hashlib.sha256()
    for path in sorted({path for pattern in _DECISIVE for path in folder.glob(pattern)}):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        for chunk in _samples(path):
            digest.update(chunk)
    return digest.hexdigest()


def _samples(path: Path) -> Iterator[bytes]:
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= _WHOLE_BYTES:
            yield file.read()
            return
        yield file.read(_EDGE_BYTES)
        for start in range(_STRIDE_BYTES, size - _EDGE_BYTES, _STRIDE_BYTES):
            file.seek(start)
            yield file.read(_SAMPLE_BYTES)
        file.seek(size - _EDGE_BYTES)
        yield file.read(_EDGE_BYTES)
