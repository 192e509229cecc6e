"""Sweeps without training: schedulers and searchers on curves, with a clock that jumps.

Trials follow curves: a formula, a table of measured ones, or any object that has
:meth:`rltune.simulator.curves.Curves.train`. All that decides is the real thing: the scheduler, the
searcher, their history. 200 trials take seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rltune import schedulers, searchers
from rltune.catalog.presets import points_problems
from rltune.errors import BadInput, unknown
from rltune.options import Budget, Goal, Group, Place, Resources, options_of, problems
from rltune.schedulers.base import Scheduler, SchedulerContext
from rltune.searchers import Searcher
from rltune.simulator.curves import Curves, GainCurves, Score, ScoreCurves, Segment
from rltune.simulator.machine import Conditions, Cost, Failures
from rltune.simulator.result import Improvement, SimulatedTrial, Simulation
from rltune.simulator.sweep import SimulatedSweep
from rltune.simulator.table import Table
from rltune.space import Searched, Space, space_of
from rltune.spec import FUNCTION, RunSpec

__all__ = [
    "Conditions",
    "Curves",
    "GainCurves",
    "Improvement",
    "ScoreCurves",
    "Segment",
    "SimulatedSweep",
    "SimulatedTrial",
    "Simulation",
    "Table",
    "simulate",
]

#: Reports of a trial in an interval, where nothing else is asked for.
REPORTS_PER_INTERVAL = 4
#: Intervals of a trial, as above.
INTERVALS = 10


def simulate(
    curves: Curves | Score,
    space: Mapping[str, Any] | Space | Searched | Path | str,
    *,
    scheduler: str | Callable[[SchedulerContext], Scheduler] = "asha",
    searcher: str | Callable[[RunSpec], Searcher] = "random",
    trials: int = 20,
    steps: int = 10_000,
    concurrent: int = 4,
    seed: int = 0,
    metric: str = "score",
    mode: str = "max",
    objective: str | Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    points: Sequence[Mapping[str, Any]] = (),
    report_every: int | None = None,
    seconds_per_step: Cost = 0.001,
    noise: float = 0.0,
    failures: Failures = 0.0,
    max_failures: int = 2,
    kills: Sequence[int] = (),
    **options: Any,
) -> Simulation:
    """Runs a sweep whose trials follow curves instead of training.

    >>> import math
    >>> import rltune
    >>> def score(settings, env_steps):
    ...     return 100 - 10 * abs(math.log10(settings["lr"]) + 3) - 1e5 / env_steps
    >>> found = rltune.simulate(score, {"lr": {"log": [1e-5, 1e-1]}}, trials=30, noise=1.0)
    >>> round(found.best.true_score)
    89
    >>> found.env_steps < 30 * 10_000
    True

    A scheduler or a searcher of your own is tested on the same curves: pass its class, or a
    function that builds it. The simulation checks that it keeps its contract, see
    :class:`rltune.schedulers.base.Scheduler` and :class:`rltune.searchers.Searcher`.

    >>> from rltune.schedulers.fifo import Fifo
    >>> from rltune.schedulers.base import Action
    >>> class StopNegative(Fifo):
    ...     def __init__(self, context):
    ...         self.goal = context.spec.goal
    ...     def reported(self, trial, report, others_wait):
    ...         return Action.CONTINUE if self.goal.score_of(report) > 0 else Action.STOP
    >>> found = rltune.simulate(score, {"lr": {"log": [1e-5, 1e-1]}}, scheduler=StopNegative)
    >>> {trial.status for trial in found.trials}
    {'stopped'}

    Args:
        curves: what trials report. A function of a trial's configuration and its age in
            environment steps is the score that it would have at constant settings; see
            :mod:`rltune.simulator.curves` for others. The configuration is the searched
            settings, those of ``settings``, and the trial's ``seed``.
        space: settings to search, as in a preset: ``{"lr": {"log": [1e-5, 1e-2]}}``; nested, of Ray
            Tune's objects, or a TOML file. Curves have those of nested tables as ``model/layers``.
        scheduler: its name, or what builds one.
        searcher: its name, or what builds one.
        trials: trials of the sweep.
        steps: environment steps of a trial.
        concurrent: trials at a time.
        seed: seed of every random draw.
        metric: name of the score in a report.
        mode: whether a larger or a smaller score is better: "max" or "min".
        objective: metrics to tune together, the score first: ``"score,-seconds"``.
        settings: further settings of every trial.
        points: searched settings that the first trials start from.
        report_every: environment steps between two reports of a trial; by default a quarter of
            ``perturb_every``.
        seconds_per_step: simulated seconds of an environment step; or a function of a trial's
            configuration.
        noise: standard deviation of a reported score around the true one.
        failures: probability that a trial fails before a report, or a function of its
            configuration and its age that says whether it does. It continues from its last
            checkpoint.
        max_failures: retries of a trial.
        kills: after so many reports the sweep is killed and resumed: another scheduler and
            searcher, with their saved state, continue.
        options: further ones of :class:`rltune.options.Budget`, by name: ``perturb_every`` (a tenth
            of ``steps`` by default), ``target``, ``time_budget`` in simulated seconds,
            ``quantile`` ...

    Raises:
        BadInput: with what is wrong.
        RltuneError: the scheduler or the searcher breaks its contract.
    """
    names = {"scheduler": _name(scheduler), "searcher": _name(searcher)}
    spec = _spec(
        space,
        settings or {},
        points,
        {
            Budget: {**options, **names, "trials": trials, "steps": steps},
            Resources: {"concurrent": concurrent, "max_failures": max_failures},
            Goal: _goal(metric, mode, objective),
            Place: {"seed": seed},
        },
    )
    if isinstance(scheduler, str):
        if wrong := schedulers.unused(scheduler, options):
            raise BadInput(wrong)
        schedulers.check_seeds(spec.budget)
        schedulers.check_objectives(spec.budget, spec.goals)
    every = spec.budget.perturb_every
    population = isinstance(scheduler, str) and schedulers.row(scheduler).population
    conditions = Conditions(
        report_every=max(1, every // REPORTS_PER_INTERVAL)
        if report_every is None
        else report_every,
        save_every=0 if population else every,
        seconds_per_step=seconds_per_step,
        noise=noise,
        failures=failures,
    )
    sweep = SimulatedSweep(
        spec,
        curves if isinstance(curves, Curves) else ScoreCurves(curves),
        conditions,
        schedulers.build if isinstance(scheduler, str) else scheduler,
        searchers.build if isinstance(searcher, str) else searcher,
    )
    if isinstance(scheduler, str) and (limit := schedulers.limit(spec.budget)):
        sweep.notices.append(limit)
    reports = 0
    for kill in sorted(kills):
        sweep.run(kill - reports).kill()
        reports = kill
    return sweep.run().result()


def _name(part: str | Callable[..., Any]) -> str:
    return part if isinstance(part, str) else getattr(part, "__name__", type(part).__name__)


def _goal(metric: str, mode: str, objective: str | Sequence[str]) -> dict[str, Any]:
    """What is tuned; beside objectives what was asked for, so that what contradicts is refused."""
    asked: dict[str, Any] = {"metric": metric, "mode": mode}
    if not objective:
        return asked
    defaults = {"metric": "score", "mode": "max"}
    own = {name: value for name, value in asked.items() if value != defaults[name]}
    return {**own, "objective": objective}


def _spec(
    space: Mapping[str, Any] | Space | Searched | Path | str,
    settings: Mapping[str, Any],
    points: Sequence[Mapping[str, Any]],
    options: Mapping[type[Group], Mapping[str, Any]],
) -> RunSpec:
    """The request of a simulation: that of a function which nothing calls."""
    searched = space_of(space).with_settings(settings)
    wrong = points_problems(points, searched.space)
    if "seed" in searched.middle():
        wrong.append("seed is the trial's own: use another name")
    if searched.derived:
        wrong.append(f"{', '.join(searched.derived)}: compute it in the curves")
    known = options_of(Budget)
    wrong += [str(unknown("option", name, known)) for name in options[Budget] if name not in known]
    wrong += [one for group, given in options.items() for one in problems(group, given).values()]
    if wrong:
        raise BadInput(wrong)
    every = max(1, options[Budget]["steps"] // INTERVALS)
    goal = Goal(**options[Goal])
    return RunSpec(
        algo=FUNCTION,
        env="curves",
        env_id="",
        settings=searched.middle(),
        space=searched.space,
        budget=Budget(**{"perturb_every": every, **options[Budget]}),
        resources=Resources(**options[Resources]),
        points=tuple(points),
        name="simulation",
        storage="",
        metric=goal.metric,
        mode=goal.mode,
        objective=tuple(goal.objective),
        **options[Place],
    )
