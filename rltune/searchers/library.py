"""What searchers share that ask a library of the field: one cube, one way to tell what is known.

A library never sees a parameter's own scale. Numbers are positions on the unit interval, as
:class:`rltune.space.Space` maps them, choices are categories: whether a library knows logarithms,
powers of two, steps or constraints makes no difference to a user.
"""

from __future__ import annotations

import random
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from threadpoolctl import ThreadpoolController

from rltune.searchers.history import History, PastTrial
from rltune.space import Choice, Parameter, Space
from rltune.space.values import same
from rltune.spec import RunSpec

#: Largest score that a library sees: the variance of scores such as 1e200 would be infinite.
LARGEST = 1e20


@dataclass(frozen=True)
class Point:
    """Settings as a library sees them.

    Attributes:
        units: position of each number in [0, 1].
        options: index of the option of each choice.
    """

    units: tuple[float, ...]
    options: tuple[int, ...]


@dataclass(frozen=True)
class Tried:
    """A point with what is known of it.

    Attributes:
        trial: with its status and the scores of its reports.
        score: the last finite one, larger is better, at most ``LARGEST`` on either side; None
            where the trial failed, reported none, or the point breaks a constraint.
    """

    point: Point
    trial: PastTrial
    score: float | None


def _bounded(score: float | None) -> float | None:
    return None if score is None else max(-LARGEST, min(score, LARGEST))


def all_scores(tried: Sequence[Tried], count: int) -> list[list[float] | None]:
    """The scores of each point by so many objectives; None where one of them is not known."""
    rows = ([_bounded(score) for score in one.trial.all_scores] for one in tried)
    whole = ([score for score in row if score is not None] for row in rows)
    return [row if len(row) == count else None for row in whole]


def scores(tried: Sequence[Tried]) -> list[float]:
    """Each score; the worst of all for a failure, for libraries that know none."""
    worst = min((one.score for one in tried if one.score is not None), default=0.0)
    return [worst if one.score is None else one.score for one in tried]


class Cube:
    """A space as a library sees it, without parameters that have one value alone.

    Attributes:
        numbers: parameters on the unit interval, by name.
        choices: how many options each choice has, by name.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._constant = {n: p.from_unit(0.5) for n, p in space.items() if _is_constant(p)}
        varied = {name: p for name, p in space.items() if name not in self._constant}
        self._choices = {name: p for name, p in varied.items() if isinstance(p, Choice)}
        self.choices = {name: len(p.options) for name, p in self._choices.items()}
        self.numbers = [name for name in varied if name not in self._choices]

    def __len__(self) -> int:
        """Parameters that a library chooses."""
        return len(self.numbers) + len(self.choices)

    def encode(self, settings: Mapping[str, Any]) -> Point:
        """The point of settings.

        Raises:
            ValueError: a value is not an option of its choice.
        """
        units = (self._space[name].to_unit(settings[name]) for name in self.numbers)
        options = (choice.index(settings[name]) for name, choice in self._choices.items())
        return Point(tuple(map(float, units)), tuple(options))

    def decode(self, point: Point) -> dict[str, Any]:
        """The settings of a point; positions outside [0, 1] are clipped."""
        numbers = zip(self.numbers, point.units, strict=True)
        options = zip(self._choices.items(), point.options, strict=True)
        values = {name: self._space[name].from_unit(float(unit)) for name, unit in numbers}
        values |= {name: choice.options[int(index)] for (name, choice), index in options}
        values |= self._constant
        return {name: values[name] for name in self._space}

    def snapped(self, point: Point) -> Point:
        """The point that a proposal is tried at: a whole number has only a few positions."""
        return self.encode(self.decode(point))


def _is_constant(parameter: Parameter) -> bool:
    first, *others = parameter.ends()
    return all(same(first, other) for other in others)


class LibrarySearcher(ABC):
    """Asks a library for each suggestion, told all that the history holds.

    The first suggestion is the space's defaults where every parameter has one and they keep the
    constraints. A proposal that breaks a constraint is told to the library as failed, and it is
    asked again; the last one is repaired.

    Attributes:
        cube: the space as the library sees it.
        proposals: how many points that break a constraint are proposed for one trial before the
            last one is repaired. One where a proposal is costly.
    """

    proposals: ClassVar[int] = 3

    def __init__(self, spec: RunSpec) -> None:
        self.spec = spec
        self.space = spec.space
        self.cube = Cube(spec.space)
        self._encoded: dict[str, tuple[Mapping[str, Any], Point | None]] = {}

    @abstractmethod
    def propose(self, seed: int, tried: Sequence[Tried], running: Sequence[Point]) -> Point:
        """The library's proposal, a function of its arguments alone.

        Args:
            seed: of all random draws.
            tried: points whose outcome is known, in the order in which they were suggested.
            running: points that are being tried.
        """

    def suggest(self, number: int, history: History) -> dict[str, Any]:
        """The defaults first, then what the library proposes."""
        if not self.cube:
            return self.cube.decode(Point((), ()))
        defaults = self.space.defaults()
        if number == 0 and len(defaults) == len(self.space) and not self.breaks(defaults):
            return defaults
        tried = self.tried(history)
        running = [point for trial in history.running if (point := self.point_of(trial))]
        for attempt in range(self.proposals):
            seed = self._seed(number, attempt)
            with quiet(seed):
                point = self.cube.snapped(self.propose(seed, tried, running))
            values = self.cube.decode(point)
            if not self.breaks(values):
                return values
            tried = [*tried, Tried(point, PastTrial("", values, status="failed"), None)]
        return self._repaired(values, np.random.default_rng([self.spec.seed, 0, number]))

    def breaks(self, values: Mapping[str, Any]) -> bool:
        """Returns whether settings break a constraint of the space."""
        return bool(self.space.broken({**self.spec.settings, **values}))

    def _repaired(self, values: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        """Moves a random draw that keeps the constraints as near to a proposal as they allow."""
        repaired = self.space.sample(rng, self.spec.settings)
        for index in rng.permutation(len(self.space)):
            name = list(self.space)[index]
            moved = {**repaired, name: values[name]}
            if not self.breaks(moved):
                repaired = moved
        return repaired

    def tried(self, history: History) -> list[Tried]:
        """Every trial whose outcome is known and whose settings lie in the space."""
        return self.encoded(history.over)

    def encoded(self, trials: Iterable[PastTrial]) -> list[Tried]:
        """The trials whose settings lie in the space."""
        points = ((trial, self.point_of(trial)) for trial in trials)
        return [Tried(point, trial, _bounded(trial.score)) for trial, point in points if point]

    def point_of(self, trial: PastTrial) -> Point | None:
        """A trial's point, kept: a replay asks for each as often as trials came after it."""
        values, point = self._encoded.get(trial.id, (None, None))
        if values is not trial.settings:
            values = trial.settings
            inside = all(p.contains(values.get(name)) for name, p in self.space.items())
            point = self.cube.encode(values) if inside else None
            self._encoded[trial.id] = values, point
        return point

    def _seed(self, number: int, attempt: int) -> int:
        rng = np.random.default_rng([self.spec.seed, 6, number, attempt])
        return int(rng.integers(2**31))


class SequentialSearcher(LibrarySearcher):
    """Asks a library whose state follows from all calls before, in their order.

    Where the library's present state is not that of the history, after a resume, the calls are
    made once more: :meth:`rltune.searchers.history.History.before` knows what was told when.
    """

    def __init__(self, spec: RunSpec) -> None:
        super().__init__(spec)
        self._next: int | None = None
        self._told: set[str] = set()

    @abstractmethod
    def start(self, seed: int) -> None:
        """Begins a new search."""

    @abstractmethod
    def ask(self) -> Point:
        """The library's next proposal."""

    @abstractmethod
    def tell(self, point: Point, score: float | None) -> None:
        """Notifies the library of an outcome.

        Args:
            point: one that it proposed, snapped to the values it stands for, or another: a user's
                own, or one of a former run.
            score: larger is better; None for a failure, and for what breaks a constraint.
        """

    def suggest(self, number: int, history: History) -> dict[str, Any]:
        """The defaults first, then what the library proposes."""
        if not self.cube:
            return super().suggest(number, history)
        if number != self._next:
            self._next, self._told = 0, set()
            with quiet(self._seed(0, 0)):
                self.start(self._seed(0, 0))
        values: dict[str, Any] = {}
        for step in range(self._next, number + 1):
            values = self._at(step, history.before(len(self.spec.points) + step))
        self._next = number + 1
        return values

    def _at(self, number: int, history: History) -> dict[str, Any]:
        with quiet(self._seed(number, 1)):
            for tried in self.tried(history):
                if tried.trial.id not in self._told:
                    self._told.add(tried.trial.id)
                    self.tell(tried.point, tried.score)
        return super().suggest(number, history)

    def propose(self, seed: int, tried: Sequence[Tried], running: Sequence[Point]) -> Point:
        """Asks once more; a proposal that breaks a constraint is told before."""
        if tried and not tried[-1].trial.id:
            self.tell(tried[-1].point, None)
        return self.ask()


@contextmanager
def quiet(seed: int) -> Iterator[None]:
    """Seeds the global random generators, which libraries draw from, and puts them back.

    Matrices of a few hundred rows are several times slower on threads, whose cores trials use.
    """
    before = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    try:
        with _quiet_torch(seed), _threads(len(sys.modules)).limit(limits=1):
            yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002


@contextmanager
def _quiet_torch(seed: int) -> Iterator[None]:
    """The same for torch, where it is loaded: it has a mathematics library of its own inside."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    drawn, threads = torch.get_rng_state(), torch.get_num_threads()
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_rng_state(drawn)


@lru_cache(maxsize=1)
def _threads(modules: int) -> ThreadpoolController:
    """The process's thread pools, looked for again once further modules are imported."""
    return ThreadpoolController()
