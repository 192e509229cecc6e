"""Keeps Ray and Tune from printing: callbacks show what there is to see."""

from __future__ import annotations

from contextlib import AbstractContextManager

from ray._private import worker
from ray.tune.progress_reporter import TrialProgressCallback

from rltune.sweeps.ray_adapter.driver import replaced


class Quiet(TrialProgressCallback):
    """Takes the place of the one that Tune adds, which prints a line for each trial that ends."""

    def _print(self, msg: str) -> None:
        """Prints nothing."""


def silenced() -> AbstractContextManager[None]:
    """Keeps Ray from printing "A worker died ..." to stdout.

    It would, whatever ``log_to_driver`` says (ray 2.60, listen_error_messages).
    """
    return replaced(worker, "print_to_stdstream", lambda *_, **__: None)
