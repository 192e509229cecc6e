"""``rltune landscape ALGO ENV``."""

from __future__ import annotations

import sys
from typing import Any

from rltune.cli.parse import values
from rltune.cli.sweep import launch
from rltune.request.resolve import landscape_request


def run(*, json: bool, quiet: bool, dry_run: bool, **options: Any) -> None:
    """Checks the request, then trains every setting on every seed."""
    spec, job = landscape_request(command=["rltune", *sys.argv[1:]], **values(options))
    launch(spec, job, json=json, quiet=quiet, dry_run=dry_run)
