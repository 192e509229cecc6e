"""Races: methods at equal steps, each lap a run, ties called ties."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Said
from warm import run_rltune

import rltune
from rltune.errors import BadInput, NothingUsable
from rltune.metric import Metric
from rltune.races.methods import method, methods
from rltune.races.outcome import Standing, in_words, ranked
from rltune.races.race import race
from rltune.runs.folder import RunFolder
from rltune.runs.json_text import dumps, loads

GOAL = Metric()
GOOD, FAIR = [490.0, 495.0, 500.0, 492.0, 498.0], [300.0, 310.0, 320.0, 305.0, 315.0]
CLOSE = [495.0, 488.0, 499.0, 493.0, 490.0]


def _verdicts(scores: dict[str, list[float]], goal: Metric = GOAL) -> dict[str, str]:
    return {one["method"]: one["verdict"] for one in ranked(goal, scores)}


def test_methods_are_told_apart_where_the_repetitions_do() -> None:
    assert _verdicts({"random": FAIR, "pb2": GOOD, "asha": CLOSE}) == {
        "pb2": "leads",
        "asha": "level",
        "random": "worse",
    }


def test_a_smaller_metric_can_be_the_better_one() -> None:
    goal = Metric("episode_len_mean", "min")
    assert _verdicts({"random": FAIR, "pb2": GOOD}, goal) == {"random": "leads", "pb2": "worse"}


def test_few_repetitions_leave_it_open() -> None:
    assert _verdicts({"a": GOOD[:2], "b": FAIR[:2]}) == {"a": "leads", "b": "open"}
    assert _verdicts({"a": GOOD[:3], "b": FAIR[:3]}) == {"a": "leads", "b": "worse"}


def test_runs_that_never_vary_are_level_where_they_are_equal() -> None:
    found = _verdicts({"a": [500.0] * 3, "b": [500.0] * 3, "c": [400.0] * 3})
    assert found == {"a": "leads", "b": "level", "c": "worse"}


def test_scores_whose_spread_is_no_number_are_level() -> None:
    assert _verdicts({"a": [1e300, 2e300, 1.5e300], "b": GOOD[:3]}) == {"a": "leads", "b": "level"}


def test_a_repetition_without_a_policy_is_the_worst_of_all() -> None:
    first, second = ranked(GOAL, {"a": [490.0, math.nan, math.nan], "b": [480.0, 470.0, 300.0]})
    assert (first["method"], first["verdict"]) == ("b", "leads")
    assert second["verdict"] == "level"
    assert second["mean"] == 490.0
    assert math.isnan(second["ci95"][0])
    with pytest.raises(NothingUsable, match="no repetition of any method left a policy with a sc"):
        ranked(GOAL, {"a": [math.nan] * 3, "b": [math.nan] * 3})


@pytest.mark.parametrize(("spreads", "count"), [((10,) * 5, 5), ((1, 1, 1, 1, 50), 3)])
def test_equal_methods_are_seldom_told_apart(spreads: tuple[float, ...], count: int) -> None:
    """Five methods of one mean: some difference is claimed in 5 % of the races at most."""
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(30):
        scores = {
            name: (spread * (rng.exponential(1.0, count) - 1)).tolist()
            for name, spread in zip("abcde", spreads, strict=True)
        }
        wrong += "worse" in _verdicts(scores).values()
    assert wrong <= 4


def test_a_method_that_varies_much_does_not_hide_what_others_differ_by() -> None:
    wild = [-90.0, -82.2, -79.8, -501.1, -86.0]
    scores = {"a": [-81.0, -82.0, -81.5, -80.5, -82.1], "b": [-87.0, -86.1, -88.0, -87.2, -86.5]}
    assert _verdicts({**scores, "wild": wild}) == {"a": "leads", "b": "worse", "wild": "level"}


def test_repetitions_are_compared_one_by_one() -> None:
    """A seed that is hard for one method is hard for the others."""
    hard = [500.0, 20.0, 140.0, 490.0, 270.0, 30.0]
    worse = [one - less for one, less in zip(hard, (12.0, 8.0, 10.0, 11.0, 9.0, 10.0), strict=True)]
    assert _verdicts({"a": hard, "b": worse}) == {"a": "leads", "b": "worse"}
    assert _verdicts({"a": hard, "b": worse[::-1]}) == {"a": "leads", "b": "level"}


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["random"], "takes two of them"),
        (["random", "pbtt"], "Did you mean 'pbt'"),
        (["asha+tpo", "pbt"], "Did you mean 'tpe'"),
        (["asha+", "pbt"], "Unknown searcher ''"),
        (["bohb", "bohb+bohb"], "named twice"),
        (["pbt", "asha", "pbt+random"], "pbt+random is named twice"),
        (["fifo", "random"], "named twice"),
    ],
)
def test_wrong_methods_are_refused(names: list[str], told: str) -> None:
    with pytest.raises(BadInput, match=re.escape(told)):
        methods(names)


def test_every_scheduler_and_searcher_is_a_method() -> None:
    assert (method("mfpbt").scheduler, method("mfpbt").searcher) == ("mfpbt", "random")
    assert (method("sobol").scheduler, method("sobol").searcher) == ("fifo", "sobol")
    assert "each trial to its end" in method("random").in_words


def _asked(tmp_path: Path, **options: Any) -> Any:
    given = {"seeds": 2, "total_steps": 40_000, "steps": 10_000, "storage": tmp_path, "name": "r"}
    return race("ppo", "cartpole", methods(["random", "asha", "pbt"]), **{**given, **options})


def test_laps_differ_in_nothing_but_method_and_seed(tmp_path: Path) -> None:
    asked = _asked(tmp_path, seed=7)
    assert [lap.spec.name for lap in asked.laps] == [
        *("random-0", "asha-0", "pbt-0"),
        *("asha-1", "pbt-1", "random-1"),
    ]
    assert {lap.spec.seed for lap in asked.laps if lap.number == 1} == {8}
    for lap in asked.laps:
        assert lap.spec.budget.total_steps == 40_000
        assert lap.spec.budget.target == math.inf
        assert lap.spec.settings == asked.laps[0].spec.settings
        assert lap.spec.space == asked.laps[0].spec.space
    trials = {lap.method.name: lap.spec.budget.trials for lap in asked.laps}
    assert trials["random"] == trials["pbt"] == 4
    assert trials["asha"] * asked.laps[1].spec.budget.perturb_every >= 40_000


def test_a_time_budget_of_a_preset_ends_no_lap(tmp_path: Path) -> None:
    preset = tmp_path / "quick.toml"
    preset.write_text("[budget]\ntime_budget = 60\n[space]\nlr = {log = [1e-4, 1e-2]}\n")
    (tmp_path / "runs").mkdir()
    laps = _asked(tmp_path / "runs", preset=preset).laps
    assert {lap.spec.budget.time_budget for lap in laps} == {None}
    assert {lap.spec.budget.total_steps for lap in laps} == {40_000}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"seeds": 1}, "seeds must be at least 2"),
        ({"total_steps": 9_999}, "fewer than the 10,000 steps of one trial"),
        ({"name": "../x"}, "run name"),
        ({"storage": "s3://bucket/runs"}, "a race is kept in a folder"),
        ({"settings": {"lrr": 1.0}}, "lrr"),
    ],
)
def test_a_bad_race_is_refused(tmp_path: Path, options: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput, match=re.escape(told)):
        _asked(tmp_path, **options)


def test_a_folder_of_something_else_is_not_raced_in(tmp_path: Path) -> None:
    space = {"lr": {"log": [1e-4, 1e-2], "default": 1e-3}}
    asked = _asked(tmp_path, space=space)
    (tmp_path / "r").mkdir()
    with pytest.raises(BadInput, match="exists and is no race"):
        asked.check_free()
    (tmp_path / "r/race.json").write_text(json.dumps(asked.request))
    _asked(tmp_path, space=space).check_free()
    others: list[dict[str, Any]] = [
        {"seed": 1},
        {"steps": 9_000},
        {"total_steps": 50_000},
        {"seeds": 3},
        {"population": {"perturb_every": 2_500}},
        {"space": {"lr": {"log": [1e-4, 5e-2], "default": 1e-3}}},
        {"settings": {"gamma": 0.9}},
        {"episodes": 7},
    ]
    for other in others:
        with pytest.raises(BadInput, match="a race of other methods, steps, seeds or settings"):
            _asked(tmp_path, **{"space": space, **other}).check_free()


def test_a_plan_says_what_will_race(said: Said, tmp_path: Path) -> None:
    words = f"compare ppo cartpole --methods random,asha+tpe --dry-run --storage {tmp_path}"
    code, shown, _ = said(words)
    assert code == 0
    assert "2 methods x 5 repetitions x 800,000 environment steps, 8,000,000 together" in shown
    assert "asha+tpe: asynchronous successive halving" in shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_race_runs_and_continues(tmp_path: Path, cluster_address: str) -> None:
    words = ("compare", "ppo", "cartpole", "--methods", "random,pbt", "--seeds", "2", "--name", "r")
    budget = ("--steps", "2k", "--total-steps", "8k", "--perturb-every", "1k", "--episodes", "3")
    more = ("--selection-episodes", "1", "--json")
    done = run_rltune(tmp_path, *words, *budget, *more, cluster=cluster_address)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["sentence"].endswith("2 repetitions do not tell methods apart, it takes 3")
    assert {one["method"] for one in told["standings"]} == {"random", "pbt"}
    for one in told["standings"]:
        runs = [RunFolder.open(tmp_path / f"runs/r/{one['method']}-{n}") for n in (0, 1)]
        assert one["env_steps"] == [run.steps_spent for run in runs]
        scores = [run.summary.evaluation.mean for run in runs]  # type: ignore[union-attr]
        assert one["scores"] == scores
    page = (tmp_path / "runs/r/report.html").read_text()
    assert len(page) > 100_000
    assert f"{told['sentence']}." in page, "the page has the verdict of the race, and no other"
    assert "has the best IQM" not in page
    before = (tmp_path / "runs/r/outcome.json").read_text()
    again = run_rltune(tmp_path, *words, *budget, *more, cluster=cluster_address)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "runs/r/outcome.json").read_text() == before
    assert "of 4:" not in again.stderr, "nothing is trained again"
    budgets = {"steps": 2_000, "total_steps": 8_000, "perturb_every": 1_000, "episodes": 3}
    options = {**budgets, "selection_episodes": 1, "storage": tmp_path / "runs", "name": "r"}
    python = rltune.compare("ppo", "cartpole", ["random", "pbt"], seeds=2, **options)
    assert loads(dumps(python.to_dict())) == told, "the same race, which is finished"
    with pytest.raises(BadInput, match="holds a race of other methods"):
        rltune.compare("ppo", "cartpole", "random,pb2", seeds=2, **options)


def _told(scores: dict[str, list[float]]) -> str:
    count = max(map(len, scores.values()))
    rows = [
        Standing(**one, in_words="", env_steps=[1] * count, seconds=[1.0] * count)
        for one in ranked(GOAL, scores)
    ]
    return in_words(rows, count)


def test_the_sentence_says_how_many_repetitions_the_mean_is_of() -> None:
    told = _told({"pbt": [500.0, 500.0, math.nan], "random": [300.0, 310.0, 305.0]})
    assert told.startswith(
        "pbt came to 500 on average of 2 of 3 repetitions (1 left no usable policy), the best; "
    )
    told = _told({"pbt": [*GOOD, math.nan], "random": [*FAIR, 300.0]})
    assert re.match(r"pbt came to 495 on average \[.*\] of 5 of 6 repetitions \(1 left no", told)
    assert "left no" not in _told({"pbt": GOOD, "random": [math.nan] * 5})


def test_a_method_without_a_score_does_not_lead_a_race_of_equal_scores() -> None:
    assert _told({"a": [math.nan] * 3, "b": [500.0] * 3}).startswith("b came to 500 on average")


def test_the_sentence_names_who_is_level_and_who_is_worse() -> None:
    scores = {"random": FAIR, "pb2": GOOD, "asha": CLOSE}
    told = _told(scores)
    assert told.startswith("pb2 came to 495 on average [")
    assert "the best; asha may be as good: these repetitions do not tell them apart" in told
    assert told.endswith("; random is worse, not by luck")
