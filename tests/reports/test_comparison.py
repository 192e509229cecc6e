"""Several runs beside each other: what is compared, and what is not."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
import simulated_runs

from rltune.environments import Environment, RandomScore
from rltune.errors import BadInput
from rltune.reports import static
from rltune.reports.comparison import Comparison, task_of
from rltune.reports.plots import (
    best_so_far,
    compared_progress,
    compared_scores,
    improvement,
    profiles,
    sensitivity,
)
from rltune.reports.plots.axes import Axes
from rltune.reports.plots.base import grouped
from rltune.reports.plots.table import OF_SEVERAL_RUNS
from rltune.reports.run_view import RunView
from rltune.reports.write import RunReport
from rltune.simulator import simulate
from rltune.simulator.run_folder import write_run
from rltune.statistics import iqm

EARLIER = Path(__file__).parents[1] / "data/runs_0_1/finished"


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Five repetitions of a search, and five of another that trains for less."""
    storage = tmp_path_factory.mktemp("runs")
    return [
        simulated_runs.search(storage, f"{name}{seed}", trials=6, seed=seed, steps=steps).path
        for name, steps in (("long", 9_000), ("short", 2_000))
        for seed in range(5)
    ]


@pytest.fixture(scope="module")
def compared(paths: list[Path]) -> Comparison:
    return Comparison.of([RunView.read(path) for path in paths])


def test_repetitions_of_a_request_are_one_entry(compared: Comparison) -> None:
    assert [entry.unit for entry in compared.entries] == ["runs", "runs"]
    long = [
        run.summary.best.score
        for name, run in compared.runs.items()
        if name.startswith("long") and run.summary and run.summary.best
    ]
    assert list(compared.entries[0].scores) == long
    middle = [row for row in compared_scores.rows(compared) if row["kind"] == "IQM"]
    assert middle[0]["score"] == iqm(long)
    assert min(long) <= middle[0]["low"] < middle[0]["high"] <= max(long)


def test_repetitions_are_one_line_of_their_mean_with_an_interval(compared: Comparison) -> None:
    of = grouped(compared_progress.rows(compared), "run")
    assert {*of} == {"long", "short"}
    rows = [row for row in of["long"] if row["panel"].endswith("steps of all trials")]
    each = [
        [row for row in best_so_far.rows(run) if row["against"] == "steps of all trials"]
        for name, run in compared.runs.items()
        if name.startswith("long")
    ]
    for row in rows:
        best = [
            max(one["value"] for one in run if one["spent"] <= row["spent"] + 1e-6) for run in each
        ]
        assert row["value"] == pytest.approx(np.mean(best))
        assert min(best) <= row["low"] <= row["value"] <= row["high"] <= max(best)
    assert rows[-1]["spent"] == min(run[-1]["spent"] for run in each)
    values = [row["value"] for row in rows]
    assert values == sorted(values)


def test_few_repetitions_have_no_interval_and_one_run_its_staircase(paths: list[Path]) -> None:
    few = Comparison.of([RunView.read(path) for path in paths[:2] + paths[-1:]])
    of = grouped(compared_progress.rows(few), "run")
    assert {*of} == {"long", "short4"}
    assert {row["low"] for rows in of.values() for row in rows} == {None}


def test_names_that_two_requests_share_stay_whole(tmp_path: Path) -> None:
    runs = [
        simulated_runs.search(tmp_path, f"a-{n}", trials=4, seed=n, steps=1_000 * (1 + n // 2)).path
        for n in range(4)
    ]
    found = Comparison.of([RunView.read(path) for path in runs])
    assert {*found.repeated} == {"a-0, a-1", "a-2, a-3"}
    assert [entry.name for entry in found.entries] == ["a-0, a-1", "a-2, a-3"]


def test_requests_are_counted_where_runs_repeat_them(paths: list[Path]) -> None:
    assert RunReport.of(*paths).content["question"] == (
        f"Which of 2 requests, in {len(paths)} runs, is better?"
    )
    two = RunReport.of(paths[0], paths[-1])
    assert two.content["question"] == "Which of 2 runs is better?"


def test_the_better_one_is_named_first_with_its_probability(compared: Comparison) -> None:
    (row,) = improvement.rows(compared)
    assert row["better"] == "long"
    assert row["worse"] == "short"
    assert row["probability"] > 0.5


def test_profiles_fall_from_all_to_few(compared: Comparison) -> None:
    rows = profiles.rows(compared)
    for entry in compared.entries:
        shares = [row["share"] for row in rows if row["group"] == entry.name]
        assert shares == sorted(shares, reverse=True)
        of_own = {row["score"]: row["share"] for row in rows if row["group"] == entry.name}
        assert of_own[min(entry.scores)] == 1
        assert of_own[max(entry.scores)] == pytest.approx(1 / len(entry.scores))


def test_arguments_of_an_environment_make_another_task() -> None:
    run = RunView.read(EARLIER)
    args = {"b": [1], "a": 0.5}
    options = replace(run.spec.env_options, env_args=args)
    other = replace(run, spec=replace(run.spec, env_options=options))
    assert [task_of(one) for one in (run, other)] == [
        "CartPole-v1",
        'CartPole-v1 {"a": 0.5, "b": [1]}',
    ]
    made = {"name": "a", "env": "cartpole", "env_id": "CartPole-v1", "threshold": 475.0}
    one = Environment(**made, random=RandomScore(20.0, (19.0, 21.0), 10))  # type: ignore[arg-type]
    both = (one, replace(one, env_args=args))
    several = replace(run, spec=replace(run.spec, environments=both))
    assert task_of(several) == (
        'CartPole-v1 (0 at 20, 1 at 475), CartPole-v1 {"a": 0.5, "b": [1]} (0 at 20, 1 at 475)'
    )


def test_runs_of_different_metrics_are_refused(paths: list[Path]) -> None:
    runs = [RunView.read(path) for path in paths[:1]]
    other = RunView.read(EARLIER)
    with pytest.raises(BadInput, match="runs of different metrics cannot be compared"):
        Comparison.of([*runs, other])


@pytest.fixture(scope="module")
def two_tasks(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """A task whose best ``lr`` is 1e-4, and one where it is 1e-2."""
    storage = tmp_path_factory.mktemp("tasks")
    for task, exponent in (("low", -4), ("high", -2)):
        sweep = simulate(
            lambda settings, steps, e=exponent: -((math.log10(settings["lr"]) - e) ** 2),
            simulated_runs.SPACE,
            scheduler="fifo",
            trials=40,
            steps=1_000,
        )
        sweep = replace(sweep, spec=replace(sweep.spec, env=task))
        write_run(sweep, storage / task)
    return Comparison.of([RunView.read(storage / task) for task in ("low", "high")])


def test_sensitivity_is_what_settings_for_all_tasks_lose(two_tasks: Comparison) -> None:
    """Halfway between two optima, a decade away from both, a square of 1 is lost on each."""
    rows = sensitivity.rows(two_tasks)
    assert [row["task"] for row in rows] == ["low", "high"]
    lost = [row["tuned"] - row["common"] for row in rows]
    scores = [score for of in two_tasks.runs["low"].scores.values() for score in of[-1:]]
    low, high = np.percentile(scores, [5, 95])
    assert sum(lost) / 2 == pytest.approx(1 / (high - low), rel=0.25)
    assert sensitivity.note(rows).startswith("Sensitivity 0.")


def test_every_figure_of_a_comparison_is_drawn(
    compared: Comparison, two_tasks: Comparison, tmp_path: Path
) -> None:
    for plots in OF_SEVERAL_RUNS.values():
        for plot in plots:
            of = two_tasks if plot.name == "sensitivity" else compared
            figures = plot.figures(plot.rows(of), Axes(of.goal))
            assert figures, plot.name
            for figure in figures.values():
                go.Figure(figure)
                assert static.draw(figure, "", tmp_path / "one.svg") == len(figure["data"])


def test_the_report_of_several_runs_says_which_is_better(paths: list[Path], tmp_path: Path) -> None:
    path = RunReport.of(*paths).write(tmp_path / "report.html")
    assert "has the best IQM" in path.read_text()
    content = json.loads(path.with_suffix(".json").read_text())
    assert [run["name"] for run in content["runs"]][:2] == ["long0", "long1"]


def test_equal_runs_have_no_clear_lead(tmp_path: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(EARLIER, tmp_path / name / "run")
    request = json.loads((tmp_path / "b/run/run.json").read_text())
    (tmp_path / "b/run/run.json").write_text(json.dumps({**request, "points": [{"lr": 1e-3}]}))
    made = RunReport.of(tmp_path / "a/run", tmp_path / "b/run")
    assert "but no clear lead over" in made.content["verdict"]
    assert len({run["name"] for run in made.content["runs"]}) == 2
