"""A RunSpec -> ray.tune -> a run folder with its summary."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from rltune import schedulers
from rltune.callbacks.base import Callback, Callbacks, SweepStarted
from rltune.callbacks.given import CallbackLike, check_callbacks, make_callbacks
from rltune.callbacks.loggers.callback import checked, started
from rltune.callbacks.report_writer import ReportWriter
from rltune.callbacks.run_writer import RunWriter
from rltune.callbacks.tensorboard import TensorBoardWriter
from rltune.catalog import sources
from rltune.errors import BadInput, MachineError, RltuneError
from rltune.processes.watchdog import collect
from rltune.request import batches
from rltune.runs.folder import RunFolder, is_finished
from rltune.runs.records import Decision
from rltune.runs.storage_faults import guarded
from rltune.schedulers.base import SchedulerContext
from rltune.spec import JobSpec, RunSpec
from rltune.step_budget import StepBudget
from rltune.sweeps import ray_session
from rltune.sweeps.extension import extended, reopen
from rltune.sweeps.groups import run_groups
from rltune.sweeps.jobs import job_in, job_of
from rltune.sweeps.jobs.base import Job
from rltune.sweeps.open_decisions import OpenDecisions
from rltune.sweeps.ray_adapter.scheduler import BatchScheduler, TuneScheduler
from rltune.sweeps.signals import Signals
from rltune.sweeps.singles import run_singles
from rltune.sweeps.slots import Slots
from rltune.sweeps.stopping import SweepStopper
from rltune.sweeps.summary import finish, score_again
from rltune.sweeps.sweep_state import Stateful, SweepState
from rltune.sweeps.trial_events import Clock, TrialEvents
from rltune.sweeps.trial_source import TrialSource
from rltune.sweeps.trial_table import TrialTable
from rltune.sweeps.watch import watching
from rltune.tasks.resume import check_resumable

# isort: split
from ray.tune import TuneError

__all__ = ["extend", "resume", "run"]


def run(
    spec: RunSpec, callbacks: Sequence[Callback] = (), asked: JobSpec | None = None
) -> RunFolder:
    """Runs a sweep to its end and returns its folder.

    Args:
        callbacks: notified of the sweep, after the run folder's own writer, TensorBoard and those
            that the request names.
        asked: what is done with the trials; None for a sweep.

    Raises:
        BadInput: before anything starts.
        Interrupted: by SIGINT or SIGTERM; the run can be resumed.
        NothingUsable: no trial left a policy.
        MachineError: the storage or Ray failed.
    """
    check_callbacks([*spec.callbacks, *callbacks])
    with _alone(), started(spec.log) as logged:
        job = job_of(spec, asked or JobSpec())
        job.task.rehearse()
        made = [*make_callbacks([*spec.callbacks, *callbacks]), *checked(logged)]
        folder = RunFolder.create(spec, job.asked)
        with folder.releasing():
            try:
                with _notifying(spec, folder, made) as notified:
                    _sweep(job, folder, notified)
            except BaseException:
                folder.discard_unstarted()  # the name is free again
                raise
        return folder


def resume(
    folder: RunFolder,
    callbacks: Sequence[CallbackLike] = (),
    force: bool = False,
    address: str | None = None,
) -> RunFolder:
    """Continues a run that was stopped or killed, or whose scoring is not finished.

    A finished run is returned as it is.

    Args:
        callbacks: notified of this part of the run, beside those that its request names.
        force: continue although space, settings or environment are no longer what they were.
        address: of the Ray cluster to continue on; None for that of the run.

    Raises:
        BadInput: the run cannot be resumed, or another process works on it.
    """
    check_callbacks(callbacks)
    if is_finished(folder):
        folder.settle()
        return folder
    with _alone(), folder.held(), started(folder.spec.log) as logged:
        check_resumable(folder, force)
        if address not in (None, folder.spec.resources.address):
            resources = replace(folder.spec.resources, address=address)
            folder.change_request(replace(folder.spec, resources=resources))
            folder = RunFolder(folder.path)
        made = make_callbacks([*folder.spec.callbacks, *callbacks])
        _continue(folder, [*made, *checked(logged)])
        return folder


def extend(
    folder: RunFolder, changes: Mapping[str, Any], callbacks: Sequence[CallbackLike] = ()
) -> RunFolder:
    """Continues a finished sweep with a larger budget, with all that it knows.

    Args:
        changes: see :func:`rltune.sweeps.extension.extended`.
        callbacks: as for :func:`resume`.

    Raises:
        BadInput: before anything is changed.
        As :func:`run`.
    """
    check_callbacks(callbacks)
    with _alone(), folder.held(), started(folder.spec.log) as logged:
        spec = extended(folder, changes)
        check_resumable(folder)
        job_of(spec, folder.job)
        made = [*make_callbacks([*spec.callbacks, *callbacks]), *checked(logged)]
        folder = reopen(folder, spec)
        _continue(folder, made)
        return folder


def _continue(folder: RunFolder, callbacks: Sequence[Callback]) -> None:
    with _notifying(folder.spec, folder, callbacks) as notified:
        if told := sources.warning(folder.spec):
            notified.notice(told)
        if folder.summary is None:
            _sweep(job_in(folder), folder, notified)
        else:
            score_again(job_in(folder), folder, notified)


@contextmanager
def _notifying(spec: RunSpec, folder: RunFolder, others: Sequence[Callback]) -> Iterator[Callbacks]:
    """The one list of callbacks, notified of the start; closed in the end."""
    watching = [TensorBoardWriter(spec, folder), *([ReportWriter(folder)] if spec.report else [])]
    callbacks = Callbacks(RunWriter(spec, folder), [*watching, *others])
    with guarded(folder.path, f"continue with: rltune resume {folder.shown}"), _unwrapped():
        try:
            callbacks.notify(SweepStarted(spec, folder))
            yield callbacks
        finally:
            callbacks.close()


@contextmanager
def _unwrapped() -> Iterator[None]:
    """Raises what a callback of Tune's raised; Tune keeps no more than the text of it."""
    try:
        yield
    except TuneError as error:
        if isinstance(error.__context__, RltuneError | OSError):
            raise error.__context__ from None
        raise


_running = threading.Lock()


@contextmanager
def _alone() -> Iterator[None]:
    """Refuses a second sweep in this process: both would set its variables and its one Ray."""
    if not _running.acquire(blocking=False):
        raise BadInput(
            "this process runs a sweep already, in another thread: run the second one after it, or "
            "in a process of its own"
        )
    try:
        yield
    finally:
        _running.release()


def _sweep(job: Job, folder: RunFolder, callbacks: Callbacks) -> None:
    if job.task.notice:
        callbacks.notice(job.task.notice)
    trained = train(job, folder, callbacks)
    finish(
        job,
        folder,
        callbacks,
        trained.statuses,
        trained.reason,
        trained.wall_seconds,
        trained.slots,
        processes=trained.processes,
    )


@dataclass(frozen=True)
class Trained:
    """How the training of a sweep ended.

    Attributes:
        statuses: of every trial by its id.
        reason: why it ended.
        slots: trials at a time.
        processes: that held them, where they trained as batches.
    """

    statuses: dict[str, str]
    reason: str
    wall_seconds: float
    slots: int
    processes: int | None = None


def train(job: Job, folder: RunFolder, callbacks: Callbacks) -> Trained:
    """Runs the trials of a sweep that are left to run."""
    with Signals(callbacks, folder) as signals:
        return _train(job, folder, callbacks, signals)


def _train(job: Job, folder: RunFolder, callbacks: Callbacks, signals: Signals) -> Trained:
    spec = job.spec
    clock = Clock(folder.seconds_spent)
    trials = TrialTable(spec, folder, job.keeps_every_policy and job.task.evaluates)
    decisions = OpenDecisions(folder.decisions())
    budget = spec.budget
    if budget.seeds_per_trial > 1:
        budget = replace(budget, target=None)  # one seed at the target says little
    stopper = SweepStopper(
        budget,
        spec.goal,
        rescues=schedulers.row(spec.budget.scheduler).population,
        seconds_before=clock.seconds,
        first_wins=job.first_wins,
        step_budget=StepBudget(
            spec.budget.total_steps,
            folder.steps_spent,
            trials.training,
            job.task.steps_per_report,
            job.pauses(),
        ),
    )
    with (
        ray_session.ray_session(job.task, callbacks.notice) as slots,
        watching(spec.env_options.env_timeout, partial(_leave, signals)) as watch,
    ):
        context = SchedulerContext(spec, trials.checkpoint_of, callbacks.notice, job.task.mutable())
        scheduler = job.scheduler(context)
        parts: dict[str, Stateful] = {
            "scheduler": scheduler,
            "history": job.history,
            "ending": stopper,
            "recorder": decisions,
        }
        state = SweepState(folder, job.task.fingerprint(), trials, parts)
        state.restore()
        job.history.read_scores(folder)
        batched = batches.is_batched(spec)
        # A batch's processes are as many as at the start.
        room = Slots(slots, lambda: slots if batched else ray_session.slots_now(job.task))
        source = TrialSource(spec, job, trials, room, stopper.step_budget)
        processes = None

        def decided(new: Sequence[Decision]) -> None:
            decisions.add(new)
            for decision in new:
                if decision.kind == "stop":
                    job.history.stopped(decision.trial)
            if any(decision.kind == "exploit" for decision in new):
                state.decided(at_once=not batched)

        state.write()
        folder.sync(wait=True)  # numbers of checkpoints that were discarded come again
        signals.check()
        if not source.is_finished():
            events = TrialEvents(
                job.task,
                folder,
                callbacks,
                clock,
                stopper,
                scheduler,
                trials,
                decisions,
                state,
                watch,
            )
            if batched:
                processes = run_groups(
                    job,
                    folder,
                    source,
                    BatchScheduler(scheduler, room, decided, stopper.step_budget),
                    stopper,
                    events,
                    signals,
                )
            else:
                run_singles(
                    job,
                    folder,
                    source,
                    TuneScheduler(scheduler, room, decided, stopper.step_budget),
                    stopper,
                    events,
                    signals,
                )
        tidy(folder)
    if signals.interrupted:
        raise signals.interruption()
    if stopper.fatal is not None:
        raise stopper.fatal
    reason = "target" if job.reached_target else stopper.reason
    return Trained(trials.statuses, reason, clock.seconds, slots, processes)


def _leave(signals: Signals, seconds: float) -> None:
    """Ends the process: its cluster is gone. Ray would end it, too, without a word of the run."""
    signals.leave(
        f"the head of the Ray cluster has not answered for {seconds:.0f} s: it has ended, or the "
        "connection to it is cut. What the trials had saved is kept; ",
        "error",
        MachineError.exit_code,
    )


def tidy(folder: RunFolder) -> None:
    """Takes in what processes that were ended have left, and removes Tune's own state."""
    for trial in folder.trials():
        collect(folder.path / "trials" / trial)
    for file in folder.path.glob("trials/*.*"):
        file.unlink()
