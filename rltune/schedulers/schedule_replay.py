"""Trials whose settings follow a schedule: the arms of a replay."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from rltune.runs.checkpoints import RECORD_FILE
from rltune.runs.json_text import loads
from rltune.schedulers.base import TIME, Decision, SchedulerContext
from rltune.schedulers.reuse_actors import ReuseActorsMixin

#: Searched settings, by name.
Settings = Mapping[str, Any]


class ScheduleReplay(ReuseActorsMixin, FIFOScheduler):
    """Every trial runs to its end, at the settings that its arm's schedule has for its age.

    At the first report at or past a change a trial is saved, and goes on from that checkpoint at
    the new settings. All arms pause where any of them changes: a pause cuts episodes and adds a
    checkpoint, and the arms shall differ in nothing but their settings.

    What is due follows from the age of the checkpoint that a trial goes on from, also after a
    resume or a failure: there is nothing to save.
    """

    def __init__(
        self, context: SchedulerContext, changes: Sequence[int], due: Callable[[int, int], Settings]
    ) -> None:
        super().__init__()
        self._context = context
        self._changes = changes
        self._due = due
        #: The checkpoint that a trial goes on from, and its age there.
        self._starts: dict[str, tuple[str, int]] = {}

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Pauses where a change is due."""
        _, since = self._starts.get(trial.trial_id, ("", 0))
        due = any(since < at <= result[TIME] for at in self._changes)
        return str(self.PAUSE if due else self.CONTINUE)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """One that paused goes on before another begins."""
        waiting = [
            trial
            for trial in tune_controller.get_trials()
            if trial.status in (Trial.PENDING, Trial.PAUSED)
        ]
        for trial in waiting:
            self._set_due(trial)
        waiting.sort(key=lambda trial: (trial.status != Trial.PAUSED, trial.trial_id))
        return next(iter(waiting), None)

    def _set_due(self, trial: Trial) -> None:
        """Sets what is due at the age of the checkpoint that a trial goes on from."""
        latest = trial.run_metadata.checkpoint_manager.latest_checkpoint_result
        path = "" if latest is None else latest.checkpoint.path
        if self._starts.get(trial.trial_id, ("", 0))[0] == path:
            return
        age = int(loads((Path(path) / RECORD_FILE).read_text())["env_steps"]) if path else 0
        self._starts[trial.trial_id] = (path, age)
        due = dict(self._due(int(trial.trial_id[1:]), age))
        if all(trial.config[name] == value for name, value in due.items()):
            return
        trial.set_config({**trial.config, **due})
        self._context.decided([Decision("change", str(trial), age, None, due)])

    def get_state(self) -> dict[str, Any]:
        """Nothing to keep."""
        return {}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Nothing was kept."""


def build(
    context: SchedulerContext, changes: Sequence[int], due: Callable[[int, int], Settings]
) -> ScheduleReplay:
    """The scheduler of a replay.

    Args:
        changes: environment steps at which any schedule changes, in rising order.
        due: the searched settings of trial number ``index`` at an age in environment steps.
    """
    return ScheduleReplay(context, changes, due)
