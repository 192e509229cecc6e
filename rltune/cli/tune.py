"""``rltune tune FUNCTION``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import reduce
from typing import Any

from rltune.cli.parse import values
from rltune.cli.sweep import launch
from rltune.request.functions import function_spec
from rltune.space import Searched, nested, space_of
from rltune.spec import JobSpec


def run(
    *, function: str, space: Sequence[str], json: bool, quiet: bool, dry_run: bool, **options: Any
) -> None:
    """Checks the request, then tunes the function."""
    words = values({"space": [word for word in space if "=" in word]})["space"]
    parts = [space_of(word) for word in space if "=" not in word]
    searched = reduce(Searched.overridden_by, [*parts, space_of(nested(words))])
    asked = values(options)
    asked["settings"] = nested(asked["settings"])
    spec = function_spec(function, searched, command=["rltune", *sys.argv[1:]], **asked)
    launch(spec, JobSpec(), json=json, quiet=quiet, dry_run=dry_run)
