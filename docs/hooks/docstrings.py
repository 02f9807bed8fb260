"""Turns what docstrings hold beyond Google's style and Markdown into these, for the core's page."""

import re
from typing import Any

from griffe import Extension, Object

_TABLE = re.compile(r"^=+(?:  =+)+\n(?:.+\n)+", re.MULTILINE)


class DocstringsAsMarkdown(Extension):
    """Shows examples and ruled tables as they were written."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Called for every module, class, function and attribute."""
        if obj.docstring is not None:
            renamed = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
            obj.docstring.value = _TABLE.sub(r"```text\n\g<0>```\n", renamed)
