"""What the table answers for each searcher on an installation."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import Cli

from rltune.errors import BadInput
from rltune.searchers import READY, SEARCHERS, check

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
EXTRAS = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"]


@pytest.mark.parametrize("name", [name for name, row in SEARCHERS.items() if row.modules])
def test_a_missing_library_names_its_install_command(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = SEARCHERS[name]
    if row.state == READY:
        check(name)
    monkeypatch.setitem(sys.modules, row.modules[-1], None)
    assert row.state.startswith(f"pip install 'rltune[{row.extra}]'")
    assert row.by_hand in row.state
    with pytest.raises(BadInput, match=re.escape(row.state)):
        check(name)


@pytest.mark.parametrize("name", [name for name, row in SEARCHERS.items() if row.extra])
def test_an_extra_installs_the_library_within_bounds(name: str) -> None:
    extra = EXTRAS[SEARCHERS[name].extra]
    assert all(re.search(r">=|==", need) for need in extra)
    assert SEARCHERS[name].modules


@pytest.mark.parametrize("name", [name for name, row in SEARCHERS.items() if row.broken])
def test_a_searcher_that_cannot_run_says_why_and_what_does(name: str) -> None:
    row = SEARCHERS[name]
    assert row.state == row.broken
    named = set(re.findall(r"\w+", row.broken)) & set(SEARCHERS)
    assert [other for other in named if not SEARCHERS[other].broken]
    with pytest.raises(BadInput, match=re.escape(f"searcher {name}: {row.broken}")):
        check(name)


def test_the_command_line_refuses_a_searcher_that_cannot_run(cli: Cli) -> None:
    done = cli("ppo", "cartpole", "--searcher", "sigopt")
    assert done.returncode == 2
    assert "SigOpt's service has ended" in done.stderr
    assert "Use tpe" in done.stderr


def test_a_searcher_of_another_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(BadInput, match="Did you mean 'nevergrad'"):
        check("nevergard")
