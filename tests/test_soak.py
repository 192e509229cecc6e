"""The soak (scripts/soak.py) for three minutes, in place of half an hour."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import ROOT, environment

pytestmark = [pytest.mark.slow, pytest.mark.by_hand, pytest.mark.timeout(900)]


@pytest.mark.fault(1, 11, 13)
@pytest.mark.parametrize("words", ["--scheduler pb2", "--scheduler pbt --batch 2"])
def test_a_sweep_under_random_kills(words: str) -> None:
    command = [sys.executable, "scripts/soak.py", "--minutes", "3", "--seed", "1", *words.split()]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
