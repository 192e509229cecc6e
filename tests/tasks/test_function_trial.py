"""Trials of class trainables, outside of a sweep."""

from __future__ import annotations

from pathlib import Path

import functions
import pytest

from rltune.request.functions import function_spec
from rltune.tasks import task_of
from rltune.tasks.function_trial import trainable_of


def test_a_step_that_returns_no_metrics_is_told_what_it_returns(tmp_path: Path) -> None:
    space = {"lr": {"log": [1e-5, 1e-2]}}
    spec = function_spec(functions.Mute, space, metric="height", steps=2, storage=tmp_path)
    trial = trainable_of(spec.env_id)(config={**task_of(spec).config((), 1.0), "lr": 1, "seed": 1})
    with pytest.raises(TypeError, match="step returned None: it returns a dict of metrics"):
        trial.train()
