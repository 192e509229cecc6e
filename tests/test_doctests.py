"""Examples in docstrings work as they are written."""

from __future__ import annotations

import doctest
import shutil
from importlib import import_module
from pathlib import Path

import pytest
from conftest import ROOT

import rltune
from rltune import api, run
from rltune.runs.folder import RunFolder
from rltune.spec import RunSpec

#: Their examples want a run folder, and train.
OF_RUNS = {"rltune.api", "rltune.run"}


def _modules() -> list[str]:
    """Every module with an example."""
    files = [*(ROOT / "rltune").rglob("*.py"), *(ROOT / "envs").rglob("*.py")]
    parts = [
        file.relative_to(ROOT).with_suffix("").parts for file in files if ">>> " in file.read_text()
    ]
    names = [".".join(part for part in own if part != "__init__") for own in parts]
    found = {name if name.startswith("rltune") else f"rltune.{name}" for name in names}
    return sorted(found - OF_RUNS)


@pytest.mark.parametrize("name", _modules())
def test_examples_in_docstrings_work(name: str) -> None:
    outcome = doctest.testmod(import_module(name))
    assert outcome.attempted > 0
    assert outcome.failed == 0


def _finished(spec: RunSpec, *_: object) -> RunFolder:
    """Another run in the place of one that would train."""
    path = Path(spec.storage) / spec.name
    return RunFolder.open(shutil.copytree(ROOT / "tests/data/runs_0_1/finished", path))


def test_examples_of_the_api_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests are made and checked as a user writes them; what would train is not run."""
    shutil.copytree(ROOT / "tests/data/runs_0_1/finished", tmp_path / "runs/finished")
    (tmp_path / "my_train.py").write_text("def train(config): ...")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(api.runner, "extend", lambda *_: RunFolder.open("runs/finished"))
    monkeypatch.setattr(api.runner, "run", _finished)
    find = doctest.DocTestFinder().find
    tests = [test for m in (api, run) for test in find(m, "of", globs={"rltune": rltune})]
    runner = doctest.DocTestRunner()
    for test in tests:
        runner.run(test, clear_globs=False)
    with_examples = {test.name.split(".")[1] for test in tests if test.examples}
    elsewhere = {"__version__", "RltuneError", "Callback", "simulate", "report", "get_checkpoint"}
    assert with_examples == {*rltune.__all__} - elsewhere
    assert runner.summarize().failed == 0
