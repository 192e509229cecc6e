"""Sweeps over plain functions: the same run folder, resume, curves and live view as any other."""

from __future__ import annotations

import io
import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import functions
import numpy as np
import pytest
from conftest import environment
from ray import tune
from ray.train._internal import session
from rich.console import Console
from sweeps.killed import start

from rltune.callbacks.base import SweepStarted, TrialReported
from rltune.cli.live import LineWatcher
from rltune.errors import BadCheckpoint, BadInput
from rltune.policies.evaluation import evaluate
from rltune.request import capacity
from rltune.request.functions import function_spec
from rltune.request.trust import check_trusted
from rltune.runs import checkpoints
from rltune.runs.checkpoints import STATE_FILE
from rltune.runs.folder import RunFolder
from rltune.runs.records import Report
from rltune.spec import RunSpec
from rltune.tasks.function_trial import FunctionTrial, trainable_of

STEPS, INTERVAL = 12, 4


def spec_of(
    storage: Path, address: str | None, function: Any = functions.climb, **options: Any
) -> RunSpec:
    """A sweep of a function, one trial at a time, so that the order of reports is fixed."""
    asked = {
        "space": {"lr": {"log": [1e-5, 1e-2], "default": 1e-3}},
        "metric": "height",
        **{"trials": 3, "steps": STEPS, "perturb_every": INTERVAL},
        **{"concurrent": 1, "max_failures": 1, "address": address},
        **{"storage": storage, "name": "a", "seed": 3},
    }
    asked |= options
    return function_spec(function, asked.pop("space"), **asked)


@pytest.mark.slow
def test_a_failing_function_is_tried_again_and_named(tmp_path: Path, cluster_address: str) -> None:
    folder = start(spec_of(tmp_path, cluster_address, functions.falls, trials=1))
    failures = folder.failures("t00")
    assert [failure.tried_again for failure in failures] == [True, False]
    assert failures[0].error.startswith("RuntimeError: the rope broke (functions.py:")
    assert failures[0].env_id == "functions:falls"
    assert [row.metrics["height"] for row in folder.reports("t00")] == [1.0, 2.0]


@pytest.mark.slow
def test_a_function_without_checkpoints_starts_again(tmp_path: Path, cluster_address: str) -> None:
    marker = {"marker": str(tmp_path / "marker")}
    spec = spec_of(tmp_path, cluster_address, functions.stumbles, trials=1, settings=marker)
    folder = start(spec)
    assert [failure.tried_again for failure in folder.failures("t00")] == [True]
    assert [row.metrics["height"] for row in folder.discarded("t00")] == [1, 2]
    assert [row.metrics["height"] for row in folder.reports("t00")] == [1, 2, 3, 4]


def _trial(folder: Path, place: str) -> Any:
    """What runs a function, outside of Tune."""
    trial: Any = object.__new__(trainable_of(place))
    trial._storage = SimpleNamespace(trial_fs_path=str(folder))
    FunctionTrial.setup(trial, {"lr": 1.0})
    return trial


def test_what_continues_needs_a_checkpoint(tmp_path: Path) -> None:
    trial = _trial(tmp_path, "functions:short")
    with pytest.raises(BadCheckpoint, match="functions:short cannot continue: its last report had"):
        FunctionTrial.load_checkpoint(trial, {"state": None})


def test_a_function_that_was_done_keeps_its_last_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    np.save(tmp_path / "files/weights.npy", np.full(2, 4))
    trial = _trial(tmp_path, "functions:writes")
    FunctionTrial.load_checkpoint(trial, str(tmp_path / "files"))
    assert FunctionTrial.step(trial)["done"]
    FunctionTrial.save_checkpoint(trial, str(tmp_path / "saved"))
    assert np.load(tmp_path / "saved/weights.npy").tolist() == [4, 4]
    FunctionTrial.cleanup(trial)
    silent = _trial(tmp_path, "functions:silent")
    with pytest.raises(RuntimeError, match=r"returned without a report: call rltune\.report"):
        FunctionTrial.step(silent)


@pytest.mark.slow
def test_settings_that_trained_nothing_have_no_outcome(
    tmp_path: Path, cluster_address: str
) -> None:
    """A function that copies an older one at its end returns at once."""
    population = {"quantile": 0.5}
    asked = {"scheduler": "pbt", "trials": 4, "steps": 6, "perturb_every": 2}
    asked |= {"population": population}
    folder = start(spec_of(tmp_path, cluster_address, functions.finishes, **asked))
    idle = 0
    for trial in folder.trials():
        reported = [(row.env_steps, dict(row.settings)) for row in folder.reports(trial)]
        for checkpoint in folder.checkpoints_of(trial):
            record = folder.record(checkpoint)
            idle += not record.metrics
            assert not record.metrics or (record.env_steps, record.settings) in reported
    assert idle, "there was such a copy"
    best = folder.best_record
    assert best is not None
    assert best.metrics


@pytest.mark.slow
def test_an_end_without_the_metric_wins_nothing(tmp_path: Path, cluster_address: str) -> None:
    """Whichever trial came first would have won, with no score."""
    folder = start(spec_of(tmp_path, cluster_address, functions.wavers, trials=2), fails=True)
    assert folder.summary is None or folder.summary.best is None


@pytest.mark.slow
def test_files_of_a_function_are_kept_signed_and_given_back(
    tmp_path: Path, cluster_address: str
) -> None:
    folder = start(spec_of(tmp_path, cluster_address, functions.writes, trials=2))
    for trial in folder.trials():
        assert [failure.tried_again for failure in folder.failures(trial)] == [True]
        assert [row.env_steps for row in folder.reports(trial)] == [1, 2, 3, 4]
        assert [row.metrics["test/good"] for row in folder.reports(trial)] == [0, 0, 1, 1]
        for checkpoint in folder.checkpoints_of(trial):
            assert checkpoints.is_signed(checkpoint)
            assert not checkpoints.is_data(checkpoint)
        weights = np.load(folder.checkpoints_of(trial)[-1] / "files/weights.npy")
        assert weights.tolist() == [4, 4]
    assert not list(folder.path.glob("trials/*/scratch"))
    assert (folder.path / "best/checkpoint/files/weights.npy").is_file()


def test_a_function_may_report_to_tune(tmp_path: Path) -> None:
    first, second = (_trial(tmp_path / name, "functions:of_tune") for name in "ab")
    assert [FunctionTrial.step(first)["height"] for _ in range(2)] == [1.0, 2.0]
    FunctionTrial.save_checkpoint(first, str(tmp_path / "saved"))
    with pytest.raises(OSError, match="heavy"):
        FunctionTrial.step(first)
    FunctionTrial.load_checkpoint(second, str(tmp_path / "saved"))
    assert [FunctionTrial.step(second).get("height") for _ in range(3)] == [3.0, 4.0, None]
    for trial in (first, second):
        FunctionTrial.cleanup(trial)
    session.shutdown_session()


@pytest.mark.slow
def test_a_function_that_returns_ends_its_trial(tmp_path: Path, cluster_address: str) -> None:
    folder = start(spec_of(tmp_path, cluster_address, functions.short))
    summary = folder.summary
    assert summary is not None
    assert [trial.status for trial in summary.trials] == ["TERMINATED"] * 3
    assert [len(folder.reports(trial)) for trial in folder.trials()] == [3] * 3
    kept = json.loads((folder.path / "best/checkpoint" / STATE_FILE).read_text())
    assert kept == {"state": None}


@pytest.mark.slow
def test_a_class_with_its_own_clock_is_saved_once_an_interval(
    tmp_path: Path, cluster_address: str
) -> None:
    clock = {"steps": 2_000, "perturb_every": 500}
    folder = start(spec_of(tmp_path, cluster_address, functions.Ladder, trials=1, **clock))
    saved = [folder.record(path).env_steps for path in folder.checkpoints_of("t00")]
    assert saved == [500, 1_000, 1_500, 2_000]


@pytest.mark.slow
def test_a_number_that_is_not_finite_ends_its_trial(tmp_path: Path, cluster_address: str) -> None:
    folder = start(spec_of(tmp_path, cluster_address, functions.dives, trials=1), fails=True)
    last = folder.reports("t00")[-1]
    assert last.diverged is not None
    assert str(last.diverged) == "height is nan at step 2"
    assert "height" not in last.metrics


def test_what_cannot_run_is_refused_at_once(tmp_path: Path) -> None:
    def local(config: Any) -> None: ...

    with pytest.raises(BadInput, match="move it to the top level"):
        spec_of(tmp_path, None, local)
    with pytest.raises(BadInput, match=r"called as environment\(config\), with a dict"):
        spec_of(tmp_path, None, environment)
    with pytest.raises(BadInput, match="metric wall_seconds"):
        spec_of(tmp_path, None, metric="wall_seconds")
    with pytest.raises(BadInput, match=r"functions has no 'clim'\. Did you mean 'climb"):
        spec_of(tmp_path, None, "functions:clim")
    with pytest.raises(BadInput, match="lr is in settings and in space"):
        spec_of(tmp_path, None, settings={"lr": 0.5})


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"space": {"seed": {"int": [1, 2]}}}, "space seed: the name is taken"),
        ({"space": {}}, "space names no setting"),
        ({"space": {"lr": {"logg": [1e-5, 1]}}}, "lr: .*Did you mean 'log'"),
        ({"space": {"a": {"b": {"int": [1, 2]}}}, "settings": {"a": 3}}, "the table of a/b"),
        ({"settings": {"net": object()}}, "net: .* cannot be kept in a run folder"),
        ({"points": [{"model": {"width": 3}}]}, "point 1: 'model/width' is not searched"),
        ({"scheduler": "asha", "steps": None}, "asha decides about trials by their age"),
        ({"scheduler": "ahsa"}, "Unknown scheduler 'ahsa'"),
        ({"searcher": "sobool"}, "Unknown searcher 'sobool'"),
        ({"trials": 0, "mode": "maximum"}, "Unknown mode 'maximum'"),
        ({"trials": 0}, "trials must be at least 1"),
        ({"points": [{"hr": 1}]}, "point 1: 'hr' is not searched"),
        ({"env_args": {"size": 1}}, "Unknown option 'env_args'"),
        ({"cpus_per_trial": 4_096}, "a trial asks for 4096 CPUs"),
    ],
)
def test_a_wrong_request_is_refused(
    options: dict[str, Any], match: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capacity, "ray_runs", lambda: False)  # whatever other tests have left
    with pytest.raises(BadInput, match=match):
        spec_of(tmp_path, None, **options)


def test_what_has_no_import_path_is_refused_with_the_fix(tmp_path: Path) -> None:
    for function, match in (
        (partial(functions.climb), "a functools.partial has no import path"),
        (tune.with_parameters(functions.climb, data=[1]), "tune.with_parameters returns has no"),
        (tune.with_resources(functions.silent, {"cpu": 2}), "the resources of tune.with_resources"),
        (lambda config: None, "a lambda cannot be kept in a file"),
        ("climb", "Unknown algorithm of RLlib's 'climb'.*A function is module:function"),
        ("nowhere.py:climb", "there is no file"),
        (dict, "is no ray.tune.Trainable"),
    ):
        with pytest.raises(BadInput, match=match):
            spec_of(tmp_path, None, function)
    del functions.silent._resources  # type: ignore[attr-defined]
    with pytest.raises(BadInput, match="a class trainable trains without end"):
        spec_of(tmp_path, None, functions.Ladder, steps=None)
    assert spec_of(tmp_path, None, functions.Ladder, steps=None, target=3).budget.target == 3


def test_a_foreign_run_of_a_function_is_not_imported(tmp_path: Path) -> None:
    folder = RunFolder.create(spec_of(tmp_path, None))
    folder.lock.release()
    check_trusted(folder)
    text = (folder.path / "run.json").read_text()
    (folder.path / "run.json").write_text(text.replace("functions:climb", "os:system"))
    with pytest.raises(BadInput, match="runs os:system"):
        check_trusted(RunFolder.open(folder.path))


def test_the_live_view_shows_the_metric(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, None)
    screen = io.StringIO()
    watch = LineWatcher(Console(file=screen, width=200))
    watch.on_event(SweepStarted(spec, RunFolder.create(spec)))
    row = Report("t00", 1, 4, 4, 0.5, None, {"lr": 1e-3}, metrics={"height": 2.5})
    watch.on_event(TrialReported(row))
    watch.print_line()
    assert "function · climb" in screen.getvalue()
    assert "best 2.5 by t00" in screen.getvalue()


def test_what_needs_a_policy_refuses_the_run_of_a_function(tmp_path: Path) -> None:
    folder = RunFolder.create(spec_of(tmp_path, None))
    folder.lock.release()
    with pytest.raises(BadInput, match=r"tuned (the|a) function"):
        evaluate(folder)
