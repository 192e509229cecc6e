"""Answers ``ray.tune.report`` in functions that rltune runs: Tune's own session is not there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.train._internal import session
from ray.tune import Checkpoint


class TuneSession:
    """Takes the place of the session that Tune's functions look for in their process.

    ``ray.tune.report`` and ``ray.tune.get_checkpoint`` do nothing but warn where there is none
    (ray 2.60, _warn_session_misuse), so that a function would report in vain.
    """

    #: Of Tune's sessions; those of Train have one.
    world_rank = None

    def __init__(
        self, report: Callable[[Any, Any], None], get_checkpoint: Callable[[], Any]
    ) -> None:
        self._report = report
        self._get_checkpoint = get_checkpoint

    def report(self, metrics: Any, checkpoint: Checkpoint | None = None, **_: Any) -> None:
        """Reports as rltune does."""
        if checkpoint is None:
            self._report(metrics, None)
            return
        with checkpoint.as_directory() as folder:
            self._report(metrics, folder)

    @property
    def loaded_checkpoint(self) -> Checkpoint | None:
        """The files that the function continues from."""
        folder = self._get_checkpoint()
        return None if folder is None else Checkpoint.from_directory(str(folder))


def answer(report: Callable[[Any, Any], None], get_checkpoint: Callable[[], Any]) -> None:
    """Lets Tune's two functions call rltune's, in this process, which runs trials alone."""
    session._session = TuneSession(report, get_checkpoint)
