"""Former runs whose trials a searcher learns from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import functions
import pytest
from conftest import Cli

from rltune import searchers
from rltune.errors import BadInput
from rltune.request import former
from rltune.request.functions import function_spec
from rltune.request.resolve import make_spec
from rltune.runs import state_file
from rltune.runs.folder import RunFolder
from rltune.runs.records import Decision, Report
from rltune.searchers.history import History
from rltune.simulator import Table
from rltune.spec import JobSpec, RunSpec
from rltune.sweeps.jobs import job_of

OPTIONS: dict[str, Any] = {
    "scheduler": "fifo",
    "steps": 1_000,
    "trials": 3,
    "space": {"lr": {"log": [1e-5, 1e-1]}},
}


def _run(storage: Path, scores: list[list[float]], **options: Any) -> RunFolder:
    """A run folder as a sweep leaves it: trials at defaults but for lr, reports of 500 steps."""
    options = {**OPTIONS, "searcher": "random", "name": "first", **options}
    spec = make_spec("ppo", "cartpole", storage=storage, **options)
    folder = RunFolder.create(spec)
    history = History()
    for number, of_trial in enumerate(scores):
        name = f"t{number:02d}"
        settings = {**{key: spec.settings[key] for key in spec.space}, "lr": 1e-4 * (number + 1)}
        history.started(name, settings, seed=number)
        history.ended(name)
        for place, score in enumerate(of_trial, 1):
            row = Report(name, place, 500 * place, 500, 1.0 * place, score, settings)
            folder.append_report(row)
    state_file.write(folder.path, {"parts": {"history": history.get_state()}, "trials": []})
    folder.lock.release()
    return folder


def _asked(storage: Path, run: RunFolder, **options: Any) -> RunSpec:
    options = {**OPTIONS, "searcher": "tpe", **options}
    return make_spec("ppo", "cartpole", storage=storage, former=[run.path], **options)


def test_former_trials_are_history(tmp_path: Path) -> None:
    run = _run(tmp_path, [[10.0, 20.0], [30.0, 40.0]])
    spec = _asked(tmp_path, run)
    assert RunSpec.from_dict(spec.to_dict()) == spec
    history = job_of(spec, JobSpec()).history
    assert [(t.id, t.score, t.status) for t in history.trials] == [
        ("first/t00", 20.0, "ended"),
        ("first/t01", 40.0, "ended"),
    ]
    assert history.trials[1].settings["lr"] == 2e-4
    assert len(history) == 0
    assert former.note(spec) is None


def test_trials_of_folders_of_one_name_have_ids_of_their_own(tmp_path: Path) -> None:
    """Libraries that are told each trial once hear of both."""
    runs = [_run(tmp_path / place, [[10.0, 20.0]]) for place in "abc"]
    numbered = _run(tmp_path / "d", [[30.0, 40.0]], name="first-2")
    former = [run.path for run in (runs[0], numbered, *runs[1:])]
    spec = make_spec(
        "ppo", "cartpole", storage=tmp_path, former=former, **{**OPTIONS, "searcher": "cmaes"}
    )
    ids = [trial.id for trial in spec.former]
    assert ids == ["first/t00", "first-2/t00", "first-3/t00", "first-4/t00"]
    searcher = searchers.build(spec)
    searcher.suggest(1, job_of(spec, JobSpec()).history)
    assert searcher._told == {*ids}  # type: ignore[attr-defined]


def test_former_trials_change_suggestions(tmp_path: Path) -> None:
    """Trials of two runs that differ in nothing but which learning rates were good."""
    up = _run(tmp_path, [[0.0, 10.0 * n] for n in range(12)], trials=12, name="up")
    down = _run(tmp_path, [[0.0, -10.0 * n] for n in range(12)], trials=12, name="down")
    rates = []
    for run in (up, down):
        job = job_of(_asked(tmp_path, run), JobSpec())
        rates.append([job.searcher.suggest(n, job.history)["lr"] for n in range(1, 6)])  # type: ignore[attr-defined]
    assert sum(rates[0]) > sum(rates[1])


def test_scores_past_the_budget_do_not_count(tmp_path: Path) -> None:
    """A score is compared with those of trials as old as this run's will be."""
    run = _run(tmp_path, [[10.0, 20.0, 99.0]], steps=1_500)
    (trial,) = _asked(tmp_path, run, steps=1_000).former
    assert trial.scores == [(500, 10.0), (1_000, 20.0)]
    assert trial.status == "ended"
    (trial,) = _asked(tmp_path, run, steps=3_000).former
    assert trial.status == "stopped"
    assert trial.scores[-1] == (1_500, 99.0)


def test_trials_that_say_nothing_here_are_left_out_and_counted(tmp_path: Path) -> None:
    run = _run(tmp_path, [[10.0], [20.0], [30.0], []])
    run.append_decision(
        Decision(kind="exploit", env_steps=500, trial="t01", donor="t00", requested={})
    )
    spec = _asked(tmp_path, run, space={"lr": {"log": [1e-4, 2.5e-4]}})
    assert [trial.left_out for trial in spec.former] == [
        "",
        "changed settings while they trained",
        "outside the space of lr",
    ]
    assert former.note(spec) == (
        "1 of 3 former trials are used. Left out: 1 changed settings while they trained; "
        "1 outside the space of lr"
    )
    with pytest.raises(BadInput, match="no trial of these runs can be used: 2 at another lr"):
        _asked(tmp_path, run, settings={"lr": 9e-3}, space={})


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"searcher": "random"}, "searcher random learns nothing from former runs: use one of"),
        ({"metric": "episode_len_mean"}, "another metric: episode_reward_mean"),
        ({"env_args": {"sutton_barto_reward": True}}, "another environment's arguments"),
    ],
)
def test_runs_of_something_else_are_refused(
    tmp_path: Path, options: dict[str, Any], problem: str
) -> None:
    run = _run(tmp_path, [[10.0]])
    with pytest.raises(BadInput, match=problem):
        _asked(tmp_path, run, **options)


def test_runs_that_add_nothing_are_refused(tmp_path: Path) -> None:
    run, empty = _run(tmp_path, [[10.0]]), _run(tmp_path, [], name="empty")
    with pytest.raises(BadInput, match=r"no trial of these runs can be used: they have no trials"):
        _asked(tmp_path, empty)
    again = tmp_path / "empty" / ".." / "first"
    with pytest.raises(BadInput, match=r"former: .*first is given twice"):
        make_spec(
            "ppo",
            "cartpole",
            storage=tmp_path,
            former=[run.path, again],
            **{**OPTIONS, "searcher": "tpe"},
        )


def test_trials_that_lack_a_setting_are_left_out(tmp_path: Path) -> None:
    space = {"lr": {"log": [1e-5, 1e-1]}}
    options = {"metric": "height", "searcher": "tpe", "steps": 6, "storage": tmp_path}
    first = RunFolder.create(function_spec(functions.peak, space, name="a", **options))
    row = Report("t00", 1, 1, 1, 1.0, None, {"lr": 1e-3}, metrics={"height": 1.0})
    first.append_report(row)
    first.lock.release()
    for more, problem in (
        ({"model": {"layers": {"int": [1, 4]}}}, "1 without model/layers"),
        ({"lr": {"log": [1e-2, 1e-1]}}, "1 outside the space of lr"),
    ):
        with pytest.raises(BadInput, match=f"no trial of these runs can be used: {problem}"):
            function_spec(functions.peak, {**space, **more}, former=[first.path], **options)
    wider = {"lr": {"log": [1e-6, 1.0]}}
    (trial,) = function_spec(functions.peak, wider, former=[first.path], **options).former
    assert not trial.left_out


def test_another_environment_or_no_run_is_refused(tmp_path: Path) -> None:
    run = _run(tmp_path, [[10.0]])
    options = {**OPTIONS, "searcher": "tpe", "storage": tmp_path}
    with pytest.raises(BadInput, match="another environment: CartPole-v1 there, Acrobot-v1 here"):
        make_spec("ppo", "acrobot", former=[run.path], **options)
    with pytest.raises(BadInput, match="another algorithm: ppo there, dqn here"):
        make_spec("dqn", "cartpole", former=str(run.path), **options)
    with pytest.raises(BadInput, match="nowhere"):
        make_spec("ppo", "cartpole", former=[tmp_path / "nowhere"], **options)


def test_runs_of_the_first_version_are_read(tmp_path: Path) -> None:
    """They have no history: a trial's first report holds its settings."""
    run = RunFolder.open(Path(__file__).parents[1] / "data" / "runs_0_1" / "finished")
    names = {name: body.to_dict() for name, body in run.spec.space.items()}
    spec = make_spec("ppo", "cartpole", searcher="tpe", scheduler="fifo", space=names)
    found = former._trials(spec, run, run.path.name)
    assert len(list(found)) == len(run.trials())


def _from_landscape(storage: Path, env: str = "cartpole", **options: Any) -> RunSpec:
    options = {"searcher": "tpe", "scheduler": "fifo", "former": ["landscape"], **options}
    return make_spec("ppo", env, storage=storage, **options)


def test_the_landscape_that_ships_is_history(tmp_path: Path) -> None:
    spec = _from_landscape(tmp_path, trials=2)
    history = job_of(RunSpec.from_dict(spec.to_dict()), JobSpec()).history
    table = Table.shipped("ppo", "cartpole")
    runs = [(tried, curve) for tried, curves in table.measured() for curve in curves]
    assert len(runs) == 256
    for trial, (settings, curve) in zip(history.trials, runs, strict=True):
        assert trial.settings == settings
        reached = curve.scores[curve.env_steps <= spec.budget.steps]
        assert trial.score == reached[-1]
    suggested = searchers.build(spec).suggest(0, history)
    assert table({**suggested, "seed": 0}, 100_000) > 400


def test_the_plan_says_what_it_learns_from(cli: Cli) -> None:
    words = ("ppo", "cartpole", "--searcher", "tpe", "--scheduler", "fifo", "--from", "landscape")
    done = cli(*words, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "learns from  trials of former runs: 256 of landscape" in done.stdout
    assert "learns from" not in cli(*words[:-2], "--dry-run").stdout


def test_a_part_of_the_space_takes_a_part_of_the_landscape(tmp_path: Path) -> None:
    """What is outside of it says nothing; nor does what is searched there and fixed here."""
    half = {"lr": {"log": [4e-4, 2e-3]}}
    spec = _from_landscape(tmp_path, space=half, steps=50_000)
    reasons = {trial.left_out for trial in spec.former}
    assert "outside the space of lr" in reasons
    assert all(at <= 50_000 for trial in spec.former for at, _ in trial.scores)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"env": "mountaincar"}, "none ships for ppo on mountaincar, but for dqn on acrobot"),
        ({"env_args": {"sutton_barto_reward": True}}, "of the environment without arguments"),
        ({"metric": "episode_len_mean"}, "it is of episode_reward_mean (max), not of"),
        ({"settings": {"num_epochs": 3}}, "it has num_epochs 10, here it is 3"),
        (
            {"space": {"lambda_": {"uniform": [0.5, 1]}}},
            "lambda_ 0.8 throughout, which is searched",
        ),
        ({"settings": {"gamma": 0.98}}, "256 at another gamma, which is fixed here"),
        ({"steps": 2_000}, "256 without a score in their first 2,000 environment steps"),
        ({"former": ["landscape", "landscape"]}, "landscape is given twice"),
        ({"searcher": "random"}, "searcher random learns nothing"),
    ],
)
def test_a_landscape_of_something_else_is_refused(
    tmp_path: Path, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(BadInput, match=re.escape(told)):
        _from_landscape(tmp_path, **options)


def test_trials_at_other_fixed_settings_are_left_out(tmp_path: Path) -> None:
    """Their scores are those of other settings, though their own ranges are the same."""
    run = _run(tmp_path, [[10.0, 20.0]], settings={"num_epochs": 3})
    with pytest.raises(BadInput, match="1 at another num_epochs, which is fixed here"):
        _asked(tmp_path, run)
    assert former.note(_asked(tmp_path, run, settings={"num_epochs": 3})) is None
