"""The run folder: made, appended to, read back. No Ray.

It is the interface between what trains and what reports: everything known of a run is in here.
"""

from __future__ import annotations

import math
import os
import shlex
import shutil
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from filelock import FileLock, Timeout

from rltune.catalog.algorithms import request_problems
from rltune.environments import Environment
from rltune.errors import BadInput, MachineError
from rltune.metric import Metric
from rltune.runs import checkpoints, signatures
from rltune.runs.checkpoints import RECORD_FILE
from rltune.runs.json_text import dumps
from rltune.runs.names import check_name, number_of
from rltune.runs.record_files import TABLE, RecordFiles, log
from rltune.runs.records import CheckpointRecord, Decision, Diverged, Failure, Phase, Report
from rltune.runs.remote import location
from rltune.runs.remote.copy import copy_at
from rltune.runs.remote.tree import HEAD
from rltune.runs.storage_faults import guarded
from rltune.runs.summary_record import Summary
from rltune.spec import JobSpec, RunSpec

if sys.platform != "win32":
    import fcntl

#: The checkpoint of the best trial, in the run folder.
BEST = "best/checkpoint"


def rank(record: CheckpointRecord | None, goal: Metric) -> tuple[bool, float, int]:
    """Orders checkpoints by their own record: a full window first, then metric, then steps."""
    if record is None or not record.means or record.diverged:
        return (False, -math.inf, -1)
    value = goal.of(record.means)
    score = -math.inf if value is None else goal.score(value)
    return (len(record.episode_returns) >= record.window, score, record.env_steps)


def is_finished(folder: RunFolder) -> bool:
    """Whether a run has ended, and all that can be scored is."""
    summary = folder.summary
    return summary is not None and not summary.can_be_finished


def _unwritable(spec: RunSpec, error: OSError) -> MachineError:
    return MachineError(
        f"storage {spec.storage} cannot be written: {error.strerror or error}. "
        "Choose another `storage`."
    )


class RunFolder(RecordFiles):
    """``<storage>/<name>/``.

    Attributes:
        path: absolute.
        best_policy: the folder of the best policy.
        remote: the object store that the folder is a working copy of; None for a folder that is
            the run itself.

    Args:
        path: the folder, or the URL of a run, whose working copy is meant.
        request: what it is read as; None for what its run.json holds.
        best: the folder of the best policy.
    """

    def __init__(
        self,
        path: Path | str,
        request: tuple[RunSpec, JobSpec] | None = None,
        best: str = BEST,
    ) -> None:
        super().__init__(location.local(path))
        self._read_as = request
        self.best_policy = self.path / best
        self.remote = copy_at(self.path)
        # A moment, in which another process may look whether the folder is held.
        self.lock = FileLock(self.path / ".lock", timeout=0.2)
        self._made = self._made_storage = False

    def _is_there(self) -> bool:
        """Also where a process has made the folder again that another has removed."""
        return self.has("run.json") or not any(self.path.glob("trials/*"))

    # Making ------------------------------------------------------------------------------------

    @classmethod
    def create(cls, spec: RunSpec, job: JobSpec | None = None) -> RunFolder:
        """Makes the folder, locks it and writes run.json, before anything starts.

        Args:
            job: what is done with the trials; None for a sweep.

        Raises:
            BadInput: the name is taken.
            MachineError: the storage cannot be written.
        """
        check_name(spec.name)
        folder = cls.of(spec)
        storage_is_new = not folder.path.parent.exists()
        try:
            folder._make()
            folder._made, folder._made_storage = True, storage_is_new
            folder.acquire()
            folder.write("run.json", {**spec.to_dict(), **(job or JobSpec()).to_dict()})
            signatures.sign_file(folder.path / "run.json")
            folder.sync(wait=True)
        except FileExistsError as error:
            raise folder._taken() from error
        except OSError as error:
            raise _unwritable(spec, error) from error
        return folder

    @classmethod
    def of(cls, spec: RunSpec) -> RunFolder:
        """Where a run lies, or will lie."""
        return cls(f"{spec.storage}/{spec.name}")

    def _make(self) -> None:
        """Makes the folder. Raises FileExistsError where it is there already."""
        if self.remote is None:
            self.path.mkdir(parents=True)
        elif not self.remote.is_free():
            raise FileExistsError(self.path)
        else:
            self.remote.make()

    @classmethod
    def check_free(cls, spec: RunSpec) -> None:
        """Checks that :meth:`create` would work, and leaves nothing behind.

        Raises:
            As :meth:`create`.
        """
        check_name(spec.name)
        folder = cls.of(spec)
        try:
            if folder.remote is not None:
                folder.remote.store.check()
                if not folder.remote.is_free():
                    raise folder._taken()
                return
            if folder.path.exists():
                raise folder._taken()
            there = next(path for path in folder.path.parents if path.exists())
            with TemporaryDirectory(dir=there, prefix=".rltune-"):
                pass
        except OSError as error:
            raise _unwritable(spec, error) from error

    def change_request(self, spec: RunSpec) -> None:
        """Writes run.json again; a folder of this user's own stays signed as such."""
        own = signatures.is_signed_file(self.path / "run.json")
        self.write("run.json", {**spec.to_dict(), **self.job.to_dict()})
        if own:
            signatures.sign_file(self.path / "run.json")

    def acquire(self) -> None:
        """Holds the folder for this process; the lock of a dead process is free.

        Raises:
            BadInput: another process works in it.
        """
        try:
            self.lock.acquire()
            if self.remote is not None:
                self.remote.hold()
        except Timeout as error:
            raise self._in_use() from error
        except BaseException:
            self.lock.release()
            raise

    @contextmanager
    def held(self) -> Iterator[None]:
        """Holds the folder for this process, see :meth:`acquire`."""
        self.acquire()
        with self.releasing():
            yield

    @contextmanager
    def releasing(self) -> Iterator[None]:
        """Leaves the folder, which this process holds, to others at the exit.

        Raises:
            MachineError: what is new could not be sent to the store that the folder is a copy of.
        """
        try:
            yield
        except BaseException:
            with suppress(MachineError):
                self._release()
            raise
        else:
            self._release()
        finally:
            self.lock.release()

    def _release(self) -> None:
        if self.remote is not None:
            with guarded(self.path, f"continue with: rltune resume {self.shown}"):
                self.remote.release()

    def settle(self) -> None:
        """Sends what a process here could not send to the store before it ended, if there is any.

        Raises:
            As :meth:`held`.
        """
        if self.remote is not None and self.remote.is_unsent:
            with self.held():
                pass

    def sync(self, wait: bool = False) -> None:
        """Has what is new sent to the store that the folder is a copy of, if it is one.

        Args:
            wait: until it is there; else some of it may be sent later.

        Raises:
            OSError: the store has not taken it for minutes.
            MachineError: another process works on the run there.
        """
        if self.remote is not None and wait:
            self.remote.flush()
        elif self.remote is not None:
            self.remote.sync()

    def send(self, *names: str) -> None:
        """Sends files that were written into a run that no sweep holds. See :meth:`sync`."""
        if self.remote is not None:
            self.remote.send(*names)

    @property
    def is_held(self) -> bool | None:
        """Whether a process works in the folder; None where the storage does not tell."""
        here = self._is_locked()
        return self.remote.is_held if self.remote is not None and not here else here

    def _is_locked(self) -> bool | None:
        if sys.platform == "win32":
            return None
        try:
            file = os.open(self.path / ".lock", os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return None
        finally:
            os.close(file)
        return False

    def _in_use(self) -> BadInput:
        return BadInput(
            f"run {self.place} is in use by another rltune process. Wait for it, or give this one "
            "another `name`."
        )

    def _taken(self) -> BadInput:
        if self.is_held:
            return self._in_use()
        is_run = self.has("run.json") if self.remote is None else self.remote.exists()
        advice = f"Go on with it: rltune resume {self.shown}" if is_run else "Remove it"
        return BadInput(f"run {self.place} exists already. {advice}, or choose another `name`.")

    # Appending ---------------------------------------------------------------------------------

    def append_report(self, row: Report) -> None:
        """Adds a report to its trial's progress.jsonl."""
        self.append(f"trials/{row.trial}/progress.jsonl", row.to_dict())

    def append_decision(self, decision: Decision) -> None:
        """Adds a line to decisions.jsonl."""
        self.append("decisions.jsonl", decision.to_dict())

    def append_failure(self, trial: str, failure: Failure) -> None:
        """Adds a failure to its trial's failures.jsonl."""
        self.append(f"trials/{trial}/failures.jsonl", failure.to_dict())

    def append_event(self, trial: str, event: Mapping[str, Any]) -> None:
        """Adds what happened in a trial, short of a failure, to its events.jsonl."""
        self.append(f"trials/{trial}/events.jsonl", event)

    def append_phase(self, phase: Phase) -> None:
        """Adds a line to phases.jsonl."""
        self.append("phases.jsonl", phase.to_dict())

    def discard_reports(self, trial: str, after: int) -> None:
        """Moves the reports past a trial's checkpoint to discarded.jsonl: they come again.

        Args:
            after: environment steps at the checkpoint.
        """
        rows = self.reports(trial)
        lost = [row for row in rows if row.env_steps > after]
        known = self.discarded(trial)
        for row in lost:
            if row not in known:  # a crash in here must not count them twice
                self.append(f"trials/{trial}/discarded.jsonl", row.to_dict())
        kept = "".join(dumps(row.to_dict()) + "\n" for row in rows if row.env_steps <= after)
        if (self.path / f"trials/{trial}/progress.jsonl").exists():
            self.write_text(f"trials/{trial}/progress.jsonl", kept)

    def discard_checkpoints(self, trial: str, after: int) -> None:
        """Removes checkpoints past a number: they were being written when the sweep was killed."""
        for path in self.path.glob(f"trials/{trial}/checkpoints/checkpoint_*"):
            if int(path.name.rpartition("_")[2]) > after:
                shutil.rmtree(path)

    def write_summary(self, summary: Summary) -> None:
        """Writes summary.json, whole or not at all."""
        self.write("summary.json", summary.to_dict())

    def keep_best(self, checkpoint: Path, trial: str) -> None:
        """Copies a trial's checkpoint to best/; the one before stays until the copy is whole."""
        if self.remote is not None:
            checkpoints.complete(checkpoint)
        best = self.path / BEST
        new, old = best.with_name(".new"), best.with_name(".old")
        shutil.rmtree(new, ignore_errors=True)
        shutil.copytree(checkpoint, new)
        replace(self.record(new), trial=trial).write(new)
        checkpoints.seal(new, self.spec.algo, signed=checkpoints.is_signed(checkpoint))
        if best.exists():
            best.rename(old)
        new.rename(best)
        shutil.rmtree(old, ignore_errors=True)

    @property
    def is_worth_keeping(self) -> bool:
        """Whether it was there before, or a trial was started."""
        return not self._made or any(path.is_dir() for path in self.path.glob("trials/*"))

    def discard_unstarted(self) -> None:
        """Removes a folder made here, and a storage made for it, unless a trial was started."""
        if self.is_worth_keeping:
            return
        if self.remote is not None:
            self.remote.discard()
            return
        shutil.rmtree(self.path, ignore_errors=True)
        if self._made_storage:
            with suppress(OSError):  # another run is in it by now
                self.path.parent.rmdir()

    # Reading -----------------------------------------------------------------------------------

    @classmethod
    def open(cls, path: Path | str) -> RunFolder:
        """A run that exists. That of a URL is fetched, as far as its records go.

        Raises:
            BadInput: the path is no run folder.
            MachineError: the store of a URL does not answer.
        """
        folder = cls(path)
        folder.fetch()
        if not folder.has("run.json"):
            place = path if folder.remote is None else folder.place
            raise BadInput(f"{place} is no run folder: it has no run.json. See `rltune list runs`.")
        return folder

    def fetch(self) -> None:
        """Brings the records of a run in a store up to date here; without effect on others."""
        if self.remote is not None:
            self.remote.fetch()

    def refresh(self) -> None:
        """:meth:`fetch` now and then, for somebody who follows a run."""
        if self.remote is not None:
            self.remote.refresh()

    @property
    def place(self) -> str:
        """Where the run lies, in full: a path, or a URL."""
        return str(self.path) if self.remote is None else self.remote.url

    def inside(self, name: str) -> Path:
        """The path of a file or folder of the run that one of its own files names.

        Raises:
            BadInput: it leads out of the run folder.
        """
        path = (self.path / name).resolve()
        if not path.is_relative_to(self.path):
            raise BadInput(f"{self.shown} speaks of {name!r}, which leads out of the run folder")
        return self.path / name

    @property
    def relative(self) -> str:
        """The path from here, where it lies below; of a run in a store, its URL."""
        if self.remote is not None:
            return self.remote.url
        cwd = Path.cwd()
        return str(self.path.relative_to(cwd) if self.path.is_relative_to(cwd) else self.path)

    @property
    def shown(self) -> str:
        """The path as a person would type it from here, quoted for a shell where it must be."""
        return shlex.quote(self.relative)

    @property
    def spec(self) -> RunSpec:
        """What was asked for, at the place where the folder lies now.

        Raises:
            BadInput: run.json is damaged, or a setting is none of its algorithm's, or out of range.
        """
        return self._request[0]

    def alone(self, environment: Environment) -> RunFolder:
        """The same folder, read as that of a run in one of its environments."""
        request = self.spec.alone(environment), self.job
        return RunFolder(self.path, request, f"{BEST}/{environment.name}")

    @property
    def job(self) -> JobSpec:
        """What is done with the trials. Raises BadInput as :attr:`spec` does."""
        return self._request[1]

    @cached_property
    def _request(self) -> tuple[RunSpec, JobSpec]:
        """What run.json holds: it is written once, and so it is read once."""
        if self._read_as is not None:
            return self._read_as
        values, problems = self.contents("run.json", RunSpec, TABLE), []
        try:
            spec, job = RunSpec.from_dict(values), JobSpec.from_dict(values)
            problems = request_problems(spec, job)
        except BadInput as error:
            problems = error.problems
        if problems:
            raise BadInput([f"{self.shown}/run.json: {problem}" for problem in problems])
        storage = self.place.rpartition("/")[0] if self.remote else str(self.path.parent)
        return replace(spec, storage=storage, name=self.path.name), job

    @property
    def summary(self) -> Summary | None:
        """What came out; None while the run is not finished. Raises BadInput if it is damaged."""
        return self.read("summary.json", Summary) if self.has("summary.json") else None

    @property
    def summary_contents(self) -> dict[str, Any]:
        """All that summary.json holds, whichever version wrote it; empty while there is none."""
        return self.contents("summary.json", Summary) if self.has("summary.json") else {}

    @property
    def best_record(self) -> CheckpointRecord | None:
        """The record of the best checkpoint so far."""
        name = f"{BEST}/{RECORD_FILE}"
        return self.read(name, CheckpointRecord) if self.has(name) else None

    def checkpoints(self, trials: Collection[str] | None = None) -> list[Path]:
        """Every checkpoint that is still kept, the best by its record first.

        Those of trials that diverged are left out.

        Args:
            trials: those whose checkpoints are wanted; None for all.
        """
        diverged = {trial for trial in self.trials() if self.diverged(trial)}
        found = [path for path in self.checkpoints_of("*") if path.parts[-3] not in diverged]
        if trials is not None:
            found = [path for path in found if path.parts[-3] in trials]
        goal = self.spec.goal
        return sorted(found, key=lambda path: rank(self.record(path), goal), reverse=True)

    def checkpoints_of(self, trial: str) -> list[Path]:
        """Those of one trial, in the order they were made."""
        found = self.path.glob(f"trials/{trial}/checkpoints/*/{RECORD_FILE}")
        return sorted(path.parent for path in found)

    def record(self, checkpoint: Path) -> CheckpointRecord:
        """What is behind a checkpoint: env_steps, returns, settings. BadInput if it is damaged."""
        if self.remote is not None:
            self.remote.complete(checkpoint, HEAD)
        return self.read(str(checkpoint / RECORD_FILE), CheckpointRecord)

    def trials(self) -> list[str]:
        """Ids of the trials that have reported, in the order of their numbers."""
        names = [path.parent.name for path in self.path.glob("trials/*/progress.jsonl")]
        return sorted(names, key=number_of)

    def reports(self, trial: str) -> list[Report]:
        """The reports of a trial. A line that is none is left out, with a warning."""
        return list(self._reports(f"trials/{trial}/progress.jsonl"))

    def discarded(self, trial: str) -> list[Report]:
        """Reports of work that was lost: the trial went back to a checkpoint before them."""
        return list(self._reports(f"trials/{trial}/discarded.jsonl"))

    def _reports(self, name: str) -> Iterator[Report]:
        for number, values in enumerate(self.lines(name, Report, TABLE), 1):
            try:
                yield Report.from_dict(values)
            except BadInput as error:
                told = "; ".join(error.problems)
                log.warning("%s: row %d is left out: %s", self.path / name, number, told)

    @property
    def seconds_spent(self) -> float:
        """Seconds on the sweep's clock at the last report of all, lost work included."""
        return max((row.wall_seconds for row in self._all_reports()), default=0.0)

    @property
    def steps_spent(self) -> int:
        """Steps of all trials, lost work included."""
        return sum(row.env_steps_this_iter for row in self._all_reports())

    def _all_reports(self) -> list[Report]:
        names = self.trials()
        return [row for name in names for row in self.reports(name) + self.discarded(name)]

    def diverged(self, trial: str) -> Diverged | None:
        """What ended a trial that diverged; None for others."""
        rows = self.reports(trial)
        return rows[-1].diverged if rows else None

    def failures(self, trial: str) -> list[Failure]:
        """Every failure of a trial."""
        lines = self.lines(f"trials/{trial}/failures.jsonl", Failure)
        return [Failure.from_dict(values) for values in lines]

    def phases(self) -> list[Phase]:
        """What the run did, in order; empty of earlier versions."""
        return [Phase.from_dict(values) for values in self.lines("phases.jsonl", Phase)]

    def decisions(self) -> list[Decision]:
        """Every decision, in order."""
        return [Decision.from_dict(values) for values in self.lines("decisions.jsonl", Decision)]
