"""Trials of class trainables, outside of a sweep."""

from __future__ import annotations

import time
from itertools import count
from pathlib import Path
from typing import Any

import climbers
import functions
import pytest

from rltune.request.functions import function_spec
from rltune.tasks import task_of
from rltune.tasks.function_trial import trainable_of


def made(trainable: type, storage: Path) -> Any:
    """A trial of a class trainable."""
    space = {"lr": {"log": [1e-5, 1e-2], "default": 1e-3}}
    spec = function_spec(trainable, space, metric="height", steps=2, storage=storage)
    settings = {"lr": 1e-3, "seed": 1}
    return trainable_of(spec.env_id)(config={**task_of(spec).config((), 1.0), **settings})


@pytest.mark.fault(56)
def test_durations_survive_a_clock_that_is_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial, hours = made(climbers.Climber, tmp_path), count(1e6, -1)
    monkeypatch.setattr(time, "time", lambda: 3_600.0 * next(hours))
    seconds = [trial.train()["time_total_s"] for _ in range(2)]
    assert 0 < seconds[0] < seconds[1] < 60


def test_a_step_that_returns_no_metrics_is_told_what_it_returns(tmp_path: Path) -> None:
    trial = made(functions.Mute, tmp_path)
    with pytest.raises(TypeError, match="step returned None: it returns a dict of metrics"):
        trial.train()
