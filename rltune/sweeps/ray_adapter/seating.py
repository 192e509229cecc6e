"""Who sits in which group of a batched sweep: the trials of a group have one shape.

An empty group takes any shape. While a trial waits whose shape has no group, and none is empty, one
group takes nobody in who comes after it, so that it empties: nobody starves.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ray.tune.experiment import Trial

from rltune.algorithms.member_seats import Arrival

#: Seats of a group: torch rounds the products of a lone member otherwise than those of several, and
#: a trial's numbers should not depend on which trials share its group.
LEAST = 2


@dataclass(eq=False)
class Group:
    """A process and who sits in it.

    Attributes:
        shape: of those who sit in it, or did last.
        size: its seats.
        seats: trials by their seat.
        arrivals, leavers: what its process is told with the next training.
        held: the checkpoint that each free or paused seat's numbers are those of.
        is_new: whether its process has yet to make it.
        training: what its process works on; None while it is idle.
        is_up: whether its process has answered since it was started.
        since: when its process was asked for, or last answered.
    """

    process: Any = None
    shape: str | None = None
    size: int = 0
    seats: dict[int, Trial] = field(default_factory=dict)
    arrivals: list[Arrival] = field(default_factory=list)
    leavers: list[int] = field(default_factory=list)
    held: dict[int, str] = field(default_factory=dict)
    is_new: bool = False
    training: Any = None
    is_up: bool = False
    since: float = 0.0

    @property
    def free(self) -> list[int]:
        """Seats that nobody has."""
        return [number for number in range(self.size) if number not in self.seats]

    @property
    def boards(self) -> bool:
        """Whether nobody who sits in it has trained since it was empty."""
        return len(self.arrivals) == len(self.seats)

    def renew(self, shape: str | None, size: int) -> None:
        """Empties it for trials of a shape."""
        self.shape, self.size, self.is_new = shape, size, True
        for kept in (self.seats, self.arrivals, self.leavers, self.held):
            kept.clear()

    def lose_process(self) -> None:
        """Empties it, its process being gone."""
        self.process, self.is_up = None, False
        self.renew(None, 0)


class Seating:
    """Finds trials their seats.

    Args:
        groups: their number.
        size: seats in each, at most; see :meth:`shrink`.
        shape_of: what trials of a group have in common, of a trial's configuration.
        fitted: whether a group has seats only for those who wait when it is made. An empty seat
            costs as much as a taken one; where all trials have one shape it is soon taken.
    """

    def __init__(
        self, groups: int, size: int, shape_of: Callable[[Mapping[str, Any]], str], fitted: bool
    ) -> None:
        self.groups = [Group() for _ in range(groups)]
        self.size = size
        self._shape_of = shape_of
        self._fitted = fitted
        self._place: dict[str, tuple[Group, int]] = {}
        #: Each trial's shape, and the configuration it was read from.
        self._shapes: dict[str, tuple[Mapping[str, Any], str]] = {}
        self._waiting: Counter[str] = Counter()
        self._stranded: set[str] = set()

    @property
    def free(self) -> int:
        """Trials that could sit beside those who do."""
        return sum(max(0, self.size - len(group.seats)) for group in self.groups)

    def shrink(self, size: int) -> bool:
        """Makes later groups half as large as one that is too large for the memory.

        Returns:
            Whether that can help: no group has fewer seats than :data:`LEAST`.
        """
        if size <= LEAST:
            return False
        self.size = min(self.size, max(LEAST, size // 2))
        return True

    def begin(self) -> None:
        """Begins a round, in which :meth:`find` is called in the scheduler's order."""
        self._stranded.clear()

    def find(
        self, trial: Trial, wanted: str | None, waiting: Iterable[Trial]
    ) -> tuple[Group, int] | None:
        """A seat for a trial; None where it has to wait for one.

        Args:
            wanted: the checkpoint that it continues from.
            waiting: all that wait for a seat, this one too.
        """
        shape = self._shape(trial)
        self._waiting = Counter(map(self._shape, waiting) if self._fitted else ())
        unused = [each for each in self.groups if each.training is None and not each.seats]
        own = [each for each in self.groups if each.seats and each.shape == shape and each.free]
        entered = [each for each in own if each.training is None and self._admits(each)]
        spare = len(unused) - len(self._without_a_seat() - {shape})
        found = entered + unused if spare > 0 or not own else entered
        if not found:
            if not own:
                self._stranded.add(shape)
            return None
        group = min(found, key=lambda each: self._cost(each, trial, shape, wanted))
        size = self.size if not self._fitted else self._seats_for(shape, own, spare)
        if not group.seats and not self._fits(group, shape, size):
            group.renew(shape, size)
        before, number = self._place.get(trial.trial_id, (None, 0))
        number = number if before is group and number in group.free else group.free[0]
        self._place[trial.trial_id] = group, number
        return group, number

    def leave(self, trial: Trial) -> None:
        """Frees a trial's seat. What it holds stays there, for others to copy."""
        group, number = self._place[trial.trial_id]
        if group.seats.get(number) is trial:
            del group.seats[number]
            group.leavers.append(number)

    def _shape(self, trial: Trial) -> str:
        config, shape = self._shapes.get(trial.trial_id, (None, ""))
        if config is not trial.config:
            shape = self._shape_of(trial.config)
            self._shapes[trial.trial_id] = trial.config, shape
        return shape

    def _without_a_seat(self) -> set[str]:
        """Shapes of trials that wait, and need a group of their own."""
        served = {each.shape for each in self.groups if each.seats and each.free}
        return self._waiting.keys() - served

    def _admits(self, group: Group) -> bool:
        """Whether a group takes in those who come after the ones for whom there is none."""
        taken = sorted((each for each in self.groups if each.seats), key=lambda g: len(g.seats))
        return group.boards or group not in taken[: len(self._stranded)]

    def _cost(self, group: Group, trial: Trial, shape: str, wanted: str | None) -> tuple[Any, ...]:
        """The group that has the least is chosen."""
        before, number = self._place.get(trial.trial_id, (None, 0))
        is_its_own = before is group and group.shape == shape and number in group.free
        near = group.shape == shape and wanted in group.held.values()
        return (
            not is_its_own,
            not near,
            len(group.seats),
            group.shape != shape,
            group.shape in self._waiting,
            group.process is None,
        )

    def _seats_for(self, shape: str, own: Iterable[Group], spare: int) -> int:
        """Seats of a new group, for those who wait and find none in others."""
        free = sum(len(group.free) for group in own)
        wanted = math.ceil((self._waiting[shape] - free) / max(1, spare))
        return min(self.size, max(LEAST, wanted))

    def _fits(self, group: Group, shape: str, size: int) -> bool:
        """Whether an empty group is as good as a new one, which takes time to make."""
        return group.shape == shape and size <= group.size <= 2 * size
