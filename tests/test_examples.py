"""The commands of examples/ and of docs/environments.md do what they say."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from conftest import ROOT, Cli

from rltune import spec
from rltune.request.rehearsal import rehearse
from rltune.runs.json_text import loads

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
PAGE = (ROOT / "docs/environments.md").read_text(encoding="utf-8")
COMMAND = re.compile(r"^    rltune (.+)$", re.MULTILINE)
COMMANDS = [(path, words) for path in EXAMPLES for words in COMMAND.findall(path.read_text())]


@pytest.mark.parametrize(("path", "words"), COMMANDS, ids=[words for _, words in COMMANDS])
def test_a_command_of_an_example_works(
    path: Path, words: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(path, tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # as the command line does
    _rehearsed(cli, words)


def test_the_page_works_as_written(cli: Cli, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.+?)```", PAGE, re.DOTALL)
    (tmp_path / "walk.py").write_text(code)
    (words,) = COMMAND.findall(PAGE)
    _rehearsed(cli, words)


def _rehearsed(cli: Cli, words: str) -> None:
    """Asks for a run as a person types it, and plays what it would train."""
    done = cli(*shlex.split(words), "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    rehearse(spec.RunSpec.from_dict(loads(done.stdout)))


def test_every_example_has_a_command() -> None:
    assert {path for path, _ in COMMANDS} == set(EXAMPLES)
