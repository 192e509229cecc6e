"""What a plain function trains with: it reports, and waits until its trial may train on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from threading import Thread
from typing import Any

#: Seconds that a function gets to end once its trial is over.
PATIENCE = 10.0


class Ended(BaseException):
    """Raised in a function whose trial is over, from :meth:`Session.report`."""


class Session:
    """Runs a function in a thread, one report at a time.

    The function is called as ``function(config, session)``. It uses :attr:`state` and
    :meth:`report`; the rest is for the trial that runs it.

    Attributes:
        state: what the function continues from: the state of an earlier report, its own or, after
            an exploit, a donor's; None at first.

    Example:
        >>> def train(config, session):
        ...     epoch = (session.state or {"epoch": 0})["epoch"]
        ...     while True:
        ...         epoch += 1
        ...         session.report({"accuracy": config["lr"] * epoch}, state={"epoch": epoch})
        >>> session = Session(train, {"lr": 0.1}, state={"epoch": 4})
        >>> session.next_report()
        ({'accuracy': 0.5}, '{"epoch": 5}')
        >>> session.end()
    """

    def __init__(
        self, function: Callable[..., Any], config: Mapping[str, Any], state: Any = None
    ) -> None:
        self.state = state
        self._reports: SimpleQueue[tuple[dict[str, Any], str] | BaseException | None] = (
            SimpleQueue()
        )
        self._turns: SimpleQueue[bool] = SimpleQueue()
        self._ended = False
        self._thread = Thread(target=self._run, args=(function, dict(config)), daemon=True)

    def report(self, metrics: Mapping[str, Any], state: Any = None) -> None:
        """Hands over one report, and returns when the trial is to train on.

        Args:
            metrics: numbers by name. ``env_steps`` sets the trial's clock; otherwise each report
                counts as one.
            state: what the function would continue from after this report, as JSON holds it.

        Raises:
            TypeError: the state is not JSON.
        """
        if self._ended:
            raise Ended
        self._reports.put((dict(metrics), _as_json(state)))
        if not self._turns.get():
            raise Ended

    def next_report(self) -> tuple[dict[str, Any], str] | None:
        """Lets the function train until its next report.

        Returns:
            The metrics and the state as JSON text; None if the function has returned.

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
        """Ends the function where it waits. Without effect on one that has not started."""
        self._ended = True
        if self._thread.is_alive():
            self._turns.put(False)
            self._thread.join(PATIENCE)

    def _run(self, function: Callable[..., Any], config: dict[str, Any]) -> None:
        try:
            function(config, self)
        except Ended:
            return
        except BaseException as error:
            self._reports.put(error)
        else:
            self._reports.put(None)


def _as_json(state: Any) -> str:
    try:
        return json.dumps(state)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"the state of a report must be JSON (numbers, texts, lists, dicts): {error}"
        ) from error
