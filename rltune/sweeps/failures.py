"""What is kept of a failure, and where a trial goes on after one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from rltune.callbacks.tensorboard import TensorBoardWriter
from rltune.errors import BadCheckpoint
from rltune.processes.tracebacks import NOTE, headline_of, plain
from rltune.processes.watchdog import collect
from rltune.runs import checkpoints
from rltune.runs.folder import RunFolder
from rltune.spec import RunSpec
from rltune.sweeps.stopping import SweepStopper
from rltune.sweeps.sweep_state import SweepState


class Failures:
    """Failures of trials: written down, counted, and gone back behind."""

    def __init__(
        self,
        spec: RunSpec,
        folder: RunFolder,
        stopper: SweepStopper,
        state: SweepState,
        curves: TensorBoardWriter,
    ) -> None:
        self._spec = spec
        self._folder = folder
        self._stopper = stopper
        self._state = state
        self._curves = curves

    def ended(self, trial: Any) -> None:
        """A trial failed for good."""
        self._write(trial, again=False)
        self._stopper.failures += 1
        self._state.changed = True

    def tried_again(self, trial: Any) -> None:
        """A trial failed and will start from its last checkpoint that is whole."""
        self._write(trial, again=True)
        self._state.step_back(trial, self._is_whole)
        self._folder.discard_reports(str(trial), self._state.env_steps(trial.trial_id))
        self._curves.go_back(str(trial))
        self._state.changed = True

    def achieved(self) -> None:
        """A trial got a step further: failures are counted from here on."""
        self._stopper.failures = 0

    def _is_whole(self, path: Path) -> bool:
        try:
            checkpoints.verify(path, self._spec.algo)
        except BadCheckpoint:
            return False
        return True

    def _write(self, trial: Any, again: bool) -> None:
        path = trial.error_file
        raw = Path(path).read_text(encoding="utf-8") if path else ""
        raw = OF_TUNE.split(raw)[-1]  # Tune adds each failure to one file: the last one is this
        report = collect(self._folder.path / "trials" / str(trial))
        # Of a process that crashed Ray knows no more than that.
        parts = [report] if report and raw.startswith(DIED) else [report, plain(raw)]
        text = "\n\n".join(filter(None, parts)) or "no traceback"
        rows = self._folder.reports(str(trial))
        steps = [int(found) for found in STEP.findall(text)]
        self._folder.append_failure(
            str(trial),
            {
                "env_id": self._spec.env_id,
                "env_steps": max([*steps, rows[-1].env_steps if rows else 0]),
                "error": headline(raw, report),
                "traceback": text,
                "tried_again": again,
            },
        )
        self._folder.write_text(f"trials/{trial}/error.txt", text + "\n")
        if path:  # Tune copies its own over the folder's in the end
            Path(path).write_text(text + "\n", encoding="utf-8")


#: Tune's heading of a failure.
OF_TUNE = re.compile(r"^Failure # \d+ \(occurred at .+\)\n", re.MULTILINE)
STEP = re.compile(r"env step (\d+)")
#: Begins what Ray says of a process that ended without an exception.
DIED = ("The actor died unexpectedly", "The actor is dead because", "The worker died", "Task was")
#: What Ray says of a process that ended without an exception, by how it ended.
ENDED = {
    r"exit code (-?\d+)": "the trial's process ended with exit code {}",
    r"(?:running low on|ran out of|OOM_KILL|OutOfMemory)": (
        "the trial's process was ended: the machine ran out of memory"
    ),
}


def headline(text: str, report: str = "") -> str:
    """What a person reads first of a failure.

    Args:
        text: as Ray has it.
        report: what the watchdog of the process left, see
            :func:`rltune.processes.watchdog.collect`.
    """
    if report:
        return report.splitlines()[0]
    if not text.startswith(DIED) or NOTE in text:
        return headline_of(text)
    for pattern, told in ENDED.items():
        if found := re.search(pattern, text):
            return told.format(*found.groups())
    return "the trial's process died: killed, out of memory, or crashed"
