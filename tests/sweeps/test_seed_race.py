"""A real sweep whose settings are judged on several seeds."""

from __future__ import annotations

import io
from pathlib import Path

import functions
import pytest
from rich.console import Console
from sweeps.killed import cut_of, start, told

from rltune.cli.outcome import outcome
from rltune.request.functions import function_spec
from rltune.request.resolve import make_spec
from rltune.spec import JobSpec
from rltune.sweeps.jobs.sweep import Sweep

SEEDS, SETTINGS = 3, 5


def test_a_setting_that_was_stopped_is_not_judged() -> None:
    """Its last score is of a smaller budget: beside the others it could look like the best."""
    spec = make_spec("ppo", "cartpole", scheduler="asha", seeds_per_trial=SEEDS)
    job = Sweep(spec, JobSpec())
    job.history.started("t00", {"lr": 1e-3}, seed=1)
    job.history.reported("t00", 500, 400.0)
    job.history.stopped("t00")
    job.history.ended("t00")
    (outcome_of_setting,) = [job._outcome(trials) for trials in job.history.settings()]
    assert outcome_of_setting.scores == [400.0]
    assert outcome_of_setting.judged is None


@pytest.mark.slow
def test_a_race_over_seeds_is_written_down_and_continues_after_a_kill(
    tmp_path: Path, cluster_address: str
) -> None:
    """Beside hyperband, in whose brackets first seeds wait while further ones train."""
    budget = {"scheduler": "hyperband", "trials": SETTINGS, "steps": 4, "perturb_every": 1}
    spec = function_spec(
        functions.gambles,
        {"lr": {"log": [1e-5, 1e-2], "default": 1e-3}},
        metric="height",
        seeds_per_trial=SEEDS,
        concurrent=1,
        address=cluster_address,
        **budget,
        storage=tmp_path,
        name="a",
        seed=3,
    )
    folder = start(spec, cut=9)
    summary = folder.summary
    assert summary is not None
    assert summary.best is not None
    assert summary.settings is not None
    assert len(summary.settings) == SETTINGS
    assert SETTINGS < len(summary.trials) <= SEEDS * SETTINGS
    assert sorted(name for one in summary.settings for name in one.trials) == folder.trials()
    stopped = {line.trial for line in folder.decisions() if line.kind == "stop"}
    assert 0 < len(stopped) < SETTINGS
    last = {name: folder.reports(name)[-1].measured["height"] for name in folder.trials()}
    for one in summary.settings:
        assert one.scores == [last[name] for name in one.trials]
        if stopped & {*one.trials}:
            assert one.judged is None
            assert len(one.trials) == 1
        else:
            assert one.judged == pytest.approx(sum(one.scores) / len(one.scores))
        settings = {folder.reports(name)[0].settings["lr"] for name in one.trials}
        assert settings == {one.config["lr"]}
    full = [one for one in summary.settings if len(one.trials) == SEEDS]
    best = max(full, key=lambda one: one.judged or 0.0)
    assert summary.best.trial in best.trials
    assert summary.best.config["lr"] == best.config["lr"]
    screen = io.StringIO()
    Console(file=screen, width=200).print(outcome(spec, folder.job, summary))
    assert ", ".join(best.trials) in screen.getvalue()
    assert told(cut_of(folder)) == told(folder)
