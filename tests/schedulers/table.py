"""Sweeps whose returns stand in a table: they drive a scheduler by its contract, without Ray."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rltune.request.resolve import make_spec
from rltune.runs import checkpoints
from rltune.runs.records import Decision
from rltune.schedulers import build
from rltune.schedulers.base import TIME, Action, SchedulerContext
from rltune.searchers import build as build_searcher
from rltune.searchers import starting_point
from rltune.searchers.history import History
from rltune.tasks.rl import RLTask

REPORT = 250
INTERVAL = 1_000
WAITS = ("PENDING", "PAUSED")


@dataclass
class Trial:
    """A trial; its ``start`` is the return that comes with the weights of its next start."""

    trial_id: str
    config: Mapping[str, Any]
    status: str = "PENDING"
    start: float = 0.0

    @property
    def ended(self) -> bool:
        return self.status == "TERMINATED"


class Table:
    """Runs trials over a function that gives each trial's next return.

    Args:
        gain: of a trial's name, its clock and its settings: what a report adds to its return.
        save_every: reports between two checkpoints that the scheduler does not ask for; 0: none.
        late: hands a trial to the scheduler when no other new one waits, as Tune does.
    """

    def __init__(
        self,
        folder: Path,
        gain: Callable[[str, int, Mapping[str, Any]], float],
        scheduler: str = "pbt",
        members: int = 4,
        slots: int = 2,
        steps: int = 6_000,
        seed: int = 0,
        save_every: int = 0,
        late: bool = False,
        **options: Any,
    ) -> None:
        self.told: list[Decision] = []
        #: The clocks of all members at each decision.
        self.told_at: list[dict[str, int]] = []
        self.noticed: list[str] = []
        self.gain = gain
        self.folder = folder
        self.save_every = save_every
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
        mutable = RLTask(self.spec).mutable()
        context = SchedulerContext(self.spec, self.checkpoint_of, self.noticed.append, mutable)
        self.scheduler = self.build(context)
        searcher = build_searcher(self.spec)
        self.trials = [
            Trial(f"t{n:02d}", starting_point(self.spec, searcher, n, History()))
            for n in range(members)
        ]
        self.by_name = {trial.trial_id: trial for trial in self.trials}
        self.coming = list(self.trials)
        while self.coming and not late:
            self._hand_out()
        self.clock = dict.fromkeys(self.by_name, 0)
        self.level = dict.fromkeys(self.by_name, 0.0)
        #: For each report: the clocks of all members that are not done, and of those that wait.
        self.history: list[tuple[dict[str, int], dict[str, int]]] = []

    def build(self, context: SchedulerContext) -> Any:
        return build(context)

    def checkpoint_of(self, name: str) -> Path | None:
        path = self.folder / name
        return path if path.exists() else None

    def run(self, reports: int = 10_000) -> Table:
        """Until every member is done or nobody may start."""
        for _ in range(reports):
            while (trial := self._choose()) is not None:
                self._start(trial)
            running = [trial for trial in self.trials if trial.status == "RUNNING"]
            if not running:
                break
            self.report(running[self.rng.integers(len(running))])
        return self

    def _hand_out(self) -> None:
        trial = self.coming.pop(0)
        self.scheduler.added(trial.trial_id, trial.config)

    def _choose(self) -> Trial | None:
        new = [t for t in self.trials if t.status == "PENDING" and t not in self.coming]
        if self.coming and not new:
            self._hand_out()
        running = sum(trial.status == "RUNNING" for trial in self.trials)
        there = [trial for trial in self.trials if trial not in self.coming]
        waiting = [trial.trial_id for trial in there if trial.status in WAITS]
        turn = self.scheduler.choose(waiting if running < self.slots else [])
        for change in turn.changes:
            trial = self.by_name[change.decision.trial]
            trial.config = change.settings
            if change.checkpoint is not None:
                trial.start = float((change.checkpoint / "weights").read_text())
            self._hear(change.decision)
        for name in turn.stops:
            self._hear(Decision(kind="stop", env_steps=self.clock[name], trial=name))
            self._end(self.by_name[name], None)
        return None if turn.start is None else self.by_name[turn.start]

    def _hear(self, decision: Decision) -> None:
        self.told.append(decision)
        self.told_at.append(dict(self.clock))

    def _start(self, trial: Trial) -> None:
        trial.status = "RUNNING"
        self.level[trial.trial_id] = trial.start

    def _end(self, trial: Trial, report: Mapping[str, Any] | None) -> None:
        trial.status = "TERMINATED"
        self.scheduler.ended(trial.trial_id, report)

    def report(self, trial: Trial) -> None:
        name = trial.trial_id
        self.clock[name] += REPORT
        self.level[name] += self.gain(name, self.clock[name], trial.config)
        live = [t for t in self.trials if not t.ended]
        waiting = [t for t in live if t.status in WAITS]
        clocks = [
            {t.trial_id: self.clock[t.trial_id] for t in trials} for trials in (live, waiting)
        ]
        self.history.append((clocks[0], clocks[1]))
        result = {self.spec.metric: self.level[name], TIME: self.clock[name]}
        if not np.isfinite(self.level[name]):
            result["diverged/what"] = "loss"
            del result[self.spec.metric]
        if self.clock[name] >= self.spec.budget.steps:
            self._end(trial, result)
        else:
            action = self.scheduler.reported(name, result, others_wait=bool(waiting))
            self._act(trial, result, action)

    def _act(self, trial: Trial, result: Mapping[str, Any], action: Action) -> None:
        name = trial.trial_id
        if action is Action.STOP:
            self._hear(Decision(kind="stop", env_steps=self.clock[name], trial=name))
            self._end(trial, result)
            return
        due = self.save_every and self.clock[name] // REPORT % self.save_every == 0
        if action in (Action.SAVE, Action.PAUSE) or due:
            self._save(trial)
        if action is Action.PAUSE:
            trial.status = "PAUSED"

    def _save(self, trial: Trial) -> None:
        path = self.folder / trial.trial_id
        path.mkdir(exist_ok=True)
        (path / "weights").write_text(str(self.level[trial.trial_id]))
        record = {"env_steps": self.clock[trial.trial_id]}
        (path / checkpoints.RECORD_FILE).write_text(json.dumps(record))
        checkpoints.seal(path, "ppo")
        trial.start = self.level[trial.trial_id]
        self.scheduler.saved(trial.trial_id)

    def fail(self, trial: Trial) -> None:
        """The trial's process dies; it is tried again from its last checkpoint."""
        self.scheduler.ended(trial.trial_id, None)
        self._step_back(trial, "PENDING")
        self.scheduler.added(trial.trial_id, trial.config)

    def kill(self) -> None:
        """The sweep dies and is resumed: trials from their checkpoints, those that ran first."""
        live = [t for t in self.trials if not t.ended and t not in self.coming]
        live.sort(key=lambda trial: trial.status != "RUNNING")
        for trial in live:
            self._step_back(trial, "PAUSED" if self.checkpoint_of(trial.trial_id) else "PENDING")
        self.restore(live)

    def restore(self, live: Sequence[Trial] | None = None) -> None:
        """Puts another scheduler, with the state that this one has, in its place."""
        saved = json.loads(json.dumps(self.scheduler.get_state()))
        # Of another seed: random draws must follow from the state alone.
        spec = replace(self.spec, seed=self.spec.seed + 99)
        mutable = RLTask(spec).mutable()
        context = SchedulerContext(spec, self.checkpoint_of, self.noticed.append, mutable)
        self.scheduler = self.build(context)
        self.scheduler.set_state(saved)
        there = [t for t in self.trials if not t.ended and t not in self.coming]
        for trial in there if live is None else live:
            self.scheduler.added(trial.trial_id, trial.config)

    def _step_back(self, trial: Trial, status: str) -> None:
        """To what the trial has saved: its own clock, and the weights it has or takes."""
        path = self.checkpoint_of(trial.trial_id)
        record = {"env_steps": 0}
        if path is not None:
            record = json.loads((path / checkpoints.RECORD_FILE).read_text())
        self.clock[trial.trial_id] = record["env_steps"]
        trial.status = status
