"""More than a hundred trials: their order, seeds and schedules go by number, not by name."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from rltune.callbacks.base import Callbacks
from rltune.callbacks.run_writer import RunWriter
from rltune.errors import NothingUsable
from rltune.request.resolve import make_request
from rltune.runs import state_file
from rltune.runs.folder import RunFolder
from rltune.runs.records import Report
from rltune.spec import JobSpec
from rltune.sweeps.jobs import job_in
from rltune.sweeps.jobs.schedule_replay import ScheduleReplay
from rltune.sweeps.summary import finish
from rltune.sweeps.trial_table import Entry, TrialTable

COUNT = 120
NAMES = [f"t{number:02d}" for number in range(COUNT)]
ARMS = {
    name: [[0, {"lr": lr}], [500, {"lr": lr / 2}]]
    for name, lr in {"schedule": 1e-3, "final": 2e-3, "initial": 3e-3}.items()
}

pytestmark = pytest.mark.fault(82)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A replay of three schedules on forty seeds each; its files came in no order."""
    spec, _ = make_request("ppo", "cartpole", storage=tmp_path, name="a", trials=COUNT, job="train")
    made = RunFolder.create(spec, JobSpec("replay", ARMS))
    made.lock.release()
    for name in random.Random(0).sample(NAMES, COUNT):
        made.append_report(Report(name, 1, 1_000, 1_000, 1.0, 20.0, {}))
    return made


def test_the_names_sort_otherwise() -> None:
    assert sorted(NAMES) != NAMES


def test_trials_are_listed_by_number(folder: RunFolder) -> None:
    assert folder.trials() == NAMES


def test_the_summary_lists_them_by_number(folder: RunFolder) -> None:
    statuses = dict.fromkeys(reversed(folder.trials()), "TERMINATED")
    callbacks = Callbacks(RunWriter(folder.spec, folder))
    with pytest.raises(NothingUsable, match="t00 left no policy behind"):
        finish(job_in(folder), folder, callbacks, statuses, "steps", 1.0)
    summary = folder.summary
    assert summary is not None
    assert [trial.id for trial in summary.trials] == NAMES


def test_schedules_take_turns_and_share_their_seeds(folder: RunFolder) -> None:
    job = job_in(folder)
    assert isinstance(job, ScheduleReplay)
    assert [job.arm(index) for index in range(COUNT)] == [*ARMS] * (COUNT // 3)
    starts = [job.next_start(index).config for index in range(COUNT)]
    seeds = [start["seed"] for start in starts]
    assert [seeds[index] for index in range(0, COUNT, 3)] == [*dict.fromkeys(seeds)]
    assert len(set(seeds)) == COUNT // 3
    assert [start["lr"] for start in starts] == [1e-3, 2e-3, 3e-3] * (COUNT // 3)
    assert job.due(110, 600) == {"lr": 3e-3 / 2}


def test_a_resume_continues_them_by_number(folder: RunFolder) -> None:
    entries = [Entry(name, "PAUSED", {}, None, None, -1, 0, 0, 0) for name in sorted(NAMES)]
    saved = {"trials": [vars(entry) for entry in entries], "parts": {}}
    state_file.write(folder.path, saved)
    table = TrialTable(folder.spec, folder, keeps_every_policy=True)
    assert [entry.id for entry in table.unfinished] == NAMES
    assert table.handed_out == COUNT
