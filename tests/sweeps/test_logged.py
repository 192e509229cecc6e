"""A real sweep with trackers: one that works, and one that fails."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import functions
import pytest
import wandb_files

from rltune.callbacks.loggers.trackers import TRACKERS, Tracker
from rltune.request.functions import function_spec
from rltune.runs.folder import RunFolder
from rltune.sweeps import runner


@pytest.mark.slow
@pytest.mark.fault(55)
def test_a_sweep_is_logged_and_a_tracker_that_fails_leaves_it_as_it_is(
    tmp_path: Path,
    ray_session: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setitem(TRACKERS, "broken", Tracker("broken_logger", "json"))
    for name, value in {"BROKEN": "exit at points", "WANDB_MODE": "offline"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    spec = function_spec(
        functions.climb,
        {"lr": {"log": [1e-5, 1e-2], "default": 1e-3}},
        **{"metric": "height", "trials": 2, "steps": 3, "perturb_every": 1, "concurrent": 1},
        **{"storage": tmp_path / "runs", "name": "a", "seed": 3},
        log="wandb,broken",
    )
    folder = runner.run(spec)
    assert RunFolder.open(folder.path).spec.log == ("wandb", "broken")
    summary = folder.summary
    assert summary is not None
    assert [trial.status for trial in summary.trials] == ["TERMINATED", "TERMINATED"]
    told = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert ["broken raised SystemExit: 3" in each.getMessage() for each in told] == [True]
    runs = dict(wandb_files.read(tmp_path))
    assert sorted(runs) == ["a/champion", "a/t00", "a/t01"]
    assert {kept.exit_code for kept in runs.values()} == {0}
    for trial in ("t00", "t01"):
        reports = [(row.env_steps, row.metrics["height"]) for row in folder.reports(trial)]
        assert runs[f"a/{trial}"].curve("height") == reports
        assert runs[f"a/{trial}"].config["lr"] == folder.reports(trial)[0].settings["lr"]
    assert json.loads((folder.path / "loggers/wandb.json").read_text())["open"] == []
