"""Examples in docstrings work as they are written."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest

MODULES = ("rltune.errors", "rltune.space", "rltune.statistics", "rltune.envs")


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_work(name: str) -> None:
    outcome = doctest.testmod(import_module(name))
    assert outcome.attempted > 0
    assert outcome.failed == 0
