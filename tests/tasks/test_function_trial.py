"""Trials of class trainables, outside of a sweep."""

from __future__ import annotations

import time
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import climbers
import functions
import pytest

from rltune.errors import BadCheckpoint
from rltune.request.functions import function_spec
from rltune.runs import checkpoints
from rltune.spec import FUNCTION, RLLIB
from rltune.tasks import task_of
from rltune.tasks.function_trial import trainable_of


def made(trainable: type, storage: Path, **more: Any) -> Any:
    """A trial of a class trainable; ``more`` is of its config."""
    space = {"lr": {"log": [1e-5, 1e-2], "default": 1e-3}}
    spec = function_spec(trainable, space, metric="height", steps=2, storage=storage)
    settings = {"lr": 1e-3, "seed": 1, **more}
    return trainable_of(spec.env_id)(config={**task_of(spec).config((), 1.0), **settings})


@pytest.mark.fault(56)
def test_durations_survive_a_clock_that_is_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial, hours = made(climbers.Climber, tmp_path), count(1e6, -1)
    monkeypatch.setattr(time, "time", lambda: 3_600.0 * next(hours))
    seconds = [trial.train()["time_total_s"] for _ in range(2)]
    assert 0 < seconds[0] < seconds[1] < 60


def test_training_seconds_continue_through_a_restore_and_an_exploit(tmp_path: Path) -> None:
    trial = made(functions.Ladder, tmp_path)
    trial._time_total = 100.0
    assert 100 <= trial.train()["seconds"] < 101
    trial.save(str(tmp_path / "own"))
    again = made(functions.Ladder, tmp_path)
    again.restore(str(tmp_path / "own"))
    seconds = again.train()["seconds"]
    assert round(trial._time_total, 3) <= seconds < 102
    told = {"donor": "t07", "env_steps": 250, "own_checkpoint": None, "seconds": 7.0}
    clone = made(functions.Ladder, tmp_path, exploit=told)
    clone._trial_info = SimpleNamespace(trial_id="t01")
    clone.restore(str(tmp_path / "own"))
    assert 7 <= clone.train()["seconds"] < 8, "its own, not the donor's"


def test_a_step_that_returns_no_metrics_is_told_what_it_returns(tmp_path: Path) -> None:
    trial = made(functions.Mute, tmp_path)
    with pytest.raises(TypeError, match="step returned None: it returns a dict of metrics"):
        trial.train()


@pytest.mark.fault(46)
@pytest.mark.parametrize("algo", [FUNCTION, RLLIB])
def test_no_file_beside_them_makes_pickles_of_a_function_data(tmp_path: Path, algo: str) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files/model.pkl").write_bytes(b"anything")
    for name in checkpoints.DATA[1:]:
        (tmp_path / name).touch()
    checkpoints.seal(tmp_path, algo)
    assert not checkpoints.is_data(tmp_path)
    with pytest.raises(BadCheckpoint, match=r"rltune\.trust"):
        checkpoints.check_pickles(tmp_path)
