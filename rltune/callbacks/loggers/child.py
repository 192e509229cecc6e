"""The process in which a tracker's library runs: ``python -m rltune.callbacks.loggers.child``.

Reads messages from standard input, a line of JSON each, and answers each with a line. Whatever the
library prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from rltune.callbacks.loggers.base import Logger, Made, Status, Sweep
from rltune.processes.tracebacks import headline
from rltune.runs.record_files import RecordFiles

#: A method of :class:`Logger`, the run that it is of, and its other arguments.
Call = Sequence[Any]


class Child:
    """Makes a logger's calls, and keeps in the run folder what has come of them."""

    def __init__(self, name: str, module: str) -> None:
        self._file = Made.file(name)
        self.kind: type[Logger] = import_module(module).LOGGER
        self._logger: Logger | None = None

    def start(self, path: str, name: str, config: Mapping[str, Any]) -> None:
        """Begins to log a run, or continues."""
        self._folder = RecordFiles(path)
        known = self._folder.has(self._file)
        made = self._folder.read(self._file, Made) if known else Made({}, [], {})
        self._ids, self._logged = made.ids, made.logged
        self._left, self._open = set(made.open), set[str]()
        self._logger = self.kind(Sweep(name, config, self._ids))
        self._keep()

    def make(self, calls: Sequence[Call]) -> None:
        """Makes calls in their order; points of a run are logged together where it allows."""
        assert self._logger is not None
        for method, run, *others in merged(calls):
            if method == "open":
                self._opened(run, *others)
            elif method == "close":
                self._closed(run, *others)
            elif method == "artifact":
                name, paths = others
                self._logger.artifact(run, name, [Path(path) for path in paths])
            else:
                getattr(self._logger, method)(run, *others)
                if method == "points":
                    self._logged[run] = others[0][-1][0]
        self._keep()

    def end(self, status: Status) -> None:
        """Ends what is open."""
        if self._logger is None:
            return
        self._logger.end(status)
        if status == "finished":
            self._open, self._left = set(), set()
        self._keep()

    def _opened(self, run: str, config: Mapping[str, Any]) -> None:
        assert self._logger is not None
        self._logger.open(run, config)
        self._open.add(run)
        self._keep()

    def _closed(self, run: str, status: Status) -> None:
        """Ends a run, also one that an earlier part of the run has left open."""
        assert self._logger is not None
        if run in self._left - self._open:
            self._logger.open(run, {})
        elif run not in self._open:
            return
        self._logger.close(run, status)
        self._open.discard(run)
        self._left.discard(run)
        self._keep()

    def _keep(self) -> None:
        made = Made(self._ids, sorted(self._open | self._left), self._logged)
        self._folder.write(self._file, made.to_dict())


def merged(calls: Sequence[Call]) -> Iterator[Call]:
    """Calls in which the points of a run stand together, as far as its other calls allow."""
    waiting: dict[str, list[Any]] = {}
    for method, run, *others in calls:
        if method == "points":
            waiting.setdefault(run, []).extend(*others)
            continue
        if run in waiting:
            yield ["points", run, waiting.pop(run)]
        yield [method, run, *others]
    for run, points in waiting.items():
        yield ["points", run, points]


def main(name: str, module: str) -> None:
    """Answers messages until one of them, or standard input, ends it."""
    answers = _own_stdout()

    def answer(values: Mapping[str, Any]) -> None:
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    try:
        child = Child(name, module)
        answer({"problem": child.kind.problem()})
        for line in sys.stdin:
            ((method, arguments),) = json.loads(line).items()
            getattr(child, method)(*arguments)
            answer({})
            if method == "end":
                return
        child.end("stopped")  # the sweep's process is gone
    except BaseException as error:  # SystemExit too: a library may raise it
        answer({"error": headline(error)})
        raise


def _own_stdout() -> IO[str]:
    """Standard output for answers alone: what else is printed goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


if __name__ == "__main__":
    main(*sys.argv[1:])
