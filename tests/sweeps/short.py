"""A short preset, and sweeps of it as a user starts them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from warm import run_rltune


def words(name: str, *more: str) -> list[str]:
    """The main job on the short preset, which lies in the folder it is run in.

    Trials have a process each: those in batches have tests of their own.
    """
    return ["ppo", "cartpole", "--preset", "short.toml", "--name", name, "--batch", "off", *more]


def command(name: str, *more: str) -> list[str]:
    """The same as a process."""
    return [sys.executable, "-m", "rltune", *words(name, *more)]


def run(
    folder: Path, name: str, *more: str, cluster: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs it to its end, which must be a good one; ``cluster`` as in :class:`warm.Started`."""
    done = run_rltune(folder, *words(name, *more), cluster=cluster)
    assert done.returncode == 0, done.stderr
    return done
