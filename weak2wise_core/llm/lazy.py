"""Heavy libraries are imported, and models loaded, by one thread at a time.

The transformers package makes its names on demand, and two threads that ask for them at once can
find one half made (`cannot import name ...`). While it makes or loads a model it replaces parts of
its own classes; two threads that do so at once can leave them replaced, and every later model of
the process would have weights untied that belong together. Both happen while this lock is held.
"""

import threading

IMPORTING = threading.RLock()
"""Held around `from transformers import ...`, `from_pretrained`, `from_config` and their kin."""
