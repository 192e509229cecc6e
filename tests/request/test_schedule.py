"""A scheduler has its own options, an interval within the budget, and tells when it cannot act."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import functions
import pytest

from rltune.errors import BadInput
from rltune.options import Budget
from rltune.request.functions import function_spec
from rltune.request.notes import notes
from rltune.request.resolve import make_spec
from rltune.schedulers import SCHEDULERS, limit
from rltune.spec import JobSpec, RunSpec

#: A value that is not the default's, of each option that not every scheduler uses.
VALUES = {
    "synchronous": True,
    "burn_in": 5_000,
    "quantile": 0.4,
    "margin": 1.0,
    "resample_probability": 0.5,
    "reduction_factor": 4,
    "min_samples": 2,
}


def _function(**budget: Any) -> RunSpec:
    asked = {"steps": 100_000, **budget}
    return function_spec(functions.climb, {"lr": {"log": [1e-5, 1e-2]}}, metric="height", **asked)


@pytest.mark.parametrize("option", VALUES)
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_an_option_of_another_scheduler_is_refused(scheduler: str, option: str) -> None:
    asked = {option: VALUES[option]}
    users = [name for name, row in SCHEDULERS.items() if option in row.options]
    assert users
    if scheduler in users:
        assert getattr(_function(scheduler=scheduler, **asked).budget, option) == VALUES[option]
        return
    told = f"^{option} is not used by {scheduler}, but by {' and '.join(users)}: leave it out"
    for value in (VALUES[option], getattr(Budget(), option)):
        with pytest.raises(BadInput, match=told):
            _function(scheduler=scheduler, **{option: value})


def test_a_sweep_of_a_preset_refuses_them_too() -> None:
    with pytest.raises(
        BadInput, match=r"^quantile is not used by asha, but by pb2 and pbt and mfpbt"
    ):
        make_spec("ppo", "cartpole", scheduler="asha", population={"quantile": 0.25})


def test_a_preset_file_is_refused_for_what_its_own_scheduler_ignores(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[budget]\nscheduler = "asha"\nquantile = 0.4\nmargin = 0.0\n')
    with pytest.raises(BadInput) as refused:
        make_spec("ppo", "cartpole", preset=path)
    (problem,) = refused.value.problems
    assert problem.startswith(f"{path}: quantile is not used by asha, but by pb2 and pbt and mfpbt")
    assert make_spec("ppo", "cartpole", preset=path, scheduler="fifo").budget.quantile == 0.4
    assert make_spec("ppo", "cartpole", preset=path, scheduler="pbt").budget.quantile == 0.4


def test_a_recorded_schedule_is_replayed_by_a_command() -> None:
    with pytest.raises(BadInput, match=r"replay is no scheduler of a sweep.*rltune replay RUN"):
        make_spec("ppo", "cartpole", scheduler="replay")


def test_an_interval_keeps_its_share_of_fewer_steps(tmp_path: Path) -> None:
    """ppo cartpole has 100,000 steps, an interval of 20,000 and a report of 2,000."""

    def every(**asked: Any) -> int:
        return make_spec("ppo", "cartpole", scheduler="asha", **asked).budget.perturb_every

    assert every() == every(steps=100_000) == every(steps=400_000) == 20_000
    assert every(steps=40_000) == 8_000
    assert every(steps=4_000) == 2_000, "no shorter than a report"
    assert every(steps=40_000, population={"perturb_every": 30_000}) == 30_000
    path = tmp_path / "mine.toml"
    path.write_text("[budget]\nperturb_every = 25_000\n")
    assert every(steps=40_000, preset=path) == 25_000
    path.write_text("[budget]\nsteps = 50_000\n")
    assert every(preset=path) == 10_000, "the file's steps are fewer than those of the interval"
    assert every(steps=20_000, preset=path) == 4_000
    path.write_text("[budget]\nsteps = 200_000\n")
    assert every(preset=path) == 20_000
    assert _function(steps=12).budget.perturb_every == 1
    assert _function(steps=500_000).budget.perturb_every == 50_000


@pytest.mark.fault(88)
@pytest.mark.parametrize(
    ("scheduler", "budget", "told"),
    [
        ("asha", {"steps": 20_000}, "asha decides for the first time after"),
        ("asha", {"trials": 1}, "asha has one trial"),
        ("pb2", {"steps": 40_000}, "pb2 decides about a trial once"),
        ("pbt", {"steps": 20_000}, "every trial runs to its end"),
        ("pbt", {"trials": 1}, "nobody to learn from"),
        ("pbt", {"burn_in": 100_000}, "`burn_in` = 100,000 leaves nothing to decide"),
        ("hyperband", {"steps": 59_000}, "hyperband stops no trial"),
        ("hyperband", {"trials": 4}, "a round of hyperband is 5 trials, in brackets of 3, 2: 4"),
        ("hyperband", {"trials": 1}, "hyperband has one trial"),
        ("bohb", {"trials": 5}, "scheduler bohb with the searcher random is hyperband"),
        ("median", {"trials": 3}, "median stops a trial only beside `min_samples` = 3"),
        ("median", {"trials": 9, "steps": 20_000}, "median decides for the first time after"),
        ("pb2", {}, None),
        ("asha", {"trials": 8, "steps": 21_000}, None),
        ("hyperband", {"trials": 5}, None),
        ("median", {"trials": 9}, None),
        ("fifo", {"trials": 1}, None),
    ],
)
def test_a_scheduler_says_when_it_cannot_act(
    scheduler: str, budget: dict[str, Any], told: str | None
) -> None:
    asked = {"steps": 100_000, "perturb_every": 20_000, "scheduler": scheduler, **budget}
    spec = _function(**asked)
    said = limit(spec.budget)
    assert said is None if told is None else told in (said or "")
    assert notes(spec, JobSpec()) == ([said] if said else [])


def test_a_sweep_of_a_preset_says_so_too() -> None:
    spec = make_spec("ppo", "cartpole", scheduler="median", trials=2)
    assert limit(spec.budget) in notes(spec, JobSpec())
