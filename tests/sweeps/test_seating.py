"""Who sits in which group of a batched sweep, without Ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from rltune.sweeps.ray_adapter.seating import Group, Seating


class Someone:
    """A trial as far as seats go."""

    def __init__(self, number: int, shape: str) -> None:
        self.trial_id = f"t{number:02d}"
        self.config: Mapping[str, Any] = {"shape": shape}

    @property
    def shape(self) -> str:
        return str(self.config["shape"])


class Sweep:
    """Seats trials as a batched sweep does, in the order in which they wait."""

    def __init__(self, groups: int, size: int, fitted: bool = True) -> None:
        self.seating = Seating(groups, size, lambda config: config["shape"], fitted)

    def seat(self, waiting: Sequence[Someone], wanted: str | None = None) -> list[Someone]:
        """Those who have found a seat; groups that work take nobody in."""
        self.seating.begin()
        seated: list[Someone] = []
        for each in waiting:
            others = [other for other in waiting if other not in seated]
            place = self.seating.find(each, wanted, others)  # type: ignore[arg-type]
            if place is not None:
                group, number = place
                group.seats[number] = each  # type: ignore[assignment]
                group.arrivals.append(each)  # type: ignore[arg-type]
                seated.append(each)
        for group in self.seating.groups:
            shapes = {each.shape for each in group.seats.values()}  # type: ignore[attr-defined]
            assert shapes <= {group.shape}
            assert all(0 <= number < group.size for number in group.seats)
        return seated

    def train(self, *groups: Group) -> None:
        for group in groups:
            group.training = True
            group.arrivals.clear()

    def leave(self, *trials: Someone) -> None:
        for each in trials:
            self.seating.leave(each)  # type: ignore[arg-type]

    @property
    def counts(self) -> list[int]:
        return [len(group.seats) for group in self.seating.groups]


def _trials(shapes: str) -> list[Someone]:
    return [Someone(number, shape) for number, shape in enumerate(shapes)]


def _idle(sweep: Sweep) -> None:
    sweep.train(*sweep.seating.groups)
    for group in sweep.seating.groups:
        group.training = None


def test_trials_of_one_shape_spread_over_all_groups() -> None:
    sweep, trials = Sweep(2, 4, fitted=False), _trials("AAAAAA")
    assert sweep.seat(trials) == trials
    assert sweep.counts == [3, 3]
    assert [group.size for group in sweep.seating.groups] == [4, 4]
    _idle(sweep)
    more = _trials("AAAAAAAAA")[6:]
    assert sweep.seat(more) == more[:2]


def test_a_group_has_a_seat_for_each_who_waits_for_it() -> None:
    sweep, trials = Sweep(2, 4), _trials("ABAAB")
    assert sweep.seat(trials) == trials
    assert [(group.shape, group.size) for group in sweep.seating.groups] == [("A", 3), ("B", 2)]
    alone = Sweep(2, 4)
    assert alone.seat(_trials("AAAAAA"))
    assert [(len(group.seats), group.size) for group in alone.seating.groups] == [(3, 3), (3, 3)]


def test_every_trial_may_have_another_shape() -> None:
    sweep, trials = Sweep(2, 1), _trials("ABCDEF")
    waiting, order = trials, []
    while waiting:
        seated = sweep.seat(waiting)
        assert len(seated) == 2
        order += seated
        waiting = [each for each in waiting if each not in seated]
        _idle(sweep)
        sweep.leave(*seated)
    assert order == trials


def test_a_group_that_others_wait_for_empties() -> None:
    sweep, (first, other, second, later) = Sweep(1, 4), _trials("ABAA")
    assert sweep.seat([first, other, second]) == [first, second]
    _idle(sweep)
    sweep.leave(first)
    assert sweep.seat([other, later]) == []  # though a seat is free
    assert sweep.seat([later, other]) == [later]  # who came first does not wait
    _idle(sweep)
    sweep.leave(second, later)
    assert sweep.seat([other, first]) == [other]
    assert sweep.seating.groups[0].is_new
    assert sweep.seating.groups[0].shape == "B"


def test_a_trial_comes_back_to_its_seat_and_a_clone_to_its_donors_group() -> None:
    sweep, trials = Sweep(2, 2, fitted=False), _trials("AAAA")
    sweep.seat(trials)
    _idle(sweep)
    places = [dict(group.seats) for group in sweep.seating.groups]
    for group, seats in zip(sweep.seating.groups, places, strict=True):
        sweep.leave(*seats.values())  # type: ignore[arg-type]
        group.held = {number: f"{each.trial_id}/1" for number, each in seats.items()}
    assert sweep.seat(trials[::-1]) == trials[::-1]
    assert [dict(group.seats) for group in sweep.seating.groups] == places
    newcomer = Someone(4, "A")
    sweep.leave(trials[0], trials[1])
    assert sweep.seat([newcomer], f"{trials[3].trial_id}/1") == [newcomer]
    donors = next(g for g in sweep.seating.groups if trials[3] in g.seats.values())
    assert newcomer in donors.seats.values()


def test_a_trial_whose_group_works_waits_for_it_and_holds_nobody_up() -> None:
    sweep, trials = Sweep(2, 2), _trials("AABB")
    sweep.seat(trials)
    _idle(sweep)
    first = sweep.seating.groups[0]
    sweep.leave(trials[0], trials[2])
    sweep.train(first)
    assert sweep.seat([trials[0], trials[2]]) == [trials[2]]


def test_a_trial_that_has_changed_its_shape_moves() -> None:
    sweep, trials = Sweep(2, 3), _trials("AABB")
    sweep.seat(trials)
    _idle(sweep)
    sweep.leave(trials[0], trials[3])
    trials[0].config = {"shape": "B"}
    assert sweep.seat([trials[0], trials[3]]) == [trials[0]]  # the seat of the one behind it
    _idle(sweep)
    sweep.leave(trials[1], trials[2])
    assert sweep.seat([trials[3], trials[2]]) == [trials[3], trials[2]]
    assert sweep.counts == [1, 2]


@pytest.mark.parametrize("seed", range(30))
def test_nobody_starves(seed: int) -> None:
    """Trials train for an interval, wait, change their shapes; the one furthest behind is first."""
    rng = np.random.default_rng(seed)
    groups, size, count, shapes = rng.integers(1, [4, 5, 14, 6]).tolist()
    sweep = Sweep(groups, size)
    trials = [Someone(n, str(rng.integers(shapes))) for n in range(count)]
    ages = dict.fromkeys(trials, 0)
    for _ in range(4_000):
        taken = {each for group in sweep.seating.groups for each in group.seats.values()}
        waiting = [each for each in trials if each not in taken and ages[each] < 5]
        sweep.seat(sorted(waiting, key=lambda each: (ages[each], each.trial_id)))
        busy = [g for g in sweep.seating.groups if g.seats and g.training is None]
        sweep.train(*busy)
        working = [group for group in sweep.seating.groups if group.training]
        if not working:
            break
        done = working[rng.integers(len(working))]
        done.training = None
        for each in list(done.seats.values()):
            if rng.random() < 0.6:
                ages[each] += 1  # type: ignore[index]
                sweep.leave(each)  # type: ignore[arg-type]
                if rng.random() < 0.3:
                    each.config = {"shape": str(rng.integers(shapes))}
    assert set(ages.values()) == {5}


@pytest.mark.parametrize("fitted", [True, False])
def test_groups_become_smaller_until_they_are_of_two(fitted: bool) -> None:
    sweep, trials = Sweep(1, 7, fitted), _trials("AAAAAAA")
    (group,) = sweep.seating.groups
    sizes = []
    while True:
        seated = sweep.seat(trials)
        sizes.append(group.size)
        assert len(seated) == group.size
        assert sweep.seating.free == 0
        if not sweep.seating.shrink(group.size):
            break
        group.lose_process()
    assert sizes == [7, 3, 2]


def test_a_group_that_fits_keeps_its_seats_when_others_become_smaller() -> None:
    sweep, trials = Sweep(2, 8, fitted=False), _trials("A" * 20)
    assert len(sweep.seat(trials)) == 16
    first, _ = sweep.seating.groups
    assert sweep.seating.shrink(first.size)
    first.lose_process()
    assert sweep.seating.free == 4
    _idle(sweep)
    assert len(sweep.seat(trials[16:])) == 4
    assert sweep.counts == [4, 8]
    assert sweep.seating.shrink(8)  # the second too: it is half as large, no less
    assert sweep.seating.size == 4
