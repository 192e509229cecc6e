"""Several objectives: how they are written, what is refused, and what they mean elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import functions
import pytest

from rltune.errors import BadInput
from rltune.metric import Metric
from rltune.options.readers import as_objectives
from rltune.request.functions import function_spec
from rltune.request.notes import notes
from rltune.request.resolve import make_spec
from rltune.runs.commands import with_preset
from rltune.spec import JobSpec, RunSpec
from rltune.tasks import task_of

TWO = "episode_reward_mean,-seconds"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a,-b", ("a", "-b")),
        (" a , - b ", ("a", "-b")),
        (["a", "-b,c/d"], ("a", "-b", "c/d")),
        ("-a,b-c,-d,e", ("-a", "b-c", "-d", "e")),
        ((), ()),
    ],
)
def test_objectives_are_read(value: Any, expected: tuple[str, ...]) -> None:
    assert as_objectives(value) == expected
    assert [Metric.parse(one).objective for one in expected] == [*expected]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        *(
            (wrong, "must be metrics, with - where")
            for wrong in ("", "-", "a,", ",a", "a,-", "--a")
        ),
        *(("a,a", "has a twice"), ("a,-a", "has a twice"), ("a,- a", "has a twice")),
        *((3, "must be a list of names"), ([3], "must be a list of names")),
    ],
)
def test_what_are_no_objectives_is_refused(value: Any, told: str) -> None:
    with pytest.raises(BadInput, match=f"^objective {told}"):
        make_spec("ppo", "cartpole", objective=value)


def test_several_objectives_run_every_trial_to_its_end_and_search_with_tpe() -> None:
    spec = make_spec("ppo", "cartpole", objective=TWO)
    assert (spec.metric, spec.mode) == ("episode_reward_mean", "max")
    assert [str(goal) for goal in spec.goals] == ["episode_reward_mean (max)", "seconds (min)"]
    assert (spec.budget.scheduler, spec.budget.searcher) == ("fifo", "tpe")
    assert spec.budget.target is None, "the first solved trial would end the search"
    assert make_spec("ppo", "cartpole", objective=TWO, target=400.0).budget.target == 400
    assert RunSpec.from_dict(spec.to_dict()) == spec
    assert task_of(spec).fingerprint()["objective"] == ["episode_reward_mean", "-seconds"]
    assert any("several objectives" in note for note in notes(spec, JobSpec()))
    assert f"--objective={TWO}" in with_preset(spec, "best.toml")
    assert "--objective" not in with_preset(spec, "best.toml", train=True)
    chosen = make_spec("ppo", "cartpole", objective=TWO, searcher="nsga2").budget
    assert (chosen.scheduler, chosen.searcher) == ("fifo", "nsga2")


def test_one_objective_is_a_metric() -> None:
    spec = make_spec("ppo", "cartpole", objective="-episode_len_mean")
    assert (spec.metric, spec.mode, spec.objective) == ("episode_len_mean", "min", ())
    assert spec.budget.scheduler == "pb2"
    assert "objective" not in task_of(spec).fingerprint()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"scheduler": "pb2"}, "pb2 compares trials by episode_reward_mean alone"),
        ({"scheduler": "asha"}, "asha compares .* would ignore -seconds: use `scheduler='fifo'`"),
        ({"searcher": "gp"}, "searcher gp learns .* use searcher tpe or nsga2, or"),
        ({"seeds_per_trial": 3}, "seeds_per_trial: settings race by episode_reward_mean alone"),
        ({"metric": "episode_len_mean"}, "contradicts metric episode_len_mean: drop it"),
        ({"mode": "min"}, "contradicts mode min: drop it"),
        ({"batch": 2}, "objective seconds: the trials of a batch train together"),
        (
            {"objective": "-seconds,episode_reward_mean"},
            "metric seconds says what a trial has spent",
        ),
        ({"objective": "episode_reward_mean,learner/entropy"}, "metric learner/entropy shows how"),
        ({"objective": "env_steps"}, "metric env_steps says what a trial has spent"),
    ],
)
def test_what_would_ignore_an_objective_is_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        make_spec("ppo", "cartpole", **{"objective": TWO, **options})


@pytest.mark.parametrize("searcher", ["random", "sobol", "grid", "tpe", "nsga2"])
def test_searchers_that_look_at_no_single_number_are_allowed(searcher: str) -> None:
    assert make_spec("ppo", "cartpole", objective=TWO, searcher=searcher).objective


def test_a_function_has_objectives(tmp_path: Path) -> None:
    space = {"lr": {"log": [1e-5, 1e-1]}}
    spec = function_spec(functions.climb, space, objective="height,-step", steps=5)
    assert (spec.budget.scheduler, spec.budget.searcher) == ("fifo", "tpe")
    config = task_of(spec).config((), 1.0)["rltune"]
    assert config["metrics"] == ["height", "step"]
    with pytest.raises(BadInput, match="metric: say which number of the reports"):
        function_spec(functions.climb, space, steps=5)
    with pytest.raises(BadInput, match="metric wall_seconds: rltune reports that itself"):
        function_spec(functions.climb, space, objective="height,wall_seconds", steps=5)
    with pytest.raises(BadInput, match="pbt compares trials by height alone"):
        function_spec(functions.climb, space, objective="height,-step", steps=5, scheduler="pbt")


def test_a_request_whose_objectives_and_metric_differ_is_damaged() -> None:
    values = make_spec("ppo", "cartpole", objective=TWO).to_dict()
    for wrong in (["-seconds", "episode_reward_mean"], ["episode_reward_mean"], ["a", "-a"], 3):
        with pytest.raises(BadInput, match="objective"):
            RunSpec.from_dict({**values, "objective": wrong})
