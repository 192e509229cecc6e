"""The loop of a simulated sweep: the real schedulers, searchers and history, without Ray."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from rltune import schedulers, searchers
from rltune.errors import RltuneError
from rltune.runs.records import Decision, Report
from rltune.schedulers.base import Action, Change, Scheduler, SchedulerContext
from rltune.schedulers.population import Population
from rltune.searchers import Searcher, seeds
from rltune.searchers.history import History
from rltune.simulator.curves import Curves
from rltune.simulator.machine import Conditions, Machine
from rltune.simulator.result import Checkpoint, Improvement, SimulatedTrial, Simulation, Status
from rltune.simulator.store import CheckpointStore
from rltune.space import Space
from rltune.spec import RunSpec
from rltune.step_budget import StepBudget


class SimulatedSweep:
    """A sweep whose trials follow curves. It does what :mod:`rltune.sweeps` does with Tune.

    Args:
        curves: what trials report.
        scheduler: builds the scheduler; the one that ``spec`` names by default.
        searcher: builds the searcher, as above.
        mutable: settings that an exploit may change; None for all that are searched.

    Attributes:
        trials: those that were handed out, by name.
        decisions: of the scheduler, in their order.
        notices: what the scheduler wanted a person to know.
        stop_reason: why it ended; empty until then.
    """

    def __init__(
        self,
        spec: RunSpec,
        curves: Curves,
        conditions: Conditions,
        scheduler: Callable[[SchedulerContext], Scheduler] = schedulers.build,
        searcher: Callable[[RunSpec], Searcher] = searchers.build,
        mutable: Space | None = None,
    ) -> None:
        self.spec = spec
        self.machine = Machine(spec, curves, conditions)
        self.trials: dict[str, SimulatedTrial] = {}
        self.decisions: list[Decision] = []
        self.notices: list[str] = []
        self.improvements: list[Improvement] = []
        self.stop_reason = ""
        self.step_budget = StepBudget(
            spec.budget.total_steps, live=self._training, report=conditions.report_every
        )
        self.history = History(spec.former)
        self._store = CheckpointStore(spec.algo)
        self._build_scheduler, self._build_searcher = scheduler, searcher
        self._context = SchedulerContext(spec, self.checkpoint_of, self.notices.append, mutable)
        self.scheduler = self._built()
        self.searcher: Searcher = searcher(spec)

    def _built(self) -> Scheduler:
        scheduler = self._build_scheduler(self._context)
        return seeds.scheduled(scheduler, self.history, self.spec.budget)

    # The loop ---------------------------------------------------------------------------------

    def run(self, reports: int | None = None) -> Self:
        """Until the sweep is over; or for so many reports, failures included.

        Raises:
            RltuneError: the scheduler or the searcher breaks its contract.
        """
        limit = self.spec.budget.time_budget
        while not self.stop_reason and reports != 0:
            self._start_trials()
            if self.machine.is_idle and self.step_budget.is_used_up:
                self.stop_reason = "total_steps"
            elif self.machine.is_idle:
                self._check_everyone_ended()
                self.stop_reason = "steps"
            elif limit is not None and self.machine.next_at > limit:
                self.machine.seconds = limit
                self.stop_reason = "time_budget"
            else:
                self._next_report()
                reports = None if reports is None else reports - 1
        if self.stop_reason:
            self._close()
        return self

    def result(self) -> Simulation:
        """What it has come to so far."""
        return Simulation(
            spec=self.spec,
            trials=list(self.trials.values()),
            decisions=self.decisions,
            improvements=self.improvements,
            env_steps=self.machine.env_steps,
            seconds=self.machine.seconds,
            stop_reason=self.stop_reason,
            notices=self.notices,
        )

    def _start_trials(self) -> None:
        """Starts trials while a slot is free, as far as the scheduler lets any start."""
        while self.step_budget.has_room():
            free = not self.machine.is_full
            if free and self._more and not any(t.status == "pending" for t in self._all):
                self._hand_out()
            waiting = [trial.id for trial in self._all if trial.waits] if free else []
            turn = self.scheduler.choose(waiting)
            for change in turn.changes:
                self._apply(change)
            for name in turn.stops:
                self._stop_waiting(name)
            if turn.start is not None:
                if turn.start not in waiting or turn.start in turn.stops:
                    raise RltuneError(f"the scheduler starts {turn.start}, which does not wait")
                self._start(self.trials[turn.start])
            elif not turn.stops:
                return

    def _training(self) -> dict[str, bool]:
        return {t.id: t.status == "running" for t in self._all if not t.is_over}

    @property
    def _all(self) -> Iterable[SimulatedTrial]:
        return self.trials.values()

    @property
    def _more(self) -> bool:
        """Whether there are trials that were not handed out yet."""
        return not seeds.is_over(self.spec, self.history, len(self.trials))

    def _hand_out(self) -> None:
        """Makes a new trial, as late as possible: its searcher knows all that was reported."""
        name = f"t{len(self.trials):02d}"
        start = seeds.next_start(self.spec, self.searcher, self.history, len(self.trials))
        if start is None:
            return  # until more is known of those that run
        config = start.config
        searched = self._searched(config, "the searcher suggests")
        self.history.started(name, searched, config["seed"], start.setting)
        self.trials[name] = SimulatedTrial(name, searched, config)
        self.scheduler.added(name, config)

    def _searched(self, config: Mapping[str, Any], who: str) -> dict[str, Any]:
        """The searched settings of a configuration, which lie in the space."""
        values = {name: config.get(name) for name in self.spec.space}
        if not self.spec.space.contains(config):
            raise RltuneError(f"{who} {values}, which lies outside of the space")
        return values

    def _start(self, trial: SimulatedTrial) -> None:
        trial.status = "running"
        trial.weights = trial.restart.weights
        self.step_budget.started(trial.id)
        self.machine.train(trial)

    def _check_everyone_ended(self) -> None:
        if left := [trial.id for trial in self._all if not trial.is_over]:
            raise RltuneError(
                f"nothing runs, and the scheduler starts none of those that wait: {', '.join(left)}"
            )

    def _close(self) -> None:
        """Ends what still trains or waits when the sweep ends, and removes its checkpoints."""
        for trial in self._all:
            if not trial.is_over:
                trial.status = "ended"
        self._store.close()

    # Reports ----------------------------------------------------------------------------------

    def _next_report(self) -> None:
        trial, report = self.machine.next_report()
        if report is None:
            self.fail(trial)
            return
        self._improve(report)
        values: dict[str, Any] = dict(report.numbers)
        if report.diverged is not None:
            values["diverged/what"] = report.diverged.what
        self._decide(trial, values, report.env_steps - report.env_steps_this_iter)

    def _improve(self, report: Report) -> None:
        goal, best = self.spec.goal, self.improvements[-1:]
        score = goal.score_of(report.metrics)
        if score is not None and (not best or score > goal.score(best[0].score)):
            value = report.metrics[self.spec.metric]
            self.improvements.append(Improvement.of(report, value, self.machine.env_steps))

    def _decide(self, trial: SimulatedTrial, values: Mapping[str, Any], start: int) -> None:
        """What a trial does after a report: as its budget says, then the scheduler."""
        goal, budget = self.spec.goal, self.spec.budget
        self.step_budget.spent(trial.id, trial.env_steps - start, trial.env_steps)
        further = self.spec.further_scores(values)
        seconds = trial.reports[-1].train_seconds if budget.cost_aware else None
        self.history.reported(trial.id, trial.env_steps, goal.score_of(values), further, seconds)
        alone = budget.seeds_per_trial == 1
        reached = alone and goal.reaches(goal.of(values), budget.target)
        diverged = "diverged/what" in values
        lost = diverged and not isinstance(self.scheduler, Population)
        spent = not self.step_budget.has_room(trial.id)
        if reached or lost or spent or trial.env_steps >= budget.steps:
            self._end(trial, "failed" if diverged else "ended", values)
            reached |= not self._more and seeds.reached(self.spec, self.history)
            self.stop_reason = "target" if reached else ""
            return
        others_wait = self._more or any(other.waits for other in self._all)
        action = self.scheduler.reported(trial.id, values, others_wait)
        if action is Action.STOP:
            self._stop(trial, values)
            return
        every = self.machine.conditions.save_every
        due = every and trial.env_steps // every > start // every
        if action in (Action.SAVE, Action.PAUSE) or due:
            self.save(trial)
        if action is Action.PAUSE:
            trial.status = "paused"
        else:
            self.machine.train(trial)

    def save(self, trial: SimulatedTrial) -> None:
        """A trial writes a checkpoint."""
        trial.saved = trial.restart = Checkpoint(trial.env_steps, trial.weights)
        self.scheduler.saved(trial.id)

    def checkpoint_of(self, name: str) -> Path | None:
        """The last checkpoint that a trial wrote itself."""
        saved = self.trials[name].saved
        return None if saved is None else self._store.path(name, saved)

    # Decisions --------------------------------------------------------------------------------

    def _stop(self, trial: SimulatedTrial, report: Mapping[str, Any] | None) -> None:
        self.decisions.append(Decision(kind="stop", env_steps=trial.env_steps, trial=trial.id))
        self.history.stopped(trial.id)
        self._end(trial, "stopped", report)

    def _stop_waiting(self, name: str) -> None:
        if not self.trials[name].waits:
            raise RltuneError(f"the scheduler ends {name} as a waiting trial, which it is not")
        self._stop(self.trials[name], None)

    def _end(self, trial: SimulatedTrial, status: Status, report: Mapping[str, Any] | None) -> None:
        trial.status = status
        self.scheduler.ended(trial.id, report)
        self.history.ended(trial.id, failed=status == "failed")

    def _apply(self, change: Change) -> None:
        trial = self.trials[change.decision.trial]
        if not trial.waits:
            raise RltuneError(f"the scheduler changes {trial.id}, which does not wait")
        self._searched(change.settings, f"the scheduler changes {trial.id} to")
        # Without the place of a checkpoint, which is another one each time.
        trial.config = {k: v for k, v in change.settings.items() if k != "exploit"}
        if change.checkpoint is not None:
            weights = self._store.weights(change.checkpoint)
            trial.restart = Checkpoint(trial.restart.env_steps, weights)
        self.decisions.append(change.decision)

    # Trouble ----------------------------------------------------------------------------------

    def fail(self, trial: SimulatedTrial) -> None:
        """A running trial fails; it is tried again from its last checkpoint, or is lost."""
        self.machine.interrupt(trial)
        trial.failures += 1
        if trial.failures > self.spec.resources.max_failures:
            self._end(trial, "failed", None)
            return
        self.scheduler.ended(trial.id, None)
        trial.step_back()
        self.scheduler.added(trial.id, trial.config)

    def kill(self) -> None:
        """The sweep is killed and resumed: a new scheduler and searcher continue from its state.

        Trials go back to their last checkpoints; those that ran are first in line.
        """
        live = [trial for trial in self._all if not trial.is_over]
        live.sort(key=lambda trial: trial.status != "running")
        for trial in live:
            self.machine.interrupt(trial)
            trial.step_back()
        self.restart(live)

    def restart(self, live: Iterable[SimulatedTrial] | None = None) -> None:
        """Puts another scheduler and searcher in place of these, with what is saved of them."""
        saved, told = _through_json(self.scheduler), _through_json(self.history)
        self.history = History(self.spec.former)
        self.scheduler = self._built()
        self.scheduler.set_state(saved)
        self.searcher = self._build_searcher(self.spec)
        self.history.set_state(told)
        score_of, further = self.spec.goal.score_of, self.spec.further_scores
        for past in self.history.trials[len(self.spec.former) :]:
            reports = self.trials[past.id].reports
            past.scores = {report.env_steps: score_of(report.numbers) for report in reports}
            if self.spec.budget.cost_aware:
                past.spent = {report.env_steps: report.train_seconds for report in reports}
            if self.spec.objective:
                past.further = {report.env_steps: further(report.numbers) for report in reports}
        for trial in live or [trial for trial in self._all if not trial.is_over]:
            self.scheduler.added(trial.id, trial.config)


def _through_json(part: Scheduler | History) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(json.dumps(part.get_state()))
    return state
