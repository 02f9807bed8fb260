"""Shows `Example:` of a docstring as code: Google's style knows the section as `Examples:`."""

from typing import Any

from griffe import Extension, Object


class ExamplesAsCode(Extension):
    """Renames the section before the docstring is taken apart."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Called for every module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
