"""Shared by all tests: how to call the command line, and one Ray session a module."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def environment() -> dict[str, str]:
    """The environment of a rltune process: this checkout importable, no terminal."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120", "TERM": "dumb"}


def run_rltune(
    folder: Path, *words: str, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs ``python -m rltune`` in a folder and returns the finished process."""
    return subprocess.run(
        [sys.executable, "-m", "rltune", *words],
        cwd=folder,
        env={**environment(), **(variables or {})},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Runs ``python -m rltune`` in an empty folder and returns the finished process."""
    return partial(run_rltune, tmp_path)


@pytest.fixture(scope="module")
def ray_session() -> Iterator[None]:
    """Ray with two CPUs, for the tests of one module."""
    import ray

    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        _node_ip_address="127.0.0.1",
    )
    yield
    ray.shutdown()
