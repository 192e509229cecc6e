"""What experiment trackers keep of a run, read back; and that none of them can harm it."""

from __future__ import annotations

import logging
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import wandb_files
from drawn import FIRST, SCORES, SECOND, made, parts, report
from mlflow import MlflowClient
from mlflow.entities import Run

from rltune.callbacks.base import Callbacks, Event, StatusChanged, SweepStarted
from rltune.callbacks.loggers import process
from rltune.callbacks.loggers.base import Made
from rltune.callbacks.loggers.callback import checked, started, without_secrets
from rltune.callbacks.loggers.child import merged
from rltune.callbacks.loggers.trackers import TRACKERS, Tracker, check_loggers
from rltune.callbacks.run_writer import RunWriter
from rltune.errors import BadInput
from rltune.options.readers import as_loggers
from rltune.runs.folder import RunFolder


def tell(folder: RunFolder, names: list[str], *events: Event) -> None:
    """One part of a run, as the runner tells it."""
    with started(names) as logged:
        callbacks = Callbacks(RunWriter(folder.spec, folder), checked(logged))
        for event in (SweepStarted(folder.spec, folder), *events):
            callbacks.notify(event)
        callbacks.close()


def forget(folder: RunFolder, tracker: str, trial: str, after: int) -> None:
    """As if the sweep had been killed before a tracker was sent the points past a step."""
    made = folder.read(Made.file(tracker), Made)
    made.logged[trial] = after
    folder.write(Made.file(tracker), made.to_dict())


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Holds run ``a``: stopped after t01's first report past an exploit, continued to its end."""
    path = tmp_path_factory.mktemp("offline")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        patch.setenv("WANDB_MODE", "offline")
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "WANDB_PROJECT"):
            patch.delenv(name, raising=False)
        folder = made(path / "runs", "a")
        best = folder.path / "best"
        (best / "checkpoint").mkdir(parents=True)
        (best / "checkpoint/weights.pt").write_text("weights")
        (best / "preset.toml").write_text("preset")
        events = parts()
        huge = [report("t02", 100, reward=1e300), report("t02", 200, reward=math.inf)]
        tell(folder, ["wandb", "mlflow"], *huge, *events[:7])
        forget(folder, "mlflow", "t02", 100)
        folder.discard_reports("t01", 200)
        done = [StatusChanged(trial, "TERMINATED") for trial in ("t00", "t01", "t02")]
        tell(folder, ["wandb", "mlflow"], *events[6:-1], *done, events[-1])
        yield path


def test_wandb_has_a_run_for_each_trial_and_one_for_the_champion(offline: Path) -> None:
    runs = wandb_files.read(offline)
    names = ["a/t00", "a/t00", "a/t01", "a/t01", "a/t02", "a/t02", "a/champion"]
    assert sorted(name for name, _ in runs) == sorted(names)
    assert {kept.group for _, kept in runs} == {"a"}
    assert {name: kept.exit_code for name, kept in runs} == dict.fromkeys(names, 0)
    first, second = (kept for name, kept in runs if name == "a/t01")
    assert first.id == second.id, "a resume continues the same run"
    assert first.curve("episode_reward_mean") == [(100, 1), (200, 2), (300, 3)]
    assert second.curve("episode_reward_mean") == [(400, 4)], "no point is drawn twice"
    assert second.curve("hyperparameters/num_epochs") == [(400, 5)]
    assert {name: second.config[name] for name in SECOND} == SECOND
    assert second.config["rltune"]["env"] == "CartPole-v1"


def test_wandb_has_the_champions_curve_lineage_score_and_checkpoint(offline: Path) -> None:
    (kept,) = (kept for name, kept in wandb_files.read(offline) if name == "a/champion")
    assert kept.curve("episode_reward_mean") == [(100, 1), (200, 2), (300, 3), (400, 4)]
    assert {name: kept.config[name] for name in SECOND} == SECOND
    assert {tag: kept.summary[tag] for tag in SCORES} == SCORES
    assert kept.artifacts["a-best"] == ["checkpoint/weights.pt", "preset.toml"]
    assert any(row.get("lineage/nrows") == 2 for row in kept.history)


@pytest.fixture(scope="module")
def runs(offline: Path) -> dict[str, Run]:
    """The runs in MLflow's own default store, by name."""
    client = MlflowClient(f"sqlite:///{offline}/mlflow.db")
    experiment = client.get_experiment_by_name("rltune")
    assert experiment is not None
    return {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}


def test_mlflow_has_a_run_for_the_sweep_and_one_below_it_for_each_trial(
    offline: Path, runs: dict[str, Run]
) -> None:
    assert sorted(runs) == ["a", "a/champion", "a/t00", "a/t01", "a/t02"]
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    trial = runs["a/t01"]
    assert trial.data.tags["mlflow.parentRunId"] == runs["a"].info.run_id
    assert trial.data.params["lr"] == str(FIRST["lr"])
    assert trial.data.tags["now.lr"] == str(SECOND["lr"])
    client = MlflowClient(f"sqlite:///{offline}/mlflow.db")
    points = client.get_metric_history(trial.info.run_id, "episode_reward_mean")
    assert [(point.step, point.value) for point in points] == [
        *((100, 1.0), (200, 2.0), (300, 3.0), (400, 4.0))
    ]
    assert runs["a"].data.params["scheduler"] == "pb2"
    assert runs["a"].data.metrics["evaluation/mean"] == SCORES["evaluation/mean"]


def test_mlflow_has_the_champions_curve_lineage_score_and_checkpoint(
    offline: Path, runs: dict[str, Run]
) -> None:
    champion = runs["a/champion"]
    client = MlflowClient(f"sqlite:///{offline}/mlflow.db")
    points = client.get_metric_history(champion.info.run_id, "hyperparameters/num_epochs")
    assert [(point.step, point.value) for point in points] == [
        *((100, 4.0), (200, 4.0), (300, 5.0), (400, 5.0))
    ]
    assert champion.data.params["lr"] == str(SECOND["lr"])
    assert {tag: champion.data.metrics[tag] for tag in SCORES} == SCORES
    files = Path(champion.info.artifact_uri.removeprefix("file://"))
    assert (files / "best/checkpoint/weights.pt").read_text() == "weights"
    assert (files / "best/preset.toml").read_text() == "preset"
    assert "| 200 | 400 | t01 | t00 | 0.002 |" in (files / "lineage.md").read_text()


def test_a_resume_elsewhere_continues_in_the_same_store(offline: Path) -> None:
    """MLflow's default, and W&B's ids, do not depend on the folder a resume is started in."""
    kept = (offline / "runs/a/loggers/mlflow.json").read_text()
    assert f"sqlite:///{offline}/mlflow.db" in kept


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A tracker that fails where the variable BROKEN says."""
    monkeypatch.setitem(TRACKERS, "broken", Tracker("broken_logger", "json", {}, ("BROKEN_KEY",)))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    return monkeypatch


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run without a report yet."""
    return made(tmp_path, "a")


PLACES = ["open", "points", "settings", "scores", "lineage", "close", "end"]


@pytest.mark.fault(55)
@pytest.mark.parametrize("where", ["import", "problem", "start", *PLACES, "exit at points"])
def test_a_logger_that_raises_leaves_the_run_as_it_is(
    folder: RunFolder, broken: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    broken.setenv("BROKEN", where)
    tell(folder, ["broken"], *parts())
    told = "SystemExit: 3" if where.startswith("exit") else f"no route to the tracker at {where}"
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert caplog.text.count("the sweep continues without it") == 1
    assert told in caplog.text
    assert [row.env_steps for row in folder.reports("t01")] == [100, 200, 300, 400]
    assert folder.summary is not None
    assert "a page of noise at import" in (folder.path / "loggers/broken.log").read_text()


@pytest.mark.fault(55)
@pytest.mark.parametrize("where", ["crash at points", "hang at import", "hang at start"])
def test_a_logger_that_hangs_or_crashes_leaves_the_run_as_it_is(
    folder: RunFolder, broken: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    broken.setenv("BROKEN", where)
    broken.setattr(process, "PATIENCE", 0.01 if where.startswith("hang") else 30)
    tell(folder, ["broken"], *parts())
    told = "exit code -6" if where.startswith("crash") else "did not answer within 0.01 seconds"
    assert caplog.text.count("the sweep continues without it") == 1
    assert told in caplog.text
    assert folder.summary is not None
    assert not [each for each in psutil.Process().children() if "broken" in str(each.cmdline())]


@pytest.mark.fault(55)
def test_what_a_library_prints_and_does_at_exit_reaches_nobody(
    folder: RunFolder, broken: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    broken.setenv("BROKEN", "atexit")
    tell(folder, ["broken"], *parts())
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")
    assert not (folder.path / "loggers/broken.log").exists()


def test_settings_of_a_user_that_cannot_work_are_refused_before_the_start(
    broken: pytest.MonkeyPatch,
) -> None:
    broken.setenv("BROKEN", "login")
    with started(["broken"]) as logged, pytest.raises(BadInput, match="log: log in first"):
        checked(logged)


def test_wandb_without_a_key_is_refused_before_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "WANDB_CONFIG_DIR", "WANDB_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with (
        started(["wandb"]) as logged,
        pytest.raises(BadInput, match=r"`wandb login`, or set WANDB_MODE=offline"),
    ):
        checked(logged)


def test_a_logger_that_is_unknown_or_not_installed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TRACKERS, "other", Tracker("", "other_tracker"))
    (tmp_path / "other_tracker").mkdir()  # as ./wandb, which W&B makes, is no package
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BadInput) as refused:
        check_loggers(["wanbd", "other"])
    assert refused.value.problems == [
        "log: Unknown logger 'wanbd'. Did you mean 'wandb'?",
        "log: other is not installed: pip install 'rltune[other]'",
    ]


def test_names_of_loggers_are_read_as_people_write_them() -> None:
    assert as_loggers("wandb, mlflow") == as_loggers(["wandb", "tensorboard,mlflow"])
    assert as_loggers(["tensorboard"]) == ()
    with pytest.raises(ValueError, match="an empty name, got 'wandb,'"):
        as_loggers("wandb,")
    with pytest.raises(ValueError, match="must be a list of names"):
        as_loggers([1])  # type: ignore[list-item]


def test_points_of_a_run_are_logged_together_as_far_as_their_order_allows() -> None:
    calls = [
        ("open", "t00", {}),
        ("points", "t00", [[1, {}]]),
        ("points", "t01", [[1, {}]]),
        ("points", "t00", [[2, {}]]),
        ("close", "t00", "finished"),
        ("points", "t01", [[2, {}]]),
    ]
    assert list(merged(calls)) == [
        ["open", "t00", {}],
        ["points", "t00", [[1, {}], [2, {}]]],
        ["close", "t00", "finished"],
        ["points", "t01", [[1, {}], [2, {}]]],
    ]


@pytest.mark.fault(27)
def test_huge_numbers_are_logged_and_infinite_ones_left_out(
    offline: Path, runs: dict[str, Run]
) -> None:
    (kept, _) = (kept for name, kept in wandb_files.read(offline) if name == "a/t02")
    assert kept.curve("episode_reward_mean") == [(100, 1e300)]
    assert kept.curve("episode_len_mean") == [(100, 9), (200, 9)]
    assert runs["a/t02"].data.metrics["episode_reward_mean"] == 1e300


def test_a_resume_logs_what_was_reported_and_not_logged(
    offline: Path, runs: dict[str, Run]
) -> None:
    client = MlflowClient(f"sqlite:///{offline}/mlflow.db")
    history = client.get_metric_history(runs["a/t02"].info.run_id, "episode_len_mean")
    assert [point.step for point in history] == [100, 200, 200]


def test_settings_that_are_secrets_are_not_logged() -> None:
    settings = {"lr": 1e-3, "max_tokens": 5, "api_key": "s3cret", "db/password": "s3cret"}
    assert without_secrets(settings) == {"lr": 1e-3, "max_tokens": 5}


def test_help_names_every_tracker_without_importing_one() -> None:
    code = "import sys, rltune.cli.app; print([m for m in ('wandb', 'mlflow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
