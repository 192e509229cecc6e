"""Docstrings as the API reference shows them: examples as code, and no roles of Sphinx.

An extension of Griffe, which mkdocs.yml names.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

#: A doctest, up to the next empty line; ``:func:`name```.
DOCTEST = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)
ROLE = re.compile(r":\w+:`~?([\w.]+)`")


class Docstrings(griffe.Extension):  # type: ignore[misc]
    """Changes each docstring before it is parsed."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Called for each module, class, function and attribute."""
        if obj.docstring is not None:
            code = DOCTEST.sub(r"```pycon\n\g<0>\n```", obj.docstring.value)
            obj.docstring.value = ROLE.sub(r"`\1`", code)
