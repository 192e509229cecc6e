"""Rows of every plot: the figures that stand behind the ink."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
import simulated_runs

from rltune.reports import static
from rltune.reports.plots import (
    best_so_far,
    dimensionality,
    importance,
    learning_curves,
    lineage,
    optimism_gap,
    pareto_front,
    settings_paths,
    trials,
)
from rltune.reports.plots.axes import Axes
from rltune.reports.plots.base import Plot, grouped
from rltune.reports.plots.table import OF_A_RUN
from rltune.reports.run_view import RunView
from rltune.reports.surrogate import BELIEVED
from rltune.request.resolve import make_spec
from rltune.runs.folder import RunFolder
from rltune.runs.records import Diverged
from rltune.simulator import simulate
from rltune.simulator.run_folder import write_run
from rltune.space import parse_parameter

EARLIER = Path(__file__).parents[1] / "data/runs_0_1"
PLOTS = [plot for plots in OF_A_RUN.values() for plot in plots]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def population(storage: Path) -> RunView:
    return RunView.read(simulated_runs.population(storage).path)


@pytest.fixture(scope="module")
def search(storage: Path) -> RunView:
    return RunView.read(simulated_runs.search(storage).path)


@pytest.fixture(scope="module")
def front(storage: Path) -> RunView:
    return RunView.read(simulated_runs.front(storage).path)


@pytest.fixture(scope="module")
def earlier() -> RunView:
    return RunView.read(EARLIER / "finished")


def test_a_trial_that_diverged_has_no_score_and_does_not_lead(search: RunView) -> None:
    under_way = replace(search, summary=None)
    best = under_way.winner
    assert best is not None
    *rows, last = search.reports[best]
    ended = [*rows, replace(last, diverged=Diverged(last.env_steps, "loss", "nan"))]
    run = replace(under_way, reports={**search.reports, best: ended})
    assert run.winner not in (None, best)
    assert {row["trial"] for row in trials.rows(run)} == {*search.reports} - {best}
    (outcome,) = [one for one in run.outcome.trials if one.id == best]
    assert (outcome.status, outcome.score) == ("DIVERGED", None)


def test_the_best_so_far_only_rises_and_ends_with_all_that_was_spent(search: RunView) -> None:
    for against, total in (("steps of all trials", search.env_steps), (best_so_far.SECONDS, None)):
        rows = [row for row in best_so_far.rows(search) if row["against"] == against]
        values = [row["value"] for row in rows]
        assert values
        assert values == sorted(values)
        assert values[-1] == max(
            report.measured["score"] for of in search.reports.values() for report in of
        )
        assert total is None or rows[-1]["spent"] == total


def test_the_best_so_far_stands_beside_the_score_on_fresh_seeds(earlier: RunView) -> None:
    fresh = [row for row in best_so_far.rows(earlier) if row["kind"] == "fresh seeds"]
    assert {row["value"] for row in fresh} == {465.6}


def test_a_front_has_the_trials_that_none_beats(front: RunView, search: RunView) -> None:
    rows = pareto_front.rows(front)
    assert {row["against"] for row in rows} == {"seconds (min)"}
    assert len(rows) == len(front.reports) == 24
    for row in rows:
        better = [o for o in rows if o["value"] <= row["value"] and o["first"] >= row["first"]]
        equal = [o for o in rows if (o["value"], o["first"]) == (row["value"], row["first"])]
        assert row["front"] == (len(better) == len(equal))
    on_it = sum(row["front"] for row in rows)
    assert 1 < on_it < 24
    assert pareto_front.note(rows) == f"{on_it} of 24 trials are on the front"
    assert pareto_front.rows(search) == []
    unfinished = replace(front, summary=None)
    assert [point.trial for point in unfinished.front] == [point.trial for point in front.front]


def test_curves_follow_the_winners_weights_through_its_ancestors(population: RunView) -> None:
    rows = learning_curves.rows(population)
    assert len(rows) == sum(map(len, population.reports.values()))
    for place, part in enumerate(population.champion):
        steps = [row["env_steps"] for row in rows if row["stretch"] == place]
        assert {row["trial"] for row in rows if row["stretch"] == place} == {part.trial}
        assert part.begin < min(steps) <= max(steps) == part.end


def test_a_thinned_curve_keeps_its_ends_and_its_peaks() -> None:
    curve = [
        {"trial": "t00", "env_steps": step, "value": 1e6 if step == 4_321 else step % 7}
        for step in range(1, 100_000)
    ]
    thin = learning_curves.thin(curve)
    assert len(thin) <= learning_curves.MOST_POINTS
    assert (thin[0], thin[-1]) == (curve[0], curve[-1])
    assert curve[4_320] in thin
    assert [row["env_steps"] for row in thin] == sorted(row["env_steps"] for row in thin)
    assert learning_curves.note(curve).startswith(f"{len(thin):,} of 99,999 reports are drawn")
    assert learning_curves.note(curve[:50]) == ""


def test_the_lineage_tells_who_copied_whom_and_what_changed(earlier: RunView) -> None:
    rows = lineage.rows(earlier)
    assert [row["trial"] for row in rows if row["kind"] == lineage.MEMBER] == ["t00", "t01", "t02"]
    first = next(row for row in rows if row["kind"] == lineage.EXPLOIT)
    assert (first["trial"], first["donor"], first["env_steps"]) == ("t00", "t02", 2_959)
    assert first["donor_env_steps"] == 2_962
    assert "lr 0.002159 → 0.002591" in first["change"]
    ancestors = [row for row in rows if row["kind"] == lineage.EXPLOIT and row["champion"]]
    assert [row["trial"] for row in ancestors] == ["t00", "t01"]


def test_paths_of_settings_start_change_and_end_as_the_log_says(population: RunView) -> None:
    rows = settings_paths.rows(population)
    assert set(grouped(rows, "setting")) == set(simulated_runs.SPACE)
    for trial, path in grouped([r for r in rows if r["setting"] == "lr"], "trial").items():
        reports = population.reports[trial]
        assert path[0]["value"] == reports[0].settings["lr"]
        assert (path[-1]["env_steps"], path[-1]["value"]) == (
            reports[-1].env_steps,
            reports[-1].settings["lr"],
        )
        copied = [one for one in population.decisions if one.trial == trial and one.moved_weights]
        assert [row["donor"] for row in path if row["donor"]] == [one.donor for one in copied]


def test_a_search_has_a_row_for_each_trial_and_setting(search: RunView) -> None:
    rows = trials.rows(search)
    assert len(rows) == len(search.reports) * len(simulated_runs.SPACE)
    for row in rows:
        last = search.reports[row["trial"]][-1]
        assert row["value"] == last.settings[row["setting"]]
        assert row["score"] == last.measured["score"]
        assert 0 <= row["position"] <= 1
    assert "at 900 to 9,000 steps" in trials.note(rows)


def test_members_of_a_population_stand_for_no_setting(population: RunView) -> None:
    assert trials.rows(population) == importance.rows(population) == []


def test_a_landscape_that_ships_tells_what_few_trials_cannot(storage: Path) -> None:
    """Of a population too; but not of a run at other settings than those it was measured at."""
    spec = make_spec("ppo", "cartpole", storage=storage, name="few")
    run = RunView.read(RunFolder.create(spec).path)
    assert run.is_population
    rows = importance.rows(run)
    assert sum(row["importance"] for row in rows) == pytest.approx(1)
    assert "64 settings on 4 seeds each, 50,204 environment steps, not" in importance.note(rows)
    assert {row["setting"] for row in rows} == set(spec.space)
    (count,) = {row["explained"] for row in dimensionality.rows(run)} or (1.0,)
    assert count >= BELIEVED
    other = replace(run, spec=replace(spec, settings={**spec.settings, "num_epochs": 3}))
    assert importance.rows(other) == dimensionality.rows(other) == []
    older = {name: value for name, value in spec.settings.items() if name != "num_epochs"}
    earlier = replace(run, spec=replace(spec, settings=older))
    assert importance.rows(earlier) == [], "of a run that knew fewer settings nobody can tell"


def test_importance_finds_the_setting_that_matters(search: RunView) -> None:
    rows = importance.rows(search)
    assert rows[0]["setting"] == "lr"
    assert rows[0]["importance"] > 0.5
    assert sum(row["importance"] for row in rows) == pytest.approx(1)


def test_settings_that_matter_are_tuned_first(storage: Path) -> None:
    """Of the defaults ``lr`` is two decades off, and nothing else matters much."""
    space = {**simulated_runs.SPACE, "lr": {"log": [1e-5, 1e-1], "default": 1e-5}}
    sweep = simulate(
        simulated_runs.score, space, scheduler="fifo", trials=40, steps=1_000, noise=2.0
    )
    run = RunView.read(write_run(sweep, storage / "far").path)
    rows = dimensionality.rows(run)
    assert [row["setting"] for row in rows][:2] == ["the defaults", "lr"]
    assert rows[0]["share"] < 0.5 < dimensionality.ENOUGH < rows[1]["share"]
    assert [row["share"] for row in rows] == sorted(row["share"] for row in rows)
    assert rows[-1]["share"] == 1
    assert rows[0]["explained"] > 0.8
    assert dimensionality.note(rows).startswith("Effective dimensionality at most 1 of 3")


def test_noise_has_no_dimensionality(storage: Path) -> None:
    sweep = simulate(
        lambda settings, steps: 0.0,
        simulated_runs.SPACE,
        scheduler="fifo",
        trials=40,
        steps=1_000,
        noise=2.0,
    )
    assert dimensionality.rows(RunView.read(write_run(sweep, storage / "noise").path)) == []


def test_what_was_believed_stands_beside_what_is(earlier: RunView) -> None:
    rows = optimism_gap.rows(earlier)
    assert [row["value"] for row in rows] == [298.95, 431.6, 465.6]
    assert (rows[-1]["low"], rows[-1]["high"]) == (421.6, 500)


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.name)
def test_plotly_takes_every_figure_and_a_picture_is_drawn_of_it(
    plot: Plot[RunView],
    population: RunView,
    search: RunView,
    front: RunView,
    earlier: RunView,
    tmp_path: Path,
) -> None:
    """With every trace in it: the picture has as many artists as the figure has traces."""
    drawn = 0
    for run in (population, search, front, earlier):
        rows = plot.thin(plot.rows(run))
        for facet, figure in plot.figures(rows, Axes(run.goal, run.spec.space)).items():
            go.Figure(figure)  # raises for what is no figure
            assert any(len(trace["x"]) for trace in figure["data"])
            assert static.draw(figure, facet, tmp_path / "one.svg") == len(figure["data"])
            drawn += 1
    assert drawn or plot.name in ("seeds", "dimensionality")


@pytest.mark.parametrize(
    ("body", "ticks"),
    [
        ({"log": [4e-4, 6e-3]}, ["0.0004", "0.0008", "0.0015", "0.003", "0.006"]),
        ({"one_minus_log": [0.95, 0.9999]}, ["0.95", "0.99", "0.998", "0.9995", "0.9999"]),
        ({"pow2": [32, 256]}, ["32", "64", "128", "256"]),
        ({"choice": ["relu", [64, 64]]}, ["relu", "[64, 64]"]),
    ],
)
def test_ticks_are_numbers_as_people_write_them(body: dict[str, Any], ticks: list[str]) -> None:
    assert Axes(space={"x": parse_parameter("x", body)}).ticks("x")[1] == ticks


def test_a_run_without_a_report_has_no_plot(tmp_path: Path) -> None:
    shutil.copytree(EARLIER / "finished", tmp_path / "run")
    shutil.rmtree(tmp_path / "run/trials")
    (tmp_path / "run/summary.json").unlink()
    run = RunView.read(tmp_path / "run")
    assert [plot.name for plot in PLOTS if plot.rows(run)] == []


def test_a_damaged_row_is_left_out(tmp_path: Path) -> None:
    shutil.copytree(EARLIER / "killed", tmp_path / "run")
    progress = next((tmp_path / "run/trials").glob("*/progress.jsonl"))
    lines = progress.read_text().splitlines()
    damaged = {**json.loads(lines[0]), "env_steps": "many"}
    progress.write_text("\n".join([json.dumps(damaged), *lines[1:], '{"trial": "t0']) + "\n")
    assert len(RunView.read(tmp_path / "run").reports[progress.parent.name]) == len(lines) - 1
