"""A run as a study: what Optuna reads back of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from conftest import Cli
from drawn import FIRST, SECOND, ended, made, parts, report, tell
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from rltune.callbacks.base import DecisionApplied, SweepEnded
from rltune.errors import BadInput
from rltune.reports.optuna_export import distribution, in_optuna, to_study
from rltune.runs.folder import RunFolder
from rltune.runs.records import Decision
from rltune.runs.summary_record import TrialOutcome
from rltune.space import parse_parameter


def outcome(trial: str, status: str = "TERMINATED", error: str | None = None) -> TrialOutcome:
    return TrialOutcome(id=trial, status=status, env_steps=400, score=4.0, config={}, error=error)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A population of two, a trial that was stopped and one that failed."""
    folder = made(tmp_path_factory.mktemp("runs"), "a")
    *events, last = parts()
    assert isinstance(last, SweepEnded)
    stop = DecisionApplied(Decision(kind="stop", env_steps=100, trial="t02"))
    outcomes = [outcome("t00"), outcome("t01"), outcome("t02"), outcome("t03", "ERROR", "it broke")]
    end = SweepEnded(replace(last.summary, trials=outcomes))
    tell(folder, *events, report("t02", 100), stop, report("t03", 100, reward=1e300), end)
    return folder


def test_optuna_reads_trials_settings_scores_and_lineage(folder: RunFolder, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    to_study(folder, url)
    study = optuna.load_study(study_name="a", storage=url)
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE
    first, second, stopped, failed = study.trials
    states = [trial.state for trial in study.trials]
    assert states == [
        *(TrialState.COMPLETE, TrialState.COMPLETE),
        *(TrialState.PRUNED, TrialState.FAIL),
    ]
    assert (first.params, first.value) == (FIRST, 2.5)
    assert (second.params, second.value) == (SECOND, 4.0)
    assert second.intermediate_values == {100: 1.0, 200: 2.0, 300: 3.0, 400: 4.0}
    assert second.distributions == {
        "lr": FloatDistribution(1e-5, 1e-2, log=True),
        "num_epochs": IntDistribution(1, 20),
        "fcnet_activation": CategoricalDistribution(["tanh", "relu"]),
        "use_kl_loss": CategoricalDistribution([True, False]),
    }
    assert study.best_trial.user_attrs["trial"] == "t01"
    segments = second.user_attrs["lineage"]
    assert [(one["trial"], one["donor"], one["to"]) for one in segments] == [
        *(("t00", None, 200), ("t01", "t00", 400))
    ]
    assert (stopped.value, stopped.intermediate_values) == (1.0, {100: 1.0})
    assert (failed.value, failed.user_attrs["error"]) == (None, "it broke")
    assert study.user_attrs["score on fresh seeds"] == 450.0


@pytest.mark.parametrize(
    ("body", "value", "expected"),
    [
        ({"pow2": [32, 256]}, 64, IntDistribution(32, 256, log=True)),
        ({"log_int": [1, 100]}, 7, IntDistribution(1, 100, log=True)),
        ({"int": [1, 9], "step": 4}, 5, IntDistribution(1, 9, step=4)),
        ({"int": [1, 10], "step": 4}, 9, IntDistribution(1, 9, step=4)),
        ({"uniform": [0.0, 1.0]}, 0.25, FloatDistribution(0, 1)),
        ({"uniform": [0.0, 1.0], "step": 0.3}, 0.6, FloatDistribution(0, 0.9, step=0.3)),
        ({"log": [1e-4, 1e-1]}, 0.10000000149011612, FloatDistribution(1e-4, 1e-1, log=True)),
        ({"one_minus_log": [0.9, 0.999]}, 0.99, FloatDistribution(0.9, 0.999)),
        ({"normal": [0.0, 1.0]}, 0.5, FloatDistribution(-5, 5)),
        ({"choice": [[64], [64, 64]]}, [64, 64], CategoricalDistribution(["[64]", "[64, 64]"])),
        ({"choice": ["a", None, 1.5]}, None, CategoricalDistribution(["a", None, 1.5])),
    ],
)
def test_each_kind_of_parameter_has_a_distribution(
    body: dict[str, object], value: object, expected: object
) -> None:
    parameter = parse_parameter("x", body)
    found = distribution(parameter)
    assert found == expected
    kept = in_optuna(parameter, value)
    optuna.trial.create_trial(value=1.0, params={"x": kept}, distributions={"x": found})


def test_a_study_is_replaced_where_that_is_asked_for(folder: RunFolder, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    to_study(folder, url)
    with pytest.raises(BadInput, match="has a study a already: replace it with `force=True`"):
        to_study(folder, url)
    assert len(to_study(folder, url, force=True).trials) == 4
    assert len(optuna.get_all_study_names(url)) == 1


def test_a_run_without_an_end_is_refused(tmp_path: Path) -> None:
    unfinished = made(tmp_path, "b")
    with pytest.raises(BadInput, match="is not finished"):
        to_study(unfinished, f"sqlite:///{tmp_path}/x.db")


def test_the_command_exports_a_study(folder: RunFolder, cli: Cli, tmp_path: Path) -> None:
    done = cli("export", str(folder.path), "--optuna", "sqlite:///x.db")
    assert done.returncode == 0, done.stderr
    assert "study a of 4 trials: optuna-dashboard sqlite:///x.db" in done.stdout
    assert (tmp_path / "x.db").is_file()


@pytest.mark.parametrize(
    ("url", "told"), [("x.db", "like sqlite:///studies.db"), ("foo://x", "Can't load plugin")]
)
def test_a_url_that_is_none_is_refused(folder: RunFolder, url: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        to_study(folder, url)


def test_a_run_with_an_infinite_score_is_exported(tmp_path: Path) -> None:
    folder = made(tmp_path, "c")
    *_, last = parts()
    assert isinstance(last, SweepEnded)
    end = SweepEnded(replace(ended("t00", 200).summary, trials=[outcome("t00")]))
    tell(folder, report("t00", 100), report("t00", 200, reward=float("inf")), end)
    (trial,) = to_study(folder, f"sqlite:///{tmp_path}/x.db").trials
    assert (trial.state, trial.intermediate_values) == (TrialState.FAIL, {100: 1.0})
