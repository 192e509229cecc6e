"""The tree-structured Parzen estimator of HyperOpt (Bergstra et al. 2013), its first one."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import hyperopt
from hyperopt import base, hp, tpe

from rltune.searchers.library import LibrarySearcher, Point, Tried
from rltune.spec import RunSpec


class HyperOptSearcher(LibrarySearcher):
    """HyperOpt's TPE over trials that are made of the history.

    To it, a trial that runs or has failed is worse than any other. Each setting has an estimator
    of its own. The first 20 trials are random draws.
    """

    def __init__(self, spec: RunSpec) -> None:
        super().__init__(spec)
        self._numbers = len(self.cube.numbers)
        logging.getLogger("hyperopt").setLevel(logging.WARNING)

    def propose(self, seed: int, tried: Sequence[Tried], running: Sequence[Point]) -> Point:
        """Asks TPE once."""
        known = [(one.point, one.score) for one in tried]
        docs = [self._doc(n, *one) for n, one in enumerate([*known, *((p, None) for p in running)])]
        trials = hyperopt.trials_from_docs(docs, validate=False)
        (asked,) = tpe.suggest([len(docs)], self._domain, trials, seed, verbose=False)
        values = [value for (value,) in map(asked["misc"]["vals"].get, self._labels)]
        return Point(tuple(values[: self._numbers]), tuple(map(int, values[self._numbers :])))

    @cached_property
    def _domain(self) -> base.Domain:
        numbers = [hp.uniform(_label(n), 0.0, 1.0) for n in range(self._numbers)]
        options = [
            hp.randint(_label(self._numbers + n), count)
            for n, count in enumerate(self.cube.choices.values())
        ]
        return base.Domain(lambda _: 0.0, [*numbers, *options])

    @property
    def _labels(self) -> list[str]:
        return [_label(n) for n in range(len(self.cube))]

    def _doc(self, number: int, point: Point, score: float | None) -> dict[str, Any]:
        """A trial in HyperOpt's terms, which minimises."""
        values = dict(zip(self._labels, (*point.units, *point.options), strict=True))
        return {
            "tid": number,
            "spec": None,
            "result": {"status": hyperopt.STATUS_OK, "loss": None if score is None else -score},
            "misc": {
                "tid": number,
                "cmd": self._domain.cmd,
                "workdir": self._domain.workdir,
                "idxs": {label: [number] for label in values},
                "vals": {label: [value] for label, value in values.items()},
            },
            "state": base.JOB_STATE_DONE,
            "exp_key": None,
            "owner": None,
            "version": 0,
            "book_time": None,
            "refresh_time": None,
        }


def _label(number: int) -> str:
    """A name of a setting whose order is that of its number."""
    return f"{number:03d}"


def build(spec: RunSpec) -> HyperOptSearcher:
    """HyperOpt."""
    return HyperOptSearcher(spec)
