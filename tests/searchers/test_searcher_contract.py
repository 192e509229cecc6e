"""What every searcher of the table promises."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from spaces import constrained_space

from rltune.request.resolve import make_spec
from rltune.searchers import READY, SEARCHERS, Searcher, build, starting_point
from rltune.searchers.grid import grid
from rltune.searchers.history import History
from rltune.spec import RunSpec

SOUND = [name for name, row in SEARCHERS.items() if not row.broken]
LEARNING = [name for name in SOUND if SEARCHERS[name].learns]


def _param(name: str) -> Any:
    missing = pytest.mark.skipif(SEARCHERS[name].state != READY, reason=SEARCHERS[name].state)
    return pytest.param(name, marks=missing)


every_searcher = pytest.mark.parametrize("searcher", [_param(name) for name in SOUND])
learning_searchers = pytest.mark.parametrize("searcher", [_param(name) for name in LEARNING])


def _spec(searcher: str, seed: int = 2, trials: int = 12, **options: Any) -> RunSpec:
    points = len(options.get("points", ()))
    if searcher == "grid":
        spec = make_spec("ppo", "cartpole", trials=trials, seed=seed, **options)
        trials = points + len(grid(spec.space, spec.settings, trials - points))
    return make_spec("ppo", "cartpole", trials=trials, seed=seed, searcher=searcher, **options)


def _constrained(searcher: str, trials: int) -> RunSpec:
    space = constrained_space()
    if not SEARCHERS[searcher].grids:
        space = space.only(set(space) - set(space.grid()))
    settings = {"settled": 8, **space.sample(np.random.default_rng(0), {"settled": 8})}
    if searcher == "grid":
        trials = len(grid(space, settings, trials))
    spec = _spec("random")
    budget = replace(spec.budget, searcher=searcher, trials=trials)
    return replace(spec, settings=settings, space=space, budget=budget)


def _score(values: dict[str, Any]) -> float:
    """A bump in the middle of every number's own scale."""
    return -abs(np.log10(values["lr"]) + 3.2) - abs(values["gamma"] - 0.98)


class Sweep:
    """Trials one after the other, or several at a time, over a formula.

    Args:
        slots: trials that run at a time; the oldest ends before the next starts.
    """

    def __init__(
        self,
        spec: RunSpec,
        slots: int = 1,
        score: Callable[[dict[str, Any]], float] = _score,
    ) -> None:
        self.spec, self.slots, self.score = spec, slots, score
        self.searcher: Searcher = build(spec)
        self.history = History()
        self.suggested: list[dict[str, Any]] = []

    def run(self, trials: int) -> list[dict[str, Any]]:
        """Starts trials until there are so many; one fails, and one is stopped early."""
        while len(self.history) < trials:
            number = len(self.history)
            start = starting_point(self.spec, self.searcher, number, self.history)
            values = {name: start[name] for name in self.spec.space}
            self.history.started(f"t{number:02d}", values, start["seed"])
            self.suggested.append(values)
            if len(self.history.running) >= self.slots:
                self._end(self.history.running[0].id)
        return self.suggested

    def _end(self, trial: str) -> None:
        number = int(trial[1:])
        score = self.score(dict(self.history.running[0].settings))
        for clock in (500, 1_000):
            self.history.reported(trial, clock, None if number == 4 else score - 1 / clock)
        if number == 3:
            self.history.stopped(trial)
        self.history.ended(trial, failed=number == 2)

    def resumed(self) -> Sweep:
        """The same sweep after a kill: its state is read again, its scores from the reports."""
        other = Sweep(self.spec, self.slots, self.score)
        other.history.set_state(json.loads(json.dumps(self.history.get_state())))
        for mine, theirs in zip(self.history.trials, other.history.trials, strict=True):
            theirs.scores = dict(mine.scores)
        other.suggested = list(self.suggested)
        return other


@every_searcher
def test_suggestions_lie_in_the_space_and_keep_its_constraints(searcher: str) -> None:
    spec = _constrained(searcher, 20)
    sweep = Sweep(spec, score=lambda values: values["uniform"])
    for values in sweep.run(spec.budget.trials):
        assert values.keys() == spec.space.keys()
        assert spec.space.contains({**spec.settings, **values})
        assert not spec.space.broken({**spec.settings, **values})


@every_searcher
def test_equal_seeds_make_equal_suggestions(searcher: str) -> None:
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    trials = _spec(searcher).budget.trials
    first, second, other = (Sweep(_spec(searcher, seed)).run(trials) for seed in (4, 4, 5))
    assert first == second
    assert first != other or searcher == "grid"  # which draws nothing
    assert len({json.dumps(values) for values in first}) == trials
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


@every_searcher
@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("count", [0, 1, 6])
def test_a_resumed_sweep_suggests_the_same(searcher: str, count: int, slots: int) -> None:
    spec = _spec(searcher)
    whole = Sweep(spec, slots).run(9)
    half = Sweep(spec, slots)
    half.run(count)
    assert half.resumed().run(9) == whole


@every_searcher
def test_points_come_before_the_searcher(searcher: str) -> None:
    points = [{"lr": 5e-4}, {"gamma": 0.99, "clip_param": 0.15}]
    sweep = Sweep(_spec(searcher, points=points))
    starts = sweep.run(5)
    spec = sweep.spec
    assert starts[0]["lr"] == 5e-4
    assert starts[0]["gamma"] == spec.settings["gamma"]
    assert starts[1]["clip_param"] == 0.15
    assert all(spec.space.contains({**spec.settings, **start}) for start in starts)
    assert len({trial.seed for trial in sweep.history.trials}) == 5
    assert len({json.dumps(start) for start in starts}) == 5
    again = sweep.resumed()
    assert again.run(6) == Sweep(spec).run(6)


@learning_searchers
def test_suggestions_depend_on_scores(searcher: str) -> None:
    """The history acts: the same trials with other scores lead elsewhere."""
    spec = _spec(searcher, trials=30)
    trials = 17 if SEARCHERS[searcher].slow else 25
    rising = Sweep(spec, score=lambda values: values["clip_param"]).run(trials)
    falling = Sweep(spec, score=lambda values: -values["clip_param"]).run(trials)
    clips = [[values["clip_param"] for values in starts[-5:]] for starts in (rising, falling)]
    assert np.mean(clips[0]) > np.mean(clips[1])


@learning_searchers
def test_pending_trials_are_told(searcher: str) -> None:
    """What runs already is not proposed again, however many trials run at a time."""
    sweep = Sweep(_spec(searcher, trials=30), slots=8)
    starts = sweep.run(24)
    positions = [sweep.spec.space.to_unit(values) for values in starts]
    nearest = [
        min(np.linalg.norm(one - other) for other in positions[max(0, n - 7) : n])
        for n, one in enumerate(positions)
        if n > 0
    ]
    assert min(nearest) > 1e-3
