"""The pages of docs/ as tests read them: their code blocks, and the commands in these."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

DOCS = Path(__file__).parents[3] / "docs"
PAGES = sorted(DOCS.glob("*.md"))
_BLOCK = re.compile(r"^```(?P<info>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_RUN = "{ .sh .run }"
"""Marks a block whose commands run offline, on the testbed."""


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a page."""

    page: str
    info: str
    """What stands after the fence: `sh`, `pycon`, `yaml`, `text`, or the mark of a run block."""
    body: str


@dataclass(frozen=True, slots=True)
class Command:
    """One line of a shell block."""

    page: str
    words: tuple[str, ...]
    runs: bool
    """Whether it is run by a test; the others are checked against the command line."""


def blocks(*infos: str) -> list[Block]:
    """The blocks of these kinds in all pages, in order; of every kind where none is named."""
    found = [
        Block(page.name, match["info"].strip(), match["body"])
        for page in PAGES
        for match in _BLOCK.finditer(page.read_text(encoding="utf-8"))
    ]
    return [block for block in found if not infos or block.info in infos]


def commands(*, runs: bool | None = None) -> Iterator[Command]:
    """Every line of every shell block."""
    for block in blocks("sh", _RUN):
        for line in block.body.splitlines():
            words = tuple(takewhile(lambda word: word != ">", shlex.split(line, comments=True)))
            if words and runs in (None, block.info == _RUN):
                yield Command(block.page, words, block.info == _RUN)


def page(name: str) -> str:
    """The text of one page."""
    return (DOCS / name).read_text(encoding="utf-8")
