"""``rltune ALGO ENV --address ray://HOST:10001``: the sweep runs on the head of that cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rltune.cli import console
from rltune.cli.recipe import forwarded, request
from rltune.cli.spelling import spelled, spelling
from rltune.cli.submit import Log
from rltune.clusters.command import Asked
from rltune.errors import BadInput


def run(
    *, algo: str, env: str, words: Mapping[str, Sequence[str]], dry_run: bool, **given: Any
) -> None:
    """Checks the request, starts it there, and shows what it prints until it ends."""
    address = given["address"]
    if not words.get("storage"):
        raise BadInput(
            f"{spelling('storage')} is missing: the folder of runs on the cluster, which all its "
            f"nodes see, as {spelling('storage')} /mnt/runs"
        )
    asked = Asked(algo, env, forwarded(words), spelled)
    _, command = request(asked, given, None, travels=True)
    from rltune.clusters import client_jobs  # which imports Ray: after the checks

    if dry_run:
        files = "".join(f"\n# goes along: {path}" for path in command.files)
        console.output().print(f"{client_jobs.script(command)}{files}", soft_wrap=True)
        return
    log = Log(given["json"])
    with client_jobs.submitted(command, address, Path.cwd()) as job:
        try:
            code = job.follow(log)
        finally:
            log.close()
    raise SystemExit(code)
