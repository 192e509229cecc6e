"""Runs the first seconds of a sweep for real, and notes what they take."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from rltune.callbacks.base import Callback, Event, SweepStarted, TrialReported
from rltune.errors import BadInput, Interrupted
from rltune.live.prediction import FEWEST_REPORTS, Known
from rltune.live.progress import Member, Progress
from rltune.processes import machine
from rltune.runs.checkpoints import REPLAY_FILE
from rltune.runs.remote.location import is_url
from rltune.spec import JobSpec, RunSpec
from rltune.sweeps import runner
from rltune.sweeps.ray_adapter import driver

#: Factor by which measuring may take longer than asked for, until every trial has reported a few
#: times, and the seconds that it may take in any case.
PATIENCE, LEAST_PATIENCE = 6.0, 60.0
#: Seconds between two looks at the memory of the processes that train.
LOOK_EVERY = 0.5
#: Ray's own processes, by their titles.
_RAYS_OWN = ("ray::IDLE", "ray::DashboardAgent", "ray::RuntimeEnvAgent")


@dataclass(frozen=True)
class Measured:
    """What the first seconds of a sweep took.

    Attributes:
        spec: the request.
        known: its trials and reports, with the budget of the whole sweep.
        before: seconds from the start of this process to that of the sweep's clock.
        memory: bytes of all processes that train, at their peak; None where they are elsewhere.
        gpu_memory: the same of GPUs; None without any.
        trials: at a time.
        checkpoint: bytes of a trial's checkpoint without its replay buffer; ``replay``: of that.
        report: bytes that a report takes in the run folder.
        stepped: environment steps of all trials so far.
    """

    spec: RunSpec
    known: Known
    before: float
    memory: int | None
    gpu_memory: int | None
    trials: int
    checkpoint: int
    replay: int
    report: float
    stepped: int


def patience(seconds: float) -> float:
    """Seconds after which measuring ends, however few reports there are."""
    return max(LEAST_PATIENCE, PATIENCE * seconds)


def measure(spec: RunSpec, job: JobSpec, seconds: float) -> Measured:
    """Starts a sweep, lets its trials train for some seconds, and ends it; nothing is left of it.

    Raises:
        BadInput: no trial reported within :func:`patience`, or the request cannot be run.
        Interrupted: by the user.
        NothingUsable: every trial failed.
    """
    watch = _Watch(spec, job, seconds)
    local = spec.resources.address is None
    if not local and is_url(spec.storage):
        raise BadInput(
            f"storage {spec.storage}: a cluster's plan needs a folder that all its machines see, "
            "for as long as it measures"
        )
    if not local:  # the other machines of a cluster see the storage, and no folder of this one
        Path(spec.storage).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix="rltune-plan-", dir=None if local else spec.storage
    ) as folder:
        asked = replace(
            spec,
            budget=replace(spec.budget, target=None, time_budget=None),
            storage=folder,
            name="measured",
            callbacks=(),
            log=(),
            report=False,
        )
        try:
            with watch.memory.sampled(local):
                runner.run(asked, [watch], job)
        except (Interrupted, KeyboardInterrupt):
            if not watch.ended:
                raise
        finally:
            watch.end()
        if not watch.progress.seen:
            limit = patience(seconds)
            raise BadInput(
                f"no trial reported within {limit:g} s: measure longer, with --seconds {limit:g}"
            )
        return watch.measured(Path(folder) / "measured")


class _Watch(Callback):
    """Hears of the sweep, and interrupts it once enough is known."""

    def __init__(self, spec: RunSpec, job: JobSpec, seconds: float) -> None:
        self.progress = Progress(spec, job)
        self.memory = _Memory()
        self.ended = False
        self.before, self.trials = 0.0, 1
        self._spec, self._seconds = spec, seconds
        self._first: float | None = None
        self._latest = threading.Timer(patience(seconds), self.interrupt)
        self._latest.daemon = True

    def on_event(self, event: Event) -> None:
        """Notes it."""
        was = self.progress.phase.name
        self.progress.hear(event)
        if isinstance(event, SweepStarted):
            self.before = time.time() - psutil.Process().create_time()
        if was == "starting" and self.progress.phase.name == "training":
            self._latest.start()
        running = [m for m in self.progress.seen if m.state == "running"]
        self.trials = max(self.trials, len(running))
        if isinstance(event, TrialReported) and self._is_enough(running):
            self.interrupt()

    def _is_enough(self, running: list[Member]) -> bool:
        """Whether every trial that runs has reported a few times since it began to learn."""
        self._first = self._first or time.monotonic()
        if time.monotonic() - self._first < self._seconds:
            return False
        learning = [row for m in running for row in m.rows[1:] if row.env_steps > self._warm_up]
        return len(learning) >= max(FEWEST_REPORTS, len(running))

    @property
    def _warm_up(self) -> int:
        """Environment steps of a trial in which it learns nothing: they are faster."""
        return int(self._spec.settings.get("num_steps_sampled_before_learning_starts", 0))

    def interrupt(self) -> None:
        """Ends the sweep, as Ctrl-C does."""
        if not self.ended:
            self.ended = True
            os.kill(os.getpid(), signal.SIGINT)

    def end(self) -> None:
        """Nothing is interrupted from now on."""
        self.ended = True
        self._latest.cancel()

    def measured(self, folder: Path) -> Measured:
        """What was found, with what the run folder holds."""
        known, seen = self.progress.known(), self.progress.seen
        later = [work for work in known.work if not work.is_first] or known.work
        reports = sum(len(member.rows) for member in seen)
        checkpoints = [path.parent for path in folder.glob("trials/*/checkpoints/*/manifest.json")]
        replays = [_size(path / REPLAY_FILE) for path in checkpoints]
        files = [path for path in folder.glob("trials/*/*") if path.is_file()]
        return Measured(
            self._spec,
            replace(known, work=later),
            self.before,
            self.memory.peak,
            self.memory.gpu_peak,
            self.trials,
            max((sum(map(_size, path.iterdir())) for path in checkpoints), default=0)
            - max(replays, default=0),
            max(replays, default=0),
            sum(map(_size, files)) / reports,
            sum(member.last.env_steps for member in seen),
        )


class _Memory:
    """Memory of the processes that train, in bytes, without what they share.

    Attributes:
        peak: the most of all together so far; None before the first look.
        gpu_peak: the same of GPUs; None without any.
    """

    def __init__(self) -> None:
        self.peak: int | None = None
        self.gpu_peak: int | None = None
        self._gpu_before = machine.gpu_memory()
        self._over = threading.Event()

    @contextmanager
    def sampled(self, here: bool) -> Iterator[None]:
        """Looks at it now and then, where these processes are on this machine."""
        if not here:
            yield
            return
        thread = threading.Thread(target=self._look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _look(self) -> None:
        while not self._over.wait(LOOK_EVERY):
            held = 0
            for process in _workers():
                with suppress(psutil.Error):
                    held += process.memory_full_info().uss
            if held:
                self.peak = max(self.peak or 0, held)
            if self._gpu_before is not None and (now := machine.gpu_memory()) is not None:
                self.gpu_peak = max(self.gpu_peak or 0, now.used - self._gpu_before.used)


def _workers() -> list[psutil.Process]:
    """Processes below our own Ray that train or step environments."""
    found = []
    for pid in driver.raylets():
        with suppress(psutil.Error):
            found += psutil.Process(pid).children(recursive=True)
    return [process for process in found if _title(process).startswith("ray::")]


def _title(process: psutil.Process) -> str:
    try:
        title = (process.cmdline() or [""])[0]
    except psutil.Error:
        return ""
    return "" if title.startswith(_RAYS_OWN) else title


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
