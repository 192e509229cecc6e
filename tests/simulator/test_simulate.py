"""Simulated sweeps: clock, noise, failures, divergence, kills, and the contract of their parts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from conftest import run_python
from ray import tune

import rltune
from rltune.errors import BadInput, RltuneError
from rltune.schedulers.base import Action, Change, SchedulerContext, Turn
from rltune.schedulers.fifo import Fifo
from rltune.searchers.history import History
from rltune.simulator import GainCurves, Segment, Simulation
from rltune.spec import RunSpec

SPACE = {"lr": {"log": [1e-5, 1e-1]}, "act": {"choice": ["relu", "tanh"]}}


def score(settings: Mapping[str, Any], env_steps: int) -> float:
    """Best at lr = 1e-3 with tanh; rises with the age."""
    distance = abs(math.log10(settings["lr"]) + 3) + (settings["act"] != "tanh")
    return 10 - distance - 1_000 / env_steps


def told(found: Simulation) -> list[tuple[Any, ...]]:
    return [(d.kind, d.trial, d.env_steps, d.donor, d.requested) for d in found.decisions]


def test_trials_follow_their_curves_on_a_simulated_clock() -> None:
    found = rltune.simulate(
        score,
        SPACE,
        scheduler="fifo",
        trials=3,
        steps=1_000,
        concurrent=2,
        report_every=300,
        seconds_per_step=0.01,
    )
    assert [trial.status for trial in found.trials] == ["ended"] * 3
    for trial in found.trials:
        assert [report.env_steps for report in trial.reports] == [300, 600, 900, 1_000]
        for report in trial.reports:
            assert report.metrics["score"] == pytest.approx(score(trial.start, report.env_steps))
    ends = [trial.reports[-1].wall_seconds for trial in found.trials]
    assert ends == pytest.approx([10.0, 10.0, 20.0]), "the third waits for a slot"
    assert found.env_steps == 3_000
    assert found.seconds == pytest.approx(20.0)
    assert found.stop_reason == "steps"
    assert found.best is not None
    assert found.best.score == max(trial.reports[-1].metrics["score"] for trial in found.trials)
    assert found.best_at(3_000) == found.best_at(20.0, "seconds") == found.best.true_score
    assert math.isnan(found.best_at(299))


def test_slow_settings_take_longer() -> None:
    found = rltune.simulate(
        score,
        SPACE,
        scheduler="fifo",
        trials=2,
        steps=1_000,
        points=[{"act": "relu"}, {"act": "tanh"}],
        seconds_per_step=lambda settings: 3.0 if settings["act"] == "relu" else 1.0,
    )
    ends = [trial.reports[-1].wall_seconds for trial in found.trials]
    assert ends == pytest.approx([3_000.0, 1_000.0])


def test_a_sweep_ends_at_its_target_or_its_time() -> None:
    found = rltune.simulate(score, SPACE, trials=50, target=8.0)
    assert found.stop_reason == "target"
    assert found.best is not None
    assert found.best.score >= 8.0
    assert found.env_steps < 50 * 10_000
    found = rltune.simulate(score, SPACE, trials=50, scheduler="fifo", time_budget=12.0)
    assert found.stop_reason == "time_budget"
    assert found.seconds == 12.0
    assert found.env_steps <= 12.0 / 0.001 * 4


def test_noise_is_in_reports_and_not_in_weights() -> None:
    found = rltune.simulate(score, SPACE, scheduler="fifo", trials=100, noise=0.5)
    errors = [
        report.metrics["score"] - report.metrics["true_score"]
        for trial in found.trials
        for report in trial.reports
    ]
    assert np.std(errors) == pytest.approx(0.5, rel=0.05)
    assert abs(np.mean(errors)) < 0.05
    for trial in found.trials:
        last = trial.reports[-1]
        assert last.metrics["true_score"] == pytest.approx(score(trial.start, last.env_steps))
    assert found.best is not None
    assert found.best.score == max(r.metrics["score"] for t in found.trials for r in t.reports)


def test_a_failure_costs_what_came_after_the_last_checkpoint() -> None:
    """Checkpoints every 1,000 steps; a failure at most once a trial, before its report at 1,750."""
    failed = set()

    def once(settings: Mapping[str, Any], age: int) -> bool:
        due = age == 1_750 and settings["seed"] not in failed
        failed.add(settings["seed"]) if due else None
        return due

    found = rltune.simulate(score, SPACE, scheduler="fifo", trials=5, failures=once)
    for trial in found.trials:
        assert trial.status == "ended"
        assert trial.failures == 1
        assert [report.env_steps for report in trial.reports] == list(range(250, 10_001, 250))
        assert trial.reports[-1].metrics["score"] == pytest.approx(score(trial.start, 10_000))
    assert found.env_steps == 5 * (10_000 + 750), "what was lost is spent"


def test_a_trial_that_keeps_failing_is_lost() -> None:
    found = rltune.simulate(
        score, SPACE, trials=8, failures=lambda settings, age: settings["act"] == "relu"
    )
    statuses = {trial.start["act"]: set[str]() for trial in found.trials}
    for trial in found.trials:
        statuses[trial.start["act"]].add(trial.status)
    assert statuses["relu"] == {"failed"}
    assert "failed" not in statuses["tanh"]
    assert {t.failures for t in found.trials if t.status == "failed"} == {3}, "two retries"
    often = rltune.simulate(score, SPACE, scheduler="fifo", trials=50, failures=0.02)
    assert 20 < sum(trial.failures for trial in often.trials) < 80, "40 reports a trial"


def test_a_score_that_is_not_finite_ends_a_trial_or_is_overwritten() -> None:
    def diverges(settings: Mapping[str, Any], env_steps: int) -> float:
        return math.nan if settings["act"] == "relu" and env_steps > 3_000 else env_steps

    found = rltune.simulate(diverges, SPACE, scheduler="fifo", trials=20)
    for trial in found.trials:
        assert trial.status == ("failed" if trial.start["act"] == "relu" else "ended")
        assert (trial.reports[-1].diverged is None) == (trial.status == "ended")
    found = rltune.simulate(diverges, SPACE, scheduler="pbt", trials=8, seed=1)
    assert {trial.status for trial in found.trials} == {"ended"}
    rescued = [t.id for t in found.trials if any(report.diverged for report in t.reports)]
    assert rescued
    assert {d.trial for d in found.decisions if d.env_steps == 3_250} >= set(rescued)


def test_an_exploit_copies_weights_and_an_age() -> None:
    """A clone of a trial that reached a level continues from there at its own settings."""

    class Remembers:
        """Weights are the trials that they passed through."""

        def train(self, segment: Segment) -> tuple[Any, float]:
            weights = [*(segment.weights or []), segment.trial]
            return weights, float(int(segment.trial[1:]) + len(weights))

    found = rltune.simulate(Remembers(), SPACE, scheduler="pbt", trials=4, concurrent=1)
    assert found.decisions
    for trial in found.trials:
        assert len(trial.reports) == 40
    clones = {decision.trial: decision.donor for decision in found.decisions}
    for clone, donor in clones.items():
        weights = next(trial for trial in found.trials if trial.id == clone).weights
        assert donor in weights
        assert weights[-1] == clone


def test_a_gain_drifts_with_the_age_of_the_weights() -> None:
    curves = GainCurves(lambda settings, age: 0.0 if age <= 5_000 else 0.001, start=2.0)
    found = rltune.simulate(curves, SPACE, scheduler="fifo", trials=1, steps=10_000)
    levels = [report.metrics["true_score"] for report in found.trials[0].reports]
    assert levels[:20] == [2.0] * 20
    assert levels[-1] == pytest.approx(7.0)


@pytest.mark.parametrize("scheduler", ["asha", "pbt", "pb2"])
def test_a_killed_sweep_decides_what_it_would_have(scheduler: str) -> None:
    whole, killed = (
        rltune.simulate(
            score,
            SPACE,
            scheduler=scheduler,
            searcher="sobol",
            trials=8,
            concurrent=1,
            noise=0.3,
            report_every=250,
            kills=kills,
        )
        for kills in ((), (5, 40, 41, 77))
    )
    assert told(killed) == told(whole)
    assert [trial.start for trial in killed.trials] == [trial.start for trial in whole.trials]
    assert killed.env_steps > whole.env_steps
    assert whole.decisions


class Watching:
    """A searcher that remembers how many trials ran and were over when it was asked."""

    def __init__(self, spec: RunSpec) -> None:
        self.spec = spec
        self.asked: list[tuple[int, int, int]] = []

    def suggest(self, number: int, history: History) -> dict[str, Any]:
        self.asked.append((number, len(history.running), len(history.over)))
        return {"lr": 1e-3, "act": "tanh"}


def test_a_searcher_of_ones_own_is_asked_as_late_as_possible() -> None:
    built: list[Watching] = []

    def build(spec: RunSpec) -> Watching:
        built.append(Watching(spec))
        return built[-1]

    found = rltune.simulate(score, SPACE, searcher=build, trials=4, concurrent=1)
    assert built[0].asked == [(n, 0, n) for n in range(4)]
    assert {trial.start["lr"] for trial in found.trials} == {1e-3}
    rltune.simulate(score, SPACE, scheduler="fifo", searcher=build, trials=4, concurrent=3)
    assert built[1].asked == [(0, 0, 0), (1, 1, 0), (2, 2, 0), (3, 2, 1)]


class Wrong(Fifo):
    """Schedulers that break the contract."""

    def __init__(self, context: SchedulerContext, turn: Turn) -> None:
        self._turn = turn

    def choose(self, waiting: Any) -> Turn:
        return self._turn


def test_a_scheduler_that_breaks_its_contract_is_told_how() -> None:
    def runs(turn: Turn) -> None:
        rltune.simulate(score, SPACE, scheduler=lambda context: Wrong(context, turn), trials=2)

    with pytest.raises(RltuneError, match=r"starts none of those that wait: t00$"):
        runs(Turn())
    with pytest.raises(RltuneError, match="starts t07, which does not wait"):
        runs(Turn("t07"))
    decision = rltune.simulate(score, SPACE, scheduler="pbt", trials=4).decisions[0]
    for settings, message in (
        ({"lr": 1.0, "act": "relu"}, "changes t00 to {'lr': 1.0, 'act': 'relu'}, which lies out"),
        ({"act": "relu"}, "lies outside of the space"),
    ):
        change = Change(decision, settings)
        change = Change(type(decision)(kind="change", env_steps=0, trial="t00"), settings)
        with pytest.raises(RltuneError, match=message):
            runs(Turn(None, [change]))

    class EndsWhatRuns(Fifo):
        def choose(self, waiting: Any) -> Turn:
            return Turn(waiting[0]) if waiting else Turn(stops=["t00"])

    with pytest.raises(RltuneError, match="ends t00 as a waiting trial, which it is not"):
        rltune.simulate(score, SPACE, scheduler=lambda _: EndsWhatRuns(), concurrent=1)

    class Outside:
        def suggest(self, number: int, history: History) -> dict[str, Any]:
            return {"lr": 5.0, "act": "relu"}

    with pytest.raises(RltuneError, match=r"the searcher suggests .*5\.0.*outside"):
        rltune.simulate(score, SPACE, searcher=lambda _: Outside())


def test_a_scheduler_of_ones_own_decides() -> None:
    class Halve(Fifo):
        """Stops every other trial at half of its budget."""

        def __init__(self, context: SchedulerContext) -> None:
            self.half = context.spec.budget.steps // 2

        def reported(self, trial: str, report: Mapping[str, Any], others_wait: bool) -> Action:
            odd = int(trial[1:]) % 2 == 1
            return Action.STOP if odd and report["env_steps"] >= self.half else Action.CONTINUE

    found = rltune.simulate(score, SPACE, scheduler=Halve, trials=6, steps=4_000)
    assert [trial.status for trial in found.trials] == ["ended", "stopped"] * 3
    assert [trial.env_steps for trial in found.trials] == [4_000, 2_000] * 3
    assert {decision.env_steps for decision in found.decisions} == {2_000}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantil": 0.5}, "Unknown option 'quantil'. Did you mean 'quantile'?"),
        ({"quantile": 0.9}, "quantile must be in"),
        ({"quantile": 0.5}, "quantile is not used by asha, but by pb2 and pbt and mfpbt"),
        ({"scheduler": "pbt", "seeds_per_trial": 2}, "seeds_per_trial: the members of pbt"),
        ({"scheduler": "ashe"}, "Unknown scheduler 'ashe'. Did you mean 'asha'?"),
        ({"searcher": "randm"}, "Unknown searcher 'randm'. Did you mean 'random'?"),
        ({"points": [{"lr": 7.0}]}, "point 1: lr = 7.0 lies outside"),
        ({"settings": {"lr": 1e-3}}, "lr is in settings and in space"),
        ({"settings": {"seed": 1}}, "seed is the trial's own"),
        ({"concurrent": 0}, "concurrent must be at least 1"),
        ({"mode": "least"}, "mode"),
        ({"noise": -1.0}, "noise must be at least 0"),
        ({"failures": 1.5}, "failures must be in"),
        ({"report_every": 0}, "report_every must be at least 1"),
        ({"seconds_per_step": 0.0}, "seconds_per_step must be above 0"),
    ],
)
def test_bad_input_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        rltune.simulate(score, SPACE, **options)


def test_a_space_has_any_form() -> None:
    seen: list[Mapping[str, Any]] = []

    def note(settings: Mapping[str, Any], age: int) -> float:
        seen.append(settings)
        return 0.0

    space = {"model": {"layers": {"int": [1, 3]}, "bias": True}, "lr": 0.1}
    rltune.simulate(note, space, trials=1, settings={"model": {"width": 8}}, steps=10)
    assert seen[0].keys() == {"model/layers", "model/bias", "model/width", "lr", "seed"}
    with pytest.raises(BadInput, match="half: compute it in the curves"):
        rltune.simulate(note, {"lr": {"log": [1e-5, 1.0]}, "half": tune.sample_from(half)})


def half(config: Mapping[str, Any]) -> float:
    return config["lr"] / 2


def test_a_smaller_score_is_better_in_its_mode() -> None:
    largest = rltune.simulate(score, SPACE, trials=20)
    smallest = rltune.simulate(
        lambda settings, age: -score(settings, age), SPACE, trials=20, mode="min", metric="loss"
    )
    assert told(smallest) == told(largest)
    assert smallest.best is not None
    assert largest.best is not None
    assert smallest.best.score == -largest.best.score


def test_settings_are_judged_on_several_seeds() -> None:
    """Those that could still win get more of them."""
    found = rltune.simulate(
        score, SPACE, scheduler="fifo", trials=8, concurrent=1, seeds_per_trial=3
    )
    settings = [(trial.start["lr"], trial.start["act"]) for trial in found.trials]
    seeds = {one: settings.count(one) for one in settings}
    assert len(seeds) == 8
    assert list(seeds.values()).count(1) >= 3
    assert found.best is not None
    assert seeds[found.best.settings["lr"], found.best.settings["act"]] == 3


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"mode": "min"}, "objective begins with score, which contradicts mode min"),
        ({"metric": "loss"}, "objective begins with score, which contradicts metric loss"),
    ],
)
def test_objectives_that_contradict_the_metric_are_refused(
    asked: dict[str, Any], told: str
) -> None:
    options: dict[str, Any] = {"scheduler": "fifo", "searcher": "tpe", "trials": 2, **asked}
    with pytest.raises(BadInput, match=told):
        rltune.simulate(score, SPACE, objective="score,-seconds", **options)


def test_a_budget_that_decides_nothing_is_noticed() -> None:
    (notice,) = rltune.simulate(score, SPACE, trials=1).notices
    assert notice.startswith("asha has one trial")


def test_it_works_without_ray() -> None:
    code = (
        "import sys\nsys.modules['ray'] = None\nimport rltune\n"
        "found = rltune.simulate(lambda s, t: t * s['x'], {'x': {'uniform': [0, 1]}}, trials=200)\n"
        "print(len(found.trials), 'torch' in sys.modules)"
    )
    assert run_python(code) == "200 False"
