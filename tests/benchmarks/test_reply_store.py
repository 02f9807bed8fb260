"""The benchmark of the reply store, with a few replies."""

import io
from pathlib import Path

from rich.console import Console

from benchmarks.reply_store import measure, table


def test_the_store_is_written_and_read(tmp_path: Path) -> None:
    """Every figure is there and above nothing."""
    found = measure(tmp_path, replies=40, chars=400, seed=1, streamed=5)
    assert (found.replies, found.chars) == (40, 400)
    assert min(found.writes_per_s, found.read_us, found.bytes_each, found.at_risk_ms) > 0
    assert found.most_at_risk_ms >= found.at_risk_ms
    console = Console(record=True, file=io.StringIO())
    console.print(table(found))
    assert "40 replies" in console.export_text()
