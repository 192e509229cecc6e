"""Notices that nothing runs: a cluster may be busy, or have lost the machines it needs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ray.tune.experiment import Trial

from rltune.errors import BadInput, MachineError
from rltune.sweeps import room
from rltune.tasks import Task

#: Seconds in which a process starts, also on a slow machine.
PATIENCE = 60.0


class StallWatch:
    """Looks at every step of Tune's."""

    def __init__(
        self, task: Task, notify: Callable[[str], None], patience: float = PATIENCE
    ) -> None:
        self._task = task
        self._notify = notify
        self._patience = patience
        self._since = time.monotonic()
        self._told = False

    def look(self, trials: Sequence[Trial]) -> None:
        """Notifies that trials wait for resources.

        Raises:
            MachineError: no machine is left that could ever hold one.
        """
        if any(trial.status == Trial.RUNNING for trial in trials):
            self._since, self._told = time.monotonic(), False
        elif not self._told and time.monotonic() - self._since > self._patience:
            self._told = True
            try:
                room.check_fits(self._task)
            except BadInput as error:
                raise MachineError(f"the cluster has shrunk. {error}") from error
            needs = ", ".join(room.shown(*need) for need in self._task.needs().items())
            self._notify(f"waiting for {needs} to be free")
