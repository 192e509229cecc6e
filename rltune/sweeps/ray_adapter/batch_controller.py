"""Plays the part of Tune's controller for trials that train in groups, each group one process.

Tune gives every trial a process of its own. Here a trial is Tune's as ever, to the searcher, the
scheduler and the callbacks of a sweep, and has a seat in a group (see
:class:`rltune.algorithms.member_group.MemberGroup`), which trains all that sit in it as one batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.train._internal.checkpoint_manager import _TrainingResult
from ray.tune import Callback, Checkpoint, Stopper
from ray.tune.experiment import Experiment, Trial
from ray.tune.schedulers import TrialScheduler
from ray.tune.search.search_algorithm import SearchAlgorithm
from ray.tune.utils.util import flatten_dict

from rltune.algorithms.member_seats import Arrival
from rltune.errors import EnvironmentFailed
from rltune.processes.turns import blamed
from rltune.processes.watchdog import move
from rltune.sweeps.ray_adapter.losses import as_death, lacks_memory
from rltune.sweeps.ray_adapter.scheduler import WAITS, BatchScheduler
from rltune.sweeps.ray_adapter.seating import Group, Seating
from rltune.sweeps.ray_adapter.trials import last_saved

#: Seconds that a step waits for a group.
PATIENCE = 0.1
#: Seconds that a process gets to start in before those that idle make room for it.
START = 30.0


class BatchController:
    """Runs the trials of a sweep in groups.

    Args:
        experiment: as Tune describes what runs.
        source: of the trials.
        scheduler: decides about them.
        stopper: ends trials and the sweep.
        callbacks: notified as Tune notifies them.
        start: makes a group's process.
        seating: of trials in groups.
        reports: where processes leave reports of their end, each in a folder of its own.

    Attributes:
        trials: all that were ever made, or made again after a resume.
    """

    def __init__(
        self,
        experiment: Experiment,
        source: SearchAlgorithm,
        scheduler: BatchScheduler,
        stopper: Stopper,
        callbacks: Sequence[Callback],
        start: Callable[[], Any],
        seating: Seating,
        reports: Path,
    ) -> None:
        source.add_configurations([experiment])
        self._source = source
        self._scheduler = scheduler
        self._stopper = stopper
        self._callbacks = callbacks
        self._start = start
        self._seating = seating
        self._seatless: set[str] = set()
        self._reports = reports
        self._to_save: set[str] = set()
        self._iteration = 0
        self._interrupted = False
        self.trials: list[Trial] = []

    def interrupt(self, *_: Any) -> None:
        """Ends :meth:`run` after the step it is in."""
        self._interrupted = True

    def run(self) -> None:
        """Runs every trial to its end, or until the stopper or an interrupt ends all."""
        try:
            while not (self._interrupted or self._is_finished()):
                self._step()
                if self._stopper.stop_all():
                    self._source.set_finished()
                    break
        finally:
            for group in self._seating.groups:
                if group.process is not None:
                    ray.kill(group.process)
        if not self._interrupted:
            for trial in self._live():
                trial.set_status(Trial.TERMINATED)
            self._notify("on_step_end")

    def _step(self) -> None:
        self._take_new()
        self._seat_waiting()
        for group in self._seating.groups:
            if group.seats and group.training is None:
                self._train(group)
        # What was decided is saved while it trains: it has effect at its first report.
        self._notify("on_step_begin")
        self._collect()
        self._make_room()
        self._iteration += 1
        self._notify("on_step_end", waits=self._waits)

    def _make_room(self) -> None:
        """Ends processes that idle while another cannot start: a cluster may have shrunk."""
        starting = [each for each in self._seating.groups if each.process and not each.is_up]
        if any(time.monotonic() - each.since > START for each in starting):
            for group in self._seating.groups:
                if group.is_up and group.training is None and not group.seats:
                    ray.kill(group.process)
                    group.lose_process()

    @property
    def _waits(self) -> bool:
        """Whether nobody trains: no process has started yet of the groups that somebody sits in."""
        taken = [group for group in self._seating.groups if group.seats]
        return bool(taken) and not any(group.is_up for group in taken)

    def _is_finished(self) -> bool:
        return bool(self._source.is_finished()) and not self._live()

    def _live(self) -> list[Trial]:
        return [t for t in self.trials if t.status not in (Trial.TERMINATED, Trial.ERROR)]

    def _notify(self, event: str, **what: Any) -> None:
        for callback in self._callbacks:
            getattr(callback, event)(iteration=self._iteration, trials=self.trials, **what)

    # Seats -------------------------------------------------------------------------------------

    def _take_new(self) -> None:
        # Paused ones do not count, as in Tune: those of a population all begin.
        new = sum(trial.status == Trial.PENDING for trial in self.trials)
        while new <= self._seating.free:
            trial = self._source.next_trial()
            if trial is None:
                return
            self.trials.append(trial)
            new += trial.status == Trial.PENDING
            self._scheduler.on_trial_add(self, trial)

    def _seat_waiting(self) -> None:
        self._seatless.clear()
        self._seating.begin()
        while True:
            trial = self._scheduler.choose_trial_to_run(self)
            if trial is None:
                return
            self._seat(trial)

    def waiting(self) -> list[Trial]:
        """Trials that wait, but for those that have found no seat just now; none if all train."""
        if all(group.training is not None for group in self._seating.groups):
            return []
        found = [trial for trial in self.trials if trial.status in WAITS]
        return [trial for trial in found if trial.trial_id not in self._seatless]

    def _seat(self, trial: Trial) -> None:
        saved = last_saved(trial)
        wanted = None if saved is None else str(saved.path)
        waiting = (each for each in self.trials if each.status in WAITS)
        place = self._seating.find(trial, wanted, waiting)
        if place is None:
            self._seatless.add(trial.trial_id)
            return
        group, number = place
        source = next((seat for seat, held in group.held.items() if held == wanted), None)
        if number in group.leavers:
            group.leavers.remove(number)
        iteration = 0 if saved is None else int(saved.report["training_iteration"])
        group.arrivals.append(
            Arrival(number, trial.trial_id, trial.config, wanted, iteration, source)
        )
        group.seats[number] = trial
        # A run that an interrupt ends now is kept: a trial was started.
        Path(trial.storage.trial_fs_path).mkdir(parents=True, exist_ok=True)
        trial.set_status(Trial.RUNNING)

    # Training ----------------------------------------------------------------------------------

    def _train(self, group: Group) -> None:
        if group.process is None:
            group.process, group.since = self._start(), time.monotonic()
        # What those hold who train is no checkpoint's any more.
        group.held = {n: path for n, path in group.held.items() if n not in group.seats}
        seats = group.size if group.is_new else None
        group.training = group.process.train.remote(group.arrivals, group.leavers, seats)
        group.arrivals, group.leavers, group.is_new = [], [], False

    def _collect(self) -> None:
        working = {
            group.training: group for group in self._seating.groups if group.training is not None
        }
        if not working:
            time.sleep(PATIENCE / 10)
            return
        done, _ = ray.wait(list(working), num_returns=1, timeout=PATIENCE)
        for reference in done:
            group = working[reference]
            group.training = None
            try:
                results = ray.get(reference)
                group.is_up = True
                self._process(group, results)
            except RayError as error:
                self._fail(group, as_death(error))

    def _process(self, group: Group, results: Mapping[int, Any]) -> None:
        trials = dict(group.seats)
        failed = {n: found for n, found in results.items() if isinstance(found, Exception)}
        for number, error in failed.items():
            group.seats.pop(number)
            self._fail_trial(trials[number], error)
        reported = {n: found for n, found in results.items() if n not in failed}
        decisions = {n: self._decide(trials[n], result) for n, result in reported.items()}
        saved = {
            number: trials[number]
            for number, decision in decisions.items()
            if decision != TrialScheduler.CONTINUE
            or trials[number].should_checkpoint()
            or trials[number].trial_id in self._to_save
        }
        self._to_save.clear()
        places = self._places(saved)
        writing = group.process.save.remote(places) if places else None
        for number, result in reported.items():  # while checkpoints are written
            self._notify("on_trial_result", trial=trials[number], result=result)
        if writing is not None:
            ray.get(writing)
            self._saved(group, saved, places)
        for number, decision in decisions.items():
            if decision == TrialScheduler.STOP:
                self._complete(trials[number])
            elif decision == TrialScheduler.PAUSE:
                self._seating.leave(trials[number])
                trials[number].set_status(Trial.PAUSED)

    def _decide(self, trial: Trial, result: dict[str, Any]) -> str:
        """What Tune's ``_process_trial_result`` does with a report. Returns the decision."""
        result |= {"trial_id": trial.trial_id, "done": False}
        flat = flatten_dict(result)
        if self._stopper(trial.trial_id, result):
            decision: str = TrialScheduler.STOP
        else:
            decision = self._scheduler.on_trial_result(self, trial, flat)
        if decision == TrialScheduler.STOP:
            result["done"] = True
        else:
            self._source.on_trial_result(trial.trial_id, flat)
        trial.run_metadata.last_result = result
        return decision

    def save_after(self, trial: Trial) -> None:
        """Has a trial saved once its report has been processed."""
        self._to_save.add(trial.trial_id)

    def _places(self, trials: Mapping[int, Trial]) -> dict[int, str]:
        """The folders of the next checkpoints of trials, by seat."""
        places = {}
        for number, trial in trials.items():
            index = trial.storage.current_checkpoint_index + 1
            folder = Path(trial.storage.trial_fs_path) / "checkpoints" / f"checkpoint_{index:06d}"
            places[number] = str(folder)
        return places

    def _saved(self, group: Group, trials: Mapping[int, Trial], places: Mapping[int, str]) -> None:
        """Checkpoints of trials are on disk, whole."""
        for number, trial in trials.items():
            checkpoint = Checkpoint.from_directory(places[number])
            result = _TrainingResult(checkpoint=checkpoint, metrics=dict(trial.last_result))
            trial.on_checkpoint(result)
            self._notify("on_trial_save", trial=trial)
            group.held[number] = places[number]

    def _complete(self, trial: Trial) -> None:
        flat = flatten_dict(trial.last_result)
        self._scheduler.on_trial_complete(self, trial, flat)
        self._source.on_trial_complete(trial.trial_id, result=flat)
        self._notify("on_trial_complete", trial=trial)
        self._seating.leave(trial)
        trial.set_status(Trial.TERMINATED)

    def stop_trial(self, trial: Trial) -> None:
        """Ends a trial that waits."""
        self._scheduler.on_trial_remove(self, trial)
        self._source.on_trial_complete(trial.trial_id)
        self._notify("on_trial_complete", trial=trial)
        trial.set_status(Trial.TERMINATED)

    # Failures ----------------------------------------------------------------------------------

    def _fail(self, group: Group, error: Exception) -> None:
        """A group's process has failed, and with it every trial in it; they are tried again.

        Where a trial's environment has ended the process, that counts as a failure of that trial
        alone, and where smaller groups may fit in the memory, of none. Elsewhere it counts as one
        of each: they may be too many for the machine.
        """
        ray.kill(group.process)
        trials, guilty = list(group.seats.values()), self._guilty(group)
        too_large = lacks_memory(error) and self._shrink(group.size, error)
        group.lose_process()
        for trial in trials:
            if too_large:
                self._fail_trial(trial, error, charged=False, told=True)
            elif guilty in (None, trial):
                self._fail_trial(trial, error)
            else:
                told = f"the environment of {guilty} ended the process of their batch"
                self._fail_trial(trial, EnvironmentFailed(told), charged=False)

    def _shrink(self, size: int, error: Exception) -> bool:
        """Makes groups smaller than one that was too large. Returns whether that can help."""
        before = self._seating.size
        can_help = self._seating.shrink(size)
        if self._seating.size < before:
            sizes = size, self._seating.size
            self._notify("on_smaller_batches", sizes=sizes, error=error)
        return can_help

    def _guilty(self, group: Group) -> Trial | None:
        """The trial whose environment has ended a group's process."""
        folder = self._reports / group.process._actor_id.hex()
        seat = blamed(folder)
        guilty = None if seat is None else group.seats.get(seat)
        owner = guilty or next(iter(group.seats.values()))
        move(folder, Path(owner.storage.trial_fs_path))
        return guilty

    def _fail_trial(
        self, trial: Trial, error: Exception, charged: bool = True, told: bool = False
    ) -> None:
        """A trial has failed; it is tried again, unless it has been too often.

        Args:
            charged: whether the failure counts.
            told: whether a person has been told of it.
        """
        Path(trial.local_path).mkdir(parents=True, exist_ok=True)
        trial.handle_error(error)
        trial.run_metadata.num_failures -= not charged
        self._scheduler.on_trial_error(self, trial)
        if trial.should_recover():
            trial.set_status(Trial.PENDING)
            self.trials.remove(trial)
            self.trials.append(trial)
            self._scheduler.on_trial_add(self, trial)
            self._notify("on_trial_recover", trial=trial, told=told)
            return
        self._source.on_trial_complete(trial.trial_id, error=True)
        trial.set_status(Trial.ERROR)
        self._notify("on_trial_error", trial=trial)
