"""The recorded schedule of a function's best trial, on fresh seeds beside constant settings."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import functions
import pytest
from sweeps.killed import start
from warm import run_rltune

from rltune.request.functions import function_spec
from rltune.runs import lineage
from rltune.runs.folder import RunFolder
from rltune.spec import FIRST_FRESH_SEED
from rltune.sweeps.jobs import job_in
from rltune.sweeps.jobs.schedule_replay import ScheduleReplay


@pytest.mark.slow
def test_every_report_is_made_at_the_settings_that_are_due(
    tmp_path: Path, cluster_address: str
) -> None:
    """Ray's PopulationBasedTrainingReplay ends a function after its first change, silently."""
    source = start(
        function_spec(
            functions.climb,
            {"lr": {"log": [1e-5, 1e-2], "default": 1e-5}},
            metric="height",
            scheduler="pbt",
            trials=4,
            steps=12,
            perturb_every=2,
            concurrent=1,
            address=cluster_address,
            storage=tmp_path,
            name="source",
            seed=3,
        )
    )
    summary = source.summary
    assert summary is not None
    assert summary.best is not None
    lived, steps = lineage.schedule(source, summary.best.trial, summary.best.env_steps)
    assert len(lived) > 1, "the best trial is a clone"
    words = ["source", "--seeds", "2", "--name", "again", "--storage", ".", "--concurrent", "1"]
    done = run_rltune(tmp_path, "replay", *words, "--address", cluster_address)
    assert done.returncode == 0, done.stderr
    assert f"fresh seeds an arm, {steps} steps and the last report of each" in done.stdout
    again = RunFolder.open(tmp_path / "again")
    job = job_in(again)
    assert isinstance(job, ScheduleReplay)
    assert job.asked.arms["schedule"] == lived
    for index, trial in enumerate(again.trials()):
        rows = again.reports(trial)
        assert [row.env_steps for row in rows] == list(range(1, steps + 1)), "none ends early"
        assert dict(rows[0].settings) == job.due(index, 0)
        for before, row in pairwise(rows):
            assert dict(row.settings) == job.due(index, before.env_steps)
        assert [row.metrics["step"] for row in rows] == list(range(1, steps + 1))
    found = again.summary
    assert found is not None
    assert found.arms is not None
    assert found.comparisons is not None
    seeds = found.seeds or []
    assert [seed.trial for seed in seeds] == again.trials()
    assert all((seed.seed or 0) >= FIRST_FRESH_SEED for seed in seeds)
    scores = {seed.trial: seed.score for seed in seeds}
    last = {trial: again.reports(trial)[-1].metrics["height"] for trial in again.trials()}
    assert scores == last
    assert found.arms["schedule"].scores == [last["t00"], last["t03"]]
    assert len(found.comparisons) == 3
    assert found.best is not None
    assert found.best.score == max(
        row.metrics["height"] for trial in again.trials() for row in again.reports(trial)
    )
