"""The model of a running sweep: fed by events, or by its folder, with the same outcome."""

from __future__ import annotations

from pathlib import Path

import pytest
from live.courses import SECONDS, folder_of, row, spec_of

from rltune.callbacks.base import (
    DecisionApplied,
    Event,
    StatusChanged,
    TrialFailed,
    TrialReported,
)
from rltune.live.progress import Progress
from rltune.live.run_reader import RunReader
from rltune.runs.folder import RunFolder
from rltune.runs.records import Decision, Diverged, Failure, Phase
from rltune.spec import JobSpec

ROWS = [
    row("t00", 1_000, 1.0, 20.0),
    row("t01", 1_000, 1.0, 90.0),
    row("t00", 2_000, 2.0, 30.0),
    row("t01", 2_000, 2.0, 40.0),
]
COPY = Decision(
    kind="exploit",
    env_steps=2_000,
    trial="t01",
    donor="t00",
    effective={"lr": 0.002, "gamma": 0.98, "clip_param": 0.2},
)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = folder_of(spec_of(tmp_path), ROWS)
    folder.append_decision(COPY)
    return folder


@pytest.mark.fault(91)
def test_a_run_that_is_read_has_all_that_its_events_said(folder: RunFolder) -> None:
    read = RunReader(folder).read()
    heard = Progress(folder.spec)
    events: list[Event] = [*map(TrialReported, ROWS), DecisionApplied(COPY)]
    for event in events:
        heard.hear(event)
    assert [m.rows for m in read.seen] == [m.rows for m in heard.seen]
    assert (read.best, read.done, read.exploits) == (heard.best, heard.done, heard.exploits)
    assert read.members["t01"].changed == heard.members["t01"].changed == COPY


@pytest.mark.fault(91)
def test_the_best_is_the_report_with_the_score_and_its_settings(folder: RunFolder) -> None:
    progress = RunReader(folder).read()
    assert progress.best == ROWS[1]
    progress.reported(row("t01", 3_000, 3.0, 50.0, settings={"lr": 0.002}))
    assert progress.best == ROWS[1], "it keeps the settings that earned it"


def test_reports_of_lost_work_do_not_count(folder: RunFolder) -> None:
    progress = RunReader(folder).read()
    failure = Failure(error="RuntimeError: the motor burnt out", tried_again=True)
    progress.hear(TrialFailed("t01", failure, continues_from=0))
    assert progress.best == ROWS[2]
    assert progress.done == 2_000
    progress.reported(row("t00", 1_000, 5.0, 10.0))  # after a resume, from the checkpoint before
    assert progress.best is not None
    assert progress.best.episode_reward_mean == 10.0


def test_a_trial_that_diverged_is_not_the_best(folder: RunFolder) -> None:
    progress = RunReader(folder).read()
    progress.reported(row("t01", 3_000, 3.0, 99.0, diverged=Diverged(2_500, "loss", "nan")))
    progress.hear(StatusChanged("t01", "TERMINATED"))
    assert progress.best == ROWS[2]
    assert progress.members["t01"].state == "diverged"


def test_only_what_is_new_is_read(folder: RunFolder) -> None:
    reader = RunReader(folder)
    progress = reader.read()
    version = progress.version
    assert reader.read().version == version
    folder.append_report(row("t00", 3_000, 3.0, 95.0))
    with (folder.path / "trials/t01/progress.jsonl").open("a") as file:
        file.write('{"trial": "t01", "training_')  # being written
    assert reader.read().done == 5_000
    assert progress.best == row("t00", 3_000, 3.0, 95.0)
    folder.discard_reports("t00", after=2_000)
    assert reader.read().done == 4_000
    assert progress.best == ROWS[1]


def test_the_clock_stands_still_between_two_parts_of_a_run(folder: RunFolder) -> None:
    progress = RunReader(folder).read()
    assert progress.seconds(SECONDS + 7.0) == 7.0
    progress.entered(Phase("starting", SECONDS + 3_600, before=2.0))
    assert progress.seconds(SECONDS + 3_605) == 2.0 + 5.0
    assert progress.state(progress.members["t00"]) == "waiting"
    progress.entered(Phase("training", SECONDS + 3_604))
    assert progress.known().since == 2.0 + 4.0
    assert progress.state(progress.members["t00"]) == "running"


def test_an_evaluation_has_a_likely_end(folder: RunFolder) -> None:
    progress = RunReader(folder).read()
    progress.entered(Phase("choosing", SECONDS + 20.0, 0, 100))
    assert progress.outlook().likely is None
    progress.entered(Phase("choosing", SECONDS + 22.0, 50, 100))
    assert progress.outlook().likely == pytest.approx(22.0 + 150 / 25)
    progress.entered(Phase("choosing", SECONDS + 24.0, 100, 100))
    progress.entered(Phase("scoring", SECONDS + 24.0, 0, 100))
    progress.entered(Phase("scoring", SECONDS + 25.0, 50, 100))
    assert progress.outlook().likely == pytest.approx(25.0 + 50 / 30)


def test_every_seed_of_a_training_run_is_scored(folder: RunFolder) -> None:
    progress = RunReader(folder).read()
    progress.job = JobSpec(job="train")
    assert len(progress.seen) == 2
    for second, name, done in ((20, "choosing", 0), (21, "choosing", 40), (22, "choosing", 80)):
        progress.entered(Phase(name, SECONDS + second, done, 80))
        if done == 40:
            assert progress.outlook().likely == pytest.approx(21.0 + (40 + 200) / 40)
    progress.entered(Phase("scoring", SECONDS + 22, 0, 200))
    assert progress.outlook().likely == pytest.approx(22.0 + 200 / 40)


def test_a_folder_says_whether_it_is_held(folder: RunFolder) -> None:
    other = RunFolder.open(folder.path)
    assert other.is_held
    folder.lock.release()
    assert other.is_held is False
    with other.held():
        assert folder.is_held
