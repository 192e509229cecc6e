"""What a sweep must not forget: every trial at its last checkpoint, and what decides about them.

One state, saved whenever a checkpoint or a decision is made. Tune's own snapshots hold no
scheduler and come when it suits them (ray 30838, 58179); a resume reads this state alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from rltune.runs import state_file
from rltune.runs.folder import RunFolder
from rltune.runs.state_file import StateFile
from rltune.runs.storage_faults import patiently
from rltune.sweeps.trial_table import TrialTable


class Stateful(Protocol):
    """A part of a sweep that a state holds."""

    def get_state(self) -> Mapping[str, Any]:
        """As JSON holds it. What is returned never changes, see :class:`StateFile`."""

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continues from a state of :meth:`get_state`."""


class SweepState:
    """Keeps the state of a sweep on disk.

    Args:
        fingerprint: what must not change between two parts of the run.
        trials: every trial of the sweep.
        parts: what is saved beside the trials, by its name in state.json.
    """

    def __init__(
        self,
        folder: RunFolder,
        fingerprint: Mapping[str, Any],
        trials: TrialTable,
        parts: Mapping[str, Stateful],
    ) -> None:
        self._folder = folder
        self._file = StateFile(folder.path)
        self._trials = trials
        self._parts = parts
        self._fingerprint = fingerprint

    def restore(self) -> None:
        """Brings every part, and the trials' logs, to the state that was saved."""
        saved = (state_file.read(self._folder.path) or {}).get("parts", {})
        for name, part in self._parts.items():
            if name in saved:
                part.set_state(saved[name])
        self._trials.restore()

    def decided(self, at_once: bool) -> None:
        """Saves an exploit before it takes effect.

        Args:
            at_once: whether that may be now; else with whatever is new before a trial starts.
        """
        self._trials.changed = True
        if at_once:
            self.write()

    def write_if_changed(self) -> None:
        """Saves where a trial or a decision is new."""
        if self._trials.changed:
            self.write()

    def write(self) -> None:
        """Makes the present state the newest, and removes checkpoints that nothing needs."""
        state = {
            "fingerprint": self._fingerprint,
            "trials": self._trials.to_list(),
            "parts": {name: part.get_state() for name, part in self._parts.items()},
        }
        patiently(lambda: self._file.write(state))
        self._trials.changed = False
        self._trials.prune()
