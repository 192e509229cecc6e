"""A user's function in a thread of its own: it reports, and waits until its trial continues."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from rltune.request import metrics as measured

#: Seconds that a function gets to end once its trial is over.
PATIENCE = 10.0

#: The session of each thread that runs a function.
_threads = threading.local()


class Ended(BaseException):
    """Raised in a function whose trial is over, from :func:`report`."""


@dataclass(frozen=True)
class Reported:
    """One report of a function.

    Attributes:
        metrics: numbers by name.
        checkpoint: a dict as JSON text, or the folder of a copy of the function's files; None
            without one.
    """

    metrics: Mapping[str, Any]
    checkpoint: str | Path | None = None


def report(
    metrics: Mapping[str, Any], checkpoint: Mapping[str, Any] | str | Path | None = None
) -> None:
    """Reports from a function that :func:`rltune.tune` runs, and returns when it may train on.

    >>> def train(config):
    ...     state = rltune.get_checkpoint() or {"epoch": 0}
    ...     for epoch in range(state["epoch"], 10):
    ...         accuracy = 1 - 0.5 ** (config["lr"] * (epoch + 1))
    ...         rltune.report({"accuracy": accuracy}, checkpoint={"epoch": epoch + 1})

    Args:
        metrics: numbers by name, of any library; flags count as 0 or 1, names in nested dicts are
            joined by "/". ``env_steps`` sets the trial's clock, otherwise each report counts as
            one.
        checkpoint: what the function would continue from, see :func:`get_checkpoint`: a dict that
            is JSON, or a folder of files, which is copied. It is written into the run folder; a
            population's scheduler writes those that it needs.

    Raises:
        RuntimeError: it is not called by such a function, in its own thread.
        TypeError: a metric is no number, or the checkpoint neither a folder nor JSON.
        ValueError: the name of a metric is rltune's own.
    """
    _session("report").report(metrics, checkpoint)


def get_checkpoint() -> Any:
    """Checkpoint that a function continues from: after a failure, a resume, a pause or an exploit.

    Returns:
        The dict that was reported, or the folder with the files, a copy that belongs to the
        function; None where it starts from nothing.

    Raises:
        RuntimeError: it is not called by a function that :func:`rltune.tune` runs.
    """
    return _session("get_checkpoint").checkpoint


def _session(name: str) -> Session:
    session: Session | None = getattr(_threads, "session", None)
    if session is None:
        raise RuntimeError(
            f"rltune.{name} was called outside of a trial: it works in a function that rltune.tune "
            "runs, in the thread that called the function"
        )
    return session


class Session:
    """Runs a function in a thread, one report at a time.

    A dict that it returns is its report where it has made no other, as in Ray Tune.

    Attributes:
        checkpoint: what the function continues from: a dict or a folder; None at first.

    Example:
        >>> def train(config):
        ...     epoch = (get_checkpoint() or {"epoch": 0})["epoch"]
        ...     while True:
        ...         epoch += 1
        ...         report({"accuracy": config["lr"] * epoch}, checkpoint={"epoch": epoch})
        >>> session = Session(train, {"lr": 0.1}, Path("scratch"), checkpoint={"epoch": 4})
        >>> session.next_report()
        Reported(metrics={'accuracy': 0.5}, checkpoint='{"epoch": 5}')
        >>> session.end()
    """

    def __init__(
        self,
        function: Callable[[dict[str, Any]], Any],
        config: Mapping[str, Any],
        scratch: Path,
        checkpoint: Any = None,
    ) -> None:
        """Prepares a function; it starts with the first report that is asked for.

        Args:
            scratch: folder for copies of checkpoints. It is removed at the end.
            checkpoint: a dict, or a folder that the function gets a copy of.
        """
        self._scratch = scratch
        self._end_scratch()
        if isinstance(checkpoint, Path):
            checkpoint = shutil.copytree(checkpoint, scratch / "start")
        self.checkpoint = checkpoint
        self._reports: SimpleQueue[Reported | BaseException | None] = SimpleQueue()
        self._turns: SimpleQueue[bool] = SimpleQueue()
        self._ended = False
        self._silent = checkpoint is None
        self._thread = threading.Thread(
            target=self._run, args=(function, dict(config)), daemon=True
        )

    def report(self, metrics: Mapping[str, Any], checkpoint: Any = None) -> None:
        """Hands over one report of the function, see :func:`report`."""
        if self._ended:
            raise Ended
        measured.check(metrics)
        self._silent = False
        self._reports.put(Reported(dict(metrics), self._kept(checkpoint)))
        if not self._turns.get():
            raise Ended

    def next_report(self) -> Reported | None:
        """Lets the function train until its next report.

        Returns:
            None if the function has returned.

        Raises:
            Exception: that the function raised.
        """
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._turns.put(True)
        report = self._reports.get()
        if isinstance(report, Exception):
            raise report
        if isinstance(report, BaseException):
            raise RuntimeError(f"the function ended with {report!r}") from report
        return report

    def end(self) -> None:
        """Ends the function where it waits."""
        self._ended = True
        if self._thread.is_alive():
            self._turns.put(False)
            self._thread.join(PATIENCE)
        self._end_scratch()

    def _run(self, function: Callable[[dict[str, Any]], Any], config: dict[str, Any]) -> None:
        _threads.session = self
        try:
            returned = function(config)
            if self._silent and isinstance(returned, Mapping):
                self.report(returned)
        except Ended:
            return
        except BaseException as error:
            self._reports.put(error)
        else:
            self._reports.put(None)

    def _kept(self, checkpoint: Any) -> str | Path | None:
        """A checkpoint that the function may no longer change."""
        if checkpoint is None:
            return None
        if isinstance(checkpoint, str | Path):
            if not Path(checkpoint).is_dir():
                raise TypeError(f"checkpoint {str(checkpoint)!r} is no folder: give one with files")
            shutil.rmtree(self._scratch / "last", ignore_errors=True)
            return shutil.copytree(checkpoint, self._scratch / "last")
        if not isinstance(checkpoint, Mapping):
            raise TypeError(
                f"a checkpoint is a dict, or the path of a folder with files, got {checkpoint!r}"
            )
        return as_json(dict(checkpoint))

    def _end_scratch(self) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)


def as_json(state: Any) -> str:
    """A dict as JSON text.

    Raises:
        TypeError: it holds something else.
    """
    try:
        return json.dumps(state)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"a checkpoint that is a dict must be JSON (numbers, texts, lists, dicts): {error}. "
            "Write anything else to files, and give their folder"
        ) from error
