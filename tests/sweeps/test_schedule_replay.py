"""A real sweep once more: by its seed, and as a replay whose arms train as they should."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import short
from warm import run_rltune

from rltune.errors import BadInput
from rltune.policies.evaluation import compare
from rltune.runs import lineage
from rltune.runs.folder import RunFolder
from rltune.spec import FIRST_FRESH_SEED, FIRST_SELECTION_SEED
from rltune.sweeps.jobs import job_in
from rltune.sweeps.jobs.schedule_replay import ScheduleReplay

pytestmark = pytest.mark.slow


WORDS = ("--scheduler", "pbt", "--concurrent", "1", "--quiet")


@pytest.fixture(scope="module")
def source(folder: Path, cluster_address: str) -> RunFolder:
    """The sweep, one trial at a time."""
    short.run(folder, "source", *WORDS, "--seed", "3", cluster=cluster_address)
    return RunFolder.open(folder / "runs/source")


def _progress(folder: RunFolder) -> list[dict[str, Any]]:
    rows = [row.to_dict() for trial in folder.trials() for row in folder.reports(trial)]
    clocks = ("wall_seconds", "train_seconds")
    return [{key: v for key, v in row.items() if key not in clocks} for row in rows]


@pytest.mark.fault(34)
def test_one_seed_fixes_a_sweep(source: RunFolder, folder: Path, cluster_address: str) -> None:
    brief = ("--steps", "1000", "--trials", "1")
    for name, seed, more in (("again", "3", ()), ("other", "8", brief)):
        short.run(folder, name, *WORDS, "--seed", seed, *more, cluster=cluster_address)
    again, other = (RunFolder.open(folder / "runs" / name) for name in ("again", "other"))
    assert _progress(source) == _progress(again)
    assert _progress(source)[0] != _progress(other)[0]
    assert source.decisions() == again.decisions()
    assert any(line.kind == "exploit" for line in source.decisions())
    assert source.summary is not None
    assert again.summary is not None
    assert source.summary.evaluation == again.summary.evaluation
    rows = [row for trial in source.trials() for row in source.reports(trial)]
    assert len({row.wall_seconds for row in rows}) == len(rows), "one trial at a time"


@pytest.fixture(scope="module")
def replayed(source: RunFolder, folder: Path, cluster_address: str) -> RunFolder:
    """Of the sweep with another champion: a clone, the one that copied last."""
    exploits = [line for line in source.decisions() if line.kind == "exploit"]
    clone = exploits[-1].trial
    rows = source.reports(clone)
    summary = source.summary
    assert summary is not None
    assert summary.best is not None
    best = replace(summary.best, trial=clone, env_steps=rows[-1].env_steps)
    source.write_summary(replace(summary, best=best))
    # From the log's last row back to the exploit, the lineage says what acted.
    found, _ = lineage.schedule(source, clone, rows[-1].env_steps)
    assert found[-1][1] == dict(rows[-1].settings)
    assert (exploits[-1].donor_env_steps or 0) > 0
    words = ("replay", "runs/source", "--seeds", "2", "--name", "replay", "--concurrent", "1")
    done = run_rltune(folder, *words, cluster=cluster_address)
    assert done.returncode == 0, done.stderr
    assert "Schedule or luck" in done.stdout
    assert " with probability " in done.stdout
    return RunFolder.open(folder / "runs/replay")


def test_every_arm_has_its_settings_at_every_report(replayed: RunFolder) -> None:
    spec, job = replayed.spec, job_in(replayed)
    assert isinstance(job, ScheduleReplay)
    assert [job.arm(index) for index in range(3)] == ["schedule", "final", "initial"]
    changes = [at for at, _ in job.asked.arms["schedule"][1:]]
    assert changes
    for index, trial in enumerate(replayed.trials()):
        rows = replayed.reports(trial)
        assert rows[-1].env_steps >= spec.budget.steps
        assert dict(rows[0].settings) == job.due(index, 0)
        # A report's settings are those due when its iteration began.
        for before, row in pairwise(rows):
            assert dict(row.settings) == job.due(index, before.env_steps)
    lines = [line for line in replayed.decisions() if line.kind == "change"]
    assert {line.trial for line in lines} == {"t00", "t03"}
    assert len(lines) == 2 * len(changes)
    assert all(line.effective == line.requested for line in lines)


def test_the_arms_share_fresh_seeds_and_are_compared(replayed: RunFolder) -> None:
    summary = replayed.summary_contents
    seeds = [seed["seed"] for seed in summary["seeds"]]
    assert seeds[:3] == [seeds[0]] * 3
    assert seeds[3:] == [seeds[3]] * 3
    assert seeds[0] != seeds[3]
    assert all(FIRST_FRESH_SEED <= seed < FIRST_SELECTION_SEED for seed in seeds)
    scores = [seed["score"] for seed in summary["seeds"]]
    for place, arm in enumerate(("schedule", "final", "initial")):
        assert summary["arms"][arm]["scores"] == scores[place::3]
    pairs = [(pair["arm"], pair["over"]) for pair in summary["comparisons"]]
    assert pairs == [("schedule", "final"), ("schedule", "initial"), ("final", "initial")]
    a, b = (summary["arms"][arm]["scores"] for arm in ("schedule", "final"))
    wins = sum((x > y) + (x == y) / 2 for x in a for y in b) / 4
    assert summary["comparisons"][0]["probability"] == wins


def test_a_replay_is_no_rival_of_another_run(replayed: RunFolder, source: RunFolder) -> None:
    """Its arms would be seeds of one setting."""
    with pytest.raises(BadInput, match="is a replay, whose arms are compared in its own report"):
        compare([source, replayed], episodes=2)


def test_a_replay_cannot_be_replayed(replayed: RunFolder) -> None:
    done = run_rltune(replayed.path.parent, "replay", "replay")
    assert done.returncode == 2
    assert "is no sweep" in done.stderr
