"""A run without long pauses of its event loop.

A reply that has come while the loop is busy with something else is not read, and what is not read
is lost if the process is killed. Two things held a loop for tenths of a second: a package that was
imported in the middle of the work, and a full garbage collection, which looks at every object of
every package that was ever imported and finds nothing.

What is read is lost too until it is written, by a thread that has to wait for a busy loop several
times in each write; and the loop waits for busy threads. Here nobody waits for long.
"""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from weak2wise_core.records import Question
from weak2wise_core.stores.parquet import to_bytes

SWITCH_S = 0.0005
"""For how long a thread may work while another one waits; the interpreter's own value is ten times
as long."""
_USUAL_SWITCH_S = sys.getswitchinterval()  # read once: runs of one process may overlap
_ROW = Question(id="0", question="1 + 1", answer="2")


@asynccontextmanager
async def few_pauses() -> AsyncIterator[None]:
    """Import what would be imported later; no full collection sees it while this is open.

    Threads take turns in quicker succession meanwhile.
    """
    await asyncio.to_thread(to_bytes, [_ROW], Question)  # pyarrow imports pandas with its first row
    spare_what_is_loaded()
    sys.setswitchinterval(SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(_USUAL_SWITCH_S)
        gc.unfreeze()


def spare_what_is_loaded() -> None:
    """Keep what is there now out of collections, until the `few_pauses` that is open ends.

    It takes no time; call it after something large was loaded.
    """
    gc.freeze()
