"""Every scheduler with every searcher that is ready, on a noisy table with failures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product
from typing import Any

import pytest

import rltune
from rltune.schedulers import SCHEDULERS, row
from rltune.searchers import READY, SEARCHERS
from rltune.searchers.grid import grid
from rltune.simulator import Simulation
from rltune.space import Space, parse_parameter

SPACE = Space(
    {
        "lr": parse_parameter("lr", {"log": [1e-6, 1e-1], "default": 1e-4}),
        "gamma": parse_parameter("gamma", {"one_minus_log": [0.8, 0.999], "default": 0.9}),
        "model/layers": parse_parameter("model/layers", {"int": [1, 4], "default": 1}),
        "act": parse_parameter("act", {"choice": ["relu", "tanh", "gelu"], "default": "relu"}),
    }
)
STEPS, NOISE, FAILURES = 8_100, 0.5, 0.004
#: Trials of a pair; fewer where a suggestion of a library takes tens or hundreds of milliseconds,
#: or each decision of PB2 tens, which grow with the cube of what it has seen.
TRIALS, OF_A_LIBRARY, OF_A_SLOW_ONE, OF_PB2 = 100, 30, 12, 8

#: Populations start alike from a searcher's settings: one of them with each is enough for CI.
_BY_HAND = {"mfpbt"}


def _marks(scheduler: str, searcher: str, state: str) -> list[Any]:
    marks: list[Any] = [pytest.mark.skipif(state != READY, reason=state)]
    if scheduler in _BY_HAND and searcher != "random":
        marks.append(pytest.mark.by_hand)
    return marks


PAIRS = [
    pytest.param(
        scheduler,
        searcher,
        marks=_marks(scheduler, searcher, one.state),
        id=f"{scheduler}-{searcher}",
    )
    for scheduler, (searcher, one) in product(SCHEDULERS, SEARCHERS.items())
    if not one.broken
]


def score(settings: Mapping[str, Any], env_steps: int) -> float:
    """A bump that is reached at a rate of its own; rates above 0.03 diverge half-way."""
    if settings["lr"] > 0.03 and env_steps > STEPS / 2:
        return math.nan
    distance = (math.log10(settings["lr"]) + 3.5) ** 2 + 4 * (settings["gamma"] - 0.97) ** 2
    distance += 0.5 * abs(settings["model/layers"] - 2) + (settings["act"] != "tanh")
    return 20 * math.exp(-distance / 4) * (1 - math.exp(-env_steps / 2_000))


def simulate(scheduler: str, searcher: str) -> Simulation:
    one = SEARCHERS[searcher]
    trials = OF_A_SLOW_ONE if one.slow else OF_A_LIBRARY if one.learns else TRIALS
    trials = min(trials, OF_PB2) if scheduler == "pb2" else trials
    if searcher == "grid":
        trials = len(grid(SPACE, {}, trials))
    return rltune.simulate(
        score,
        SPACE,
        scheduler=scheduler,
        searcher=searcher,
        trials=trials,
        steps=STEPS,
        perturb_every=900,
        concurrent=8,
        noise=NOISE,
        failures=FAILURES,
        seconds_per_step=lambda settings: 0.001 * settings["model/layers"],
        seed=3,
    )


def check(found: Simulation) -> None:
    """What every pair promises."""
    spec = found.spec
    assert len(found.trials) == spec.budget.trials
    assert {trial.status for trial in found.trials} <= {"ended", "stopped", "failed"}
    for trial in found.trials:
        assert SPACE.contains(trial.start)
        assert SPACE.contains(trial.config)
        assert trial.env_steps <= STEPS
        assert trial.status != "ended" or trial.env_steps == STEPS
        clocks = [report.env_steps for report in trial.reports]
        assert clocks == sorted(set(clocks))
    kept = sum(trial.env_steps for trial in found.trials)
    failures = sum(trial.failures for trial in found.trials)
    assert kept <= found.env_steps <= kept + failures * (900 + 225)
    assert found.best is not None
    settled = [trial.reports[-1].metrics.get("true_score", 0.0) for trial in found.trials]
    assert found.best.true_score > max(settled) - 8 * NOISE
    decided = {decision.kind for decision in found.decisions}
    stopped = [decision.trial for decision in found.decisions if decision.kind == "stop"]
    assert len(stopped) == len(set(stopped))
    assert set(stopped) == {trial.id for trial in found.trials if trial.status == "stopped"}
    if spec.budget.trials == TRIALS:
        assert failures > 0
        diverged = any(report.diverged for trial in found.trials for report in trial.reports)
        assert diverged or spec.budget.scheduler != "fifo"
    if row(spec.budget.scheduler).population:
        assert "exploit" in decided
        assert all(decision.trial != decision.donor for decision in found.decisions)
        # Those that diverge when nobody is left whom they could copy.
        lost = {trial.id for trial in found.trials if trial.reports[-1].diverged}
        assert set(stopped) <= lost
    else:
        assert decided == (set() if spec.budget.scheduler == "fifo" else {"stop"})


@pytest.mark.parametrize(("scheduler", "searcher"), PAIRS)
def test_every_pair_ends_within_its_budget_and_repeats_itself(
    scheduler: str, searcher: str
) -> None:
    found = simulate(scheduler, searcher)
    check(found)
    again = simulate(scheduler, searcher)
    assert again.decisions == found.decisions
    assert again.improvements == found.improvements
    for one, other in zip(again.trials, found.trials, strict=True):
        assert (one.start, one.config, one.reports) == (other.start, other.config, other.reports)
