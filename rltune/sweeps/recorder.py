"""Writes a sweep into its run folder as Tune reports it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from torch.utils.tensorboard import SummaryWriter

from rltune.observer import Observer
from rltune.runs import RunFolder, rank
from rltune.schedulers import METRIC, TIME, Decision
from rltune.spec import Row, RunSpec
from rltune.sweeps.ending import Ending


class Recorder(Callback):
    """A Tune callback: progress, decisions, TensorBoard curves and the best checkpoint so far.

    Args:
        seconds_before: what earlier parts of a resumed run took.
    """

    def __init__(
        self,
        spec: RunSpec,
        folder: RunFolder,
        observer: Observer,
        ending: Ending,
        seconds_before: float = 0.0,
    ) -> None:
        self._spec = spec
        self._folder = folder
        self._observer = observer
        self._ending = ending
        self._started = time.monotonic() - seconds_before
        self._writers: dict[str, SummaryWriter] = {}
        self._open: dict[str, list[Decision]] = {}
        self._status: dict[str, str] = {}
        self._best = rank(folder.best_record)
        self.scheduler: Any = None

    @property
    def wall_seconds(self) -> float:
        """Since the sweep began, resumed parts added up."""
        return time.monotonic() - self._started

    def decided(self, decision: Decision) -> None:
        """Hears of a decision; an exploit is written once its effect has been read back."""
        if decision.kind == "exploit":
            self._open.setdefault(decision.trial, []).append(decision)
        else:
            self._write_decision(decision, {})

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any
    ) -> None:
        """A report: a row, a point on each curve, and the end of an open decision."""
        settings = {name: result["settings"].get(name) for name in self._spec.space}
        self._close_decisions(trial, settings)
        row = Row(
            trial=str(trial),
            training_iteration=result["training_iteration"],
            env_steps=result[TIME],
            env_steps_this_iter=result["env_steps_this_iter"],
            wall_seconds=round(self.wall_seconds, 3),
            episode_reward_mean=result.get(METRIC),
            settings=settings,
        )
        self._folder.append_row(row)
        self._draw(row)
        self._observer.reported(row)
        self._tell_statuses(trials)

    def on_checkpoint(
        self, iteration: int, trials: list[Any], trial: Any, checkpoint: Any, **_: Any
    ) -> None:
        """Keeps the best checkpoint so far, so that a killed sweep has it too."""
        path = Path(checkpoint.path)
        place = rank(self._folder.record(path))
        if place > self._best:
            self._best = place
            self._folder.keep_best(path, str(trial))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Its last checkpoint is written by now."""
        others_run = any(t.status == Trial.RUNNING for t in trials if t is not trial)
        self._ending.final_saved |= self._ending.reached == trial.trial_id or (
            self._ending.out_of_time and not others_run
        )
        self._tell_statuses(trials)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Keeps the traceback in the trial's folder, while Ray still has it."""
        text = Path(trial.error_file).read_text(encoding="utf-8") if trial.error_file else ""
        self._folder.write_text(f"trials/{trial}/error.txt", text)
        self._tell_statuses(trials)

    def on_experiment_end(self, trials: list[Any], **_: Any) -> None:
        """Closes the event files."""
        for writer in self._writers.values():
            writer.close()

    def get_state(self) -> dict[str, Any] | None:
        """Saved by Tune with each snapshot: what a resume needs beyond the run folder."""
        if hasattr(self.scheduler, "get_state"):
            return {"scheduler": self.scheduler.get_state()}
        return None

    def set_state(self, state: dict[str, Any]) -> None:
        """Called by Tune on a resume."""
        self.scheduler.set_state(state["scheduler"])

    def _tell_statuses(self, trials: list[Any]) -> None:
        for trial in trials:
            name = str(trial)
            if self._status.get(name) != trial.status:
                self._status[name] = trial.status
                self._observer.status(name, trial.status)

    def _close_decisions(self, trial: Any, effective: dict[str, Any]) -> None:
        """Writes the exploits that this report is the first one after.

        A report that leads to an exploit comes here with the exploit already decided and the
        trial paused for it: that one waits for the next report.
        """
        waiting = self._open.pop(str(trial), [])
        if trial.status == Trial.PAUSED and waiting:
            self._open[str(trial)] = [waiting.pop()]
        for decision in waiting:
            self._write_decision(decision, effective)

    def _write_decision(self, decision: Decision, effective: dict[str, Any]) -> None:
        line = {
            "kind": decision.kind,
            "env_steps": decision.env_steps,
            "trial": decision.trial,
            "donor": decision.donor,
            "requested": decision.requested,
            "effective": effective,
        }
        self._folder.append_decision(line)
        self._observer.decided(line)

    def _draw(self, row: Row) -> None:
        writer = self._writers.get(row.trial)
        if writer is None:
            writer = SummaryWriter(str(self._folder.path / "trials" / row.trial))
            self._writers[row.trial] = writer
        if row.episode_reward_mean is not None:
            writer.add_scalar(METRIC, row.episode_reward_mean, row.env_steps)
        for name, value in row.settings.items():
            parameter = self._spec.space[name]
            # An option of a choice is drawn as its place in the list.
            height = value if isinstance(value, int | float) else parameter.domain().index(value)
            writer.add_scalar(f"hyperparameters/{name}", height, row.env_steps)
        writer.flush()
