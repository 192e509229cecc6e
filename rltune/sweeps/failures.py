"""What is kept of a failure, and where a trial goes on after one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from rltune import checkpoints
from rltune.errors import BadCheckpoint
from rltune.runs import RunFolder
from rltune.spec import RunSpec
from rltune.sweeps.curves import Curves
from rltune.sweeps.ending import Ending
from rltune.sweeps.ledger import Ledger
from rltune.watchdog import CRASHED, HUNG, collect


class Failures:
    """Failures of trials: written down, counted, and gone back behind."""

    def __init__(
        self, spec: RunSpec, folder: RunFolder, ending: Ending, ledger: Ledger, curves: Curves
    ) -> None:
        self._spec = spec
        self._folder = folder
        self._ending = ending
        self._ledger = ledger
        self._curves = curves

    def ended(self, trial: Any) -> None:
        """A trial failed for good."""
        self._write(trial, again=False)
        self._ending.failures += 1
        self._ledger.changed = True

    def tried_again(self, trial: Any) -> None:
        """A trial failed and will start from its last checkpoint that is whole."""
        self._write(trial, again=True)
        self._ledger.step_back(trial, self._is_whole)
        self._folder.discard_rows(str(trial), self._ledger.env_steps(trial.trial_id))
        self._curves.go_back(str(trial))
        self._ledger.changed = True

    def achieved(self) -> None:
        """A trial got a step further: failures are counted from here on."""
        self._ending.failures = 0

    def _is_whole(self, path: Path) -> bool:
        try:
            checkpoints.verify(path, self._spec.algo)
        except BadCheckpoint:
            return False
        return True

    def _write(self, trial: Any, again: bool) -> None:
        path = trial.error_file
        text = Path(path).read_text(encoding="utf-8") if path else ""
        # Tune adds each failure to one file: the last one is what happened now.
        text = "Failure # " + text.rpartition("Failure # ")[2] if text else "no traceback"
        if report := collect(self._folder.path / "trials" / str(trial)):
            text = f"{text.rstrip()}\n\n{report}\n"
        rows = self._folder.rows(str(trial))
        steps = [int(found) for found in STEP.findall(text)]
        self._folder.append_failure(
            str(trial),
            {
                "env_id": self._spec.env_id,
                "env_steps": max([*steps, rows[-1].env_steps if rows else 0]),
                "error": headline(text),
                "traceback": text,
                "tried_again": again,
            },
        )
        self._folder.write_text(f"trials/{trial}/error.txt", text)
        if path:  # Tune copies its own over the folder's in the end
            Path(path).write_text(text, encoding="utf-8")


#: The line of a traceback that names what ended the process, or the exception; and the step.
REPORTED = re.compile(rf"^(?:{HUNG}|{CRASHED}): .+$", re.MULTILINE)
RAISED = re.compile(r"^(?:\w+\.)*[A-Z]\w*: .+$", re.MULTILINE)
STEP = re.compile(r"env step (\d+)")


def headline(traceback: str) -> str:
    """What a person reads first of a traceback."""
    if report := REPORTED.search(traceback):
        return report[0]
    if "actor died" in traceback:
        return "the trial's process died: killed, out of memory, or crashed"
    found: list[str] = RAISED.findall(traceback)
    return found[-1] if found else traceback.strip().splitlines()[-1]
