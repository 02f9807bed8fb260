"""The law of heavy imports: threads that need them at once do not trip over each other."""

import subprocess
import sys

PROGRAM = """
import threading
from weak2wise_core.llm.lazy import IMPORTING
from weak2wise_core.llm.tokens import Tokens
from weak2wise_core.errors import UsageError
faults = []
def load():
    try:
        Tokens.load("/there/is/no/such/folder")
    except UsageError:
        pass
    except BaseException as error:
        faults.append(repr(error))
threads = [threading.Thread(target=load) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not faults, faults
"""


def test_eight_threads_import_the_tokenizers_at_once() -> None:
    """In a fresh process every thread gets its own clear error, none a broken import."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
