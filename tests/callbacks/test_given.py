"""Callbacks by name: imported and checked before anything starts, called again by a resume."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Cli

import rltune
from rltune import api
from rltune.callbacks.given import make_callbacks
from rltune.cli.opened import open_run
from rltune.errors import BadInput
from rltune.request.replay import replay_spec
from rltune.request.resolve import make_spec
from rltune.request.trust import check_trusted
from rltune.runs.folder import RunFolder
from rltune.spec import RunSpec

MINE = """
import rltune

class Counter(rltune.Callback):
    def on_result(self, event):
        self.results += 1

class Needy(rltune.Callback):
    def __init__(self, project):
        self.project = project

class Leaves(rltune.Callback):
    def __init__(self):
        raise SystemExit(3)

class Old(rltune.Callback):
    def on_report(self, event):
        pass

class Foreign:
    def on_epoch_end(self, epoch): ...

class Both(Foreign, rltune.Callback):
    pass

def make(): ...
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a user's modules, the current one."""
    (tmp_path / "my_watch.py").write_text(MINE)
    (tmp_path / "my_fault.py").write_text("import nothing_like_that\n")
    (tmp_path / "my_end.py").write_text("import sys\nsys.exit('no')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("my_"):
            del sys.modules[name]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Counter", "write it as module:Class or path/to/file.py:Class"),
        ("my_watch.py", "write it as module:Class"),
        ("my_watch.py:", "write it as module:Class"),
        ("my_watch.py:Conter", r"Unknown class 'Conter'\. Did you mean 'Counter'\?"),
        ("my_watch:make", "does not subclass rltune.Callback"),
        ("my_watch:Foreign", "does not subclass rltune.Callback"),
        ("my_watch:Old", r"nothing calls Old\.on_report\. The methods for events are .*on_result"),
        ("elsewhere.py:Mine", r"there is no file .*/elsewhere\.py\. Put it back there"),
        ("my_watsh:Counter", "No module named 'my_watsh'. Run rltune in the folder that holds it"),
        ("my_fault:Mine", r"No module named 'nothing_like_that' \(.*my_fault\.py:1\)"),
        ("my_end:Mine", r"SystemExit: no \(.*my_end\.py:2\)"),
    ],
)
def test_a_wrong_name_is_refused_before_anything_starts(
    name: str, message: str, here: Path
) -> None:
    with pytest.raises(BadInput, match=f"^callbacks.*{message}"):
        rltune.sweep("ppo", "cartpole", callbacks=[name], storage="runs")
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_watch:Needy", r"Needy\(\) raised TypeError: .*missing 1 required .* 'project'"),
        ("my_watch:Leaves", r"Leaves\(\) raised SystemExit: 3 \(my_watch.py:14, in __init__\)"),
    ],
)
def test_a_constructor_that_fails_leaves_no_run(name: str, message: str, here: Path) -> None:
    with pytest.raises(BadInput, match=f"^callbacks {name}: {message}"):
        rltune.sweep("ppo", "cartpole", callbacks=[name], storage="runs")
    assert not Path("runs").exists()


def test_instances_and_names_stand_in_one_list(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[RunSpec, Any]] = []

    def run(spec: RunSpec, callbacks: Any, *_: Any) -> RunFolder:
        calls.append((spec, callbacks))
        return RunFolder(Path(spec.storage) / spec.name)

    monkeypatch.setattr(api.runner, "run", run)
    own = rltune.Callback()
    given = ["my_watch:Counter", own, "my_watch.py:Both"]
    rltune.sweep("ppo", "cartpole", callbacks=given)
    rltune.train("ppo", "cartpole", callbacks=given)
    for spec, instances in calls:
        assert spec.callbacks == ("my_watch:Counter", f"{here}/my_watch.py:Both")
        assert RunSpec.from_dict(spec.to_dict()) == spec
        assert instances == [own]
        kinds = [type(made).__name__ for made in make_callbacks([*spec.callbacks, own])]
        assert kinds == ["Counter", "Both", "Callback"]


def test_a_replay_calls_its_own_callbacks(here: Path) -> None:
    shutil.copytree(ROOT / "tests/data/runs_0_1/finished", "runs/finished")
    folder = RunFolder.open("runs/finished")
    spec, _ = replay_spec(folder, callbacks=["my_watch.py:Counter"])
    assert spec.callbacks == (f"{here}/my_watch.py:Counter",)
    assert replay_spec(folder)[0].callbacks == ()


def test_a_resume_of_another_persons_run_calls_nothing_untrusted(here: Path) -> None:
    spec = make_spec("ppo", "cartpole", name="a", callbacks=["my_watch:Counter"])
    folder = RunFolder.create(spec)
    folder.lock.release()
    check_trusted(folder, resumes=True)
    (folder.path / ".run.json.signature").unlink()
    with pytest.raises(BadInput, match="calls my_watch:Counter, a callback"):
        check_trusted(folder, resumes=True)
    check_trusted(folder)  # nothing else calls them
    assert "my_watch" not in sys.modules
    open_run(folder.path, trust=True, resumes=True)
    check_trusted(folder, resumes=True)


def test_the_command_line_checks_callbacks(here: Path, cli: Cli) -> None:
    words = ("ppo", "cartpole", "--dry-run", "--json", "--callback")
    done = cli(*words, "my_watch:Counter", "--callback", "my_watch.py:Both")
    assert done.returncode == 0, done.stderr
    assert f'"callbacks": ["my_watch:Counter", "{here}/my_watch.py:Both"]' in done.stdout
    done = cli(*words, "my_watch:Old")
    assert done.returncode == 2
    assert "error: --callback: nothing calls Old.on_report" in done.stderr
