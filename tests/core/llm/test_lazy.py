"""The law of heavy imports: threads that need them at once do not trip over each other."""

import subprocess
import sys
import threading
from typing import Any

import pytest

from testbed.models import WEAK_MODEL_FOLDER
from weak2wise_core.config import ModelSpec
from weak2wise_core.llm.lazy import IMPORTING
from weak2wise_core.llm.loading import load_engine

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


def test_models_are_loaded_by_one_thread_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else two of them could leave the library in a state that unties the weights of later ones."""
    import transformers

    load = transformers.AutoModelForCausalLM.from_pretrained
    free: list[bool] = []

    def try_lock() -> None:
        free.append(IMPORTING.acquire(blocking=False))
        if free[-1]:
            IMPORTING.release()

    def watched(*arguments: Any, **options: Any) -> Any:
        other = threading.Thread(target=try_lock)
        other.start()
        other.join()
        return load(*arguments, **options)

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", watched)
    load_engine(ModelSpec(backend="transformers", model=str(WEAK_MODEL_FOLDER), device="cpu"))
    assert free == [False]
