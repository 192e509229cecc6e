"""``rltune train ALGO ENV`` and ``rltune certify ALGO ENV``."""

from __future__ import annotations

import sys
from typing import Any

from rltune.cli.parse import pairs
from rltune.cli.sweep import launch
from rltune.request.resolve import make_spec


def run(
    *,
    json: bool,
    quiet: bool,
    dry_run: bool,
    settings: list[str] | None = None,
    env_args: list[str] | None = None,
    **options: Any,
) -> None:
    """Checks the request, then trains every seed."""
    spec = make_spec(
        job="train",
        settings=pairs("--set", settings or [], "--set lr=1e-3"),
        env_args=pairs("--env-arg", env_args or [], "--env-arg gravity=9.8"),
        command=["rltune", *sys.argv[1:]],
        **options,
    )
    launch(spec, json=json, quiet=quiet, dry_run=dry_run)
