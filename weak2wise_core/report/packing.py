"""How texts fit into a page: compressed, and cut where they would be too much together."""

import base64
import gzip
import json
from typing import Any, Final

LIMITS: Final = (
    *(1_000_000, 200_000, 100_000, 50_000, 30_000, 20_000, 15_000, 10_000, 7_000, 5_000, 3_500),
    *(2_500, 1_800, 1_300, 1_000, 800, 650, 500, 400, 320, 250, 200, 150, 100, 50, 0),
)
"""Characters of one text; the first limit that keeps a page small is taken."""
WHOLE: Final = LIMITS[0]


class Lengths:
    """How much room texts need under each limit; none of them is kept."""

    def __init__(self) -> None:
        """No text yet."""
        self._needed = [0] * len(LIMITS)

    def add(self, text: str, share: int) -> None:
        """Take in one text, which may have `share` times the limit."""
        length = len(text)
        for place, limit in enumerate(LIMITS):
            self._needed[place] += min(length, share * limit)

    def add_whole(self, characters: int) -> None:
        """Take in what is never cut."""
        self._needed = [needed + characters for needed in self._needed]

    def fitting_limit(self, most: int) -> int:
        """The largest limit under which the texts are no more than `most` characters together."""
        fitting = (limit for limit, n in zip(LIMITS, self._needed, strict=True) if n <= most)
        return next(fitting, LIMITS[-1])


def shortened(text: str, limit: int) -> Any:
    """The text, or its beginning with the length of the whole."""
    return text if len(text) <= limit else {"head": text[:limit], "length": len(text)}


def packed(value: object) -> str:
    """JSON, compressed, in characters that need no care in a page; the same for the same value."""
    plain = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    data = gzip.compress(plain.encode("utf-8", "surrogatepass"), compresslevel=6, mtime=0)
    return base64.b64encode(data).decode("ascii")
