"""Populations whose returns stand in a table: driven as Tune drives them, without Ray."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ray.tune.experiment import Trial

from rltune.engine.episodes import REWARD
from rltune.request.resolve import make_spec
from rltune.runs import checkpoints
from rltune.schedulers import build
from rltune.schedulers.base import TIME, Decision, SchedulerContext
from rltune.schedulers.population import Population
from rltune.searchers import build as build_searcher
from rltune.searchers import starting_point

REPORT = 250
INTERVAL = 1_000


class NoIdleActors:
    num_cached_objects = 0


class Table:
    """Runs a population over a function that gives each member's next return.

    Args:
        gain: of a member's number, its clock and its settings: what a report adds to its return.
    """

    _resetting_trials: frozenset[Trial] = frozenset()
    _trial_to_actor: Mapping[Trial, Any] = {}
    _actor_cache = NoIdleActors()

    def __init__(
        self,
        folder: Path,
        gain: Callable[[str, int, Mapping[str, Any]], float],
        scheduler: str = "pbt",
        members: int = 4,
        slots: int = 2,
        steps: int = 6_000,
        seed: int = 0,
        **options: Any,
    ) -> None:
        self.told: list[Decision] = []
        #: The clocks of all members at each decision.
        self.told_at: list[dict[str, int]] = []
        self.noticed: list[str] = []
        self.gain = gain
        self.folder = folder
        self.rng = np.random.default_rng(seed)
        population = {"perturb_every": INTERVAL, **options.pop("population", {})}
        self.spec = make_spec(
            "ppo",
            "cartpole",
            scheduler=scheduler,
            trials=members,
            steps=steps,
            seed=seed,
            population=population,
            **options,
        )
        self.slots = slots
        context = SchedulerContext(
            self.spec, self._hear, slots, self.checkpoint_of, self.noticed.append
        )
        self.scheduler: Population = build(context)
        self.scheduler._has_room = True  # there is no controller whose actors could be kept
        searcher = build_searcher(self.spec)
        self.trials = [
            Trial(
                "ppo",
                trial_id=f"t{n:02d}",
                config=starting_point(self.spec, searcher, n),
                stub=True,
            )
            for n in range(members)
        ]
        for trial in self.trials:
            trial.custom_trial_name = trial.trial_id
            self.scheduler.on_trial_add(self, trial)
        self.clock = dict.fromkeys((t.trial_id for t in self.trials), 0)
        self.level = dict.fromkeys(self.clock, 0.0)
        self.saved: dict[str, float] = {}
        #: For each report: the clocks of all members that are not done, and of those that wait.
        self.history: list[tuple[dict[str, int], dict[str, int]]] = []

    def _hear(self, decisions: Sequence[Decision]) -> None:
        self.told.extend(decisions)
        self.told_at.extend(dict(self.clock) for _ in decisions)

    def checkpoint_of(self, trial_id: str) -> Path | None:
        path = self.folder / trial_id
        return path if path.exists() else None

    def stop_trial(self, trial: Trial) -> None:
        trial.set_status(Trial.TERMINATED)

    def run(self, reports: int = 10_000) -> Table:
        """Until every member is done or nobody may start."""
        for _ in range(reports):
            while (trial := self.scheduler.choose_trial_to_run(self)) is not None:
                self._start(trial)
            running = [trial for trial in self.trials if trial.status == Trial.RUNNING]
            if not running:
                break
            self.report(running[self.rng.integers(len(running))])
        return self

    def _start(self, trial: Trial) -> None:
        trial.set_status(Trial.RUNNING)
        donor = (trial.config.get("exploit") or {}).get("donor")
        if donor and self.told and self.told[-1].trial == trial.trial_id:
            self.level[trial.trial_id] = self.saved[donor]

    def report(self, trial: Trial, **more: Any) -> None:
        name = trial.trial_id
        self.clock[name] += REPORT
        self.level[name] += self.gain(name, self.clock[name], trial.config)
        live = [t for t in self.trials if not t.is_finished()]
        waiting = [t for t in live if t.status in (Trial.PENDING, Trial.PAUSED)]
        clocks = [
            {t.trial_id: self.clock[t.trial_id] for t in trials} for trials in (live, waiting)
        ]
        self.history.append((clocks[0], clocks[1]))
        result = {REWARD: self.level[name], TIME: self.clock[name], **more}
        if not np.isfinite(self.level[name]):
            result["diverged/what"] = "loss"
            del result[REWARD]
        if self.clock[name] >= self.spec.budget.steps:
            self.stop_trial(trial)
        elif self.scheduler.on_trial_result(self, trial, result) == self.scheduler.PAUSE:
            self._save(trial)
            trial.set_status(Trial.PAUSED)

    def _schedule_trial_save(self, trial: Trial, result: Mapping[str, Any]) -> None:
        self._save(trial)

    def _save(self, trial: Trial) -> None:
        path = self.folder / trial.trial_id
        path.mkdir(exist_ok=True)
        (path / "weights").write_text(str(self.level[trial.trial_id]))
        checkpoints.seal(path, "ppo")
        self.saved[trial.trial_id] = self.level[trial.trial_id]
        self.scheduler.saved(trial)
