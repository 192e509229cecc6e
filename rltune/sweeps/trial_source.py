"""Hands Tune its trials: those of a saved state, then new ones of a searcher."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.search.search_algorithm import SearchAlgorithm

from rltune.schedulers import row
from rltune.schedulers.base import TIME
from rltune.spec import RunSpec
from rltune.step_budget import StepBudget
from rltune.sweeps.jobs.base import Job
from rltune.sweeps.ray_adapter.trials import TrialFactory, restore
from rltune.sweeps.trial_table import Entry, TrialTable


class TrialSource(SearchAlgorithm):
    """Tune's source of trials, named ``t00``, ``t01`` ...

    It is over when its trials are, and not when the last one is handed out: Tune ends a paused
    trial's process once the search is finished and nobody waits in line, and then every exploit
    in a population as large as its slots would start a process (ray 2.60,
    TuneController._maybe_cache_trial_actor). That can go together with
    :meth:`rltune.sweeps.ray_adapter.scheduler.TuneScheduler._keep_processes`.
    """

    def __init__(
        self,
        spec: RunSpec,
        job: Job,
        trials: TrialTable,
        slots: Callable[[], int],
        step_budget: StepBudget,
    ) -> None:
        self._spec = spec
        self._job = job
        self._history = job.history
        self._trials = trials
        self._slots = slots
        self._step_budget = step_budget
        self._pauses = row(spec.budget.scheduler).pauses is not None
        self._restored = sorted(trials.unfinished, key=_is_new)
        self._count = trials.handed_out
        self._running: set[str] = set()
        self._given_up = False

    def add_configurations(self, experiments: Any) -> None:
        """Tune's description of what runs."""
        (experiment,) = experiments
        self._factory = TrialFactory(experiment)

    @property
    def total_samples(self) -> int:
        """Trials of the whole sweep."""
        return self._spec.budget.most_trials

    def next_trial(self) -> Trial | None:
        """The next one; None while there is none to hand out.

        Tune asks ahead of time. Where no trial ever waits for others, a new one is made only for
        a free slot, so that its settings come from all that is known when it starts. Tune starts
        what it is given, and asks no scheduler: with no steps left for a report there is none.
        """
        if self._given_up or not self._step_budget.has_room():
            return None
        if self._restored:
            return self._again(self._restored.pop(0))
        if not self._pauses and len(self._running) >= self._slots():
            return None
        start = self._job.next_start(self._count)
        if start is None:
            return None
        name, config = f"t{self._count:02d}", dict(start.config)
        searched = {key: config[key] for key in self._spec.space}
        self._history.started(name, searched, config["seed"], start.setting)
        trial = self._make(name, config)
        self._count += 1
        self._step_budget.started(name)
        self._trials.added(trial)
        return trial

    def _make(self, name: str, config: dict[str, Any]) -> Trial:
        trial = self._factory.make(name, config)
        self._running.add(name)
        return trial

    def _again(self, entry: Entry) -> Trial:
        """A trial of before a resume, at its last checkpoint."""
        trial = self._make(entry.id, self._trials.config_of(entry))
        restore(
            trial,
            failures=entry.failures,
            report={"training_iteration": entry.training_iteration, TIME: entry.env_steps},
            checkpoint_index=entry.checkpoint_index,
            start=self._trials.start_of(entry),
        )
        if self._pauses and not _is_new(entry):
            trial.set_status(Trial.PAUSED)  # the scheduler says whose turn it is
        else:
            self._step_budget.started(trial.trial_id)
        self._trials.added(trial, entry)
        return trial

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """A trial reported and trains on."""
        score, further = self._spec.goal.score_of(result), self._spec.further_scores(result)
        # As the report holds them, from which a resume reads them.
        aware = self._spec.budget.cost_aware
        seconds = round(result["time_total_s"], 3) if aware else None
        self._history.reported(trial_id, result[TIME], score, further, seconds)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """One more has ended, perhaps while it waited for its next start."""
        self._running.discard(trial_id)
        if result and self._spec.goal.of(result) is not None:
            self.on_trial_result(trial_id, result)
        failed = error or "diverged/what" in (result or {})
        self._history.ended(trial_id, failed)

    def is_finished(self) -> bool:
        """Whether every trial has been handed out and has ended, or Tune ends the sweep."""
        if self._given_up:
            return True
        return not self._restored and not self._running and self._job.is_over(self._count)

    def set_finished(self) -> None:
        """Tune ends the sweep."""
        self._given_up = True


def _is_new(entry: Entry) -> bool:
    """Whether a trial waits for its first start: Tune asks for another one once it has begun."""
    return entry.status == Trial.PENDING and entry.checkpoint is None
