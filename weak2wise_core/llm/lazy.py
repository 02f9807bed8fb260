"""Heavy libraries are imported when they are first needed, by one thread at a time.

The transformers package makes its names on demand, and two threads that ask for them at once can
find one half made (`cannot import name ...`). Every such import happens while this lock is held.
"""

import threading

IMPORTING = threading.RLock()
"""Held around `from transformers import ...` and its kin."""
