"""Which values each type of setting allows, and when a value that acts is the requested one."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest

from rltune.catalog.settings import (
    Choice,
    Flag,
    Number,
    Schedule,
    Setting,
    Sizes,
    WholeNumber,
    value_at,
)

SHARE = Number("a share", 0, 1)
POSITIVE = Number("positive", 0, above_low=True)
COUNT = WholeNumber("a count", 1)
RATE = Schedule("a rate", 0, 1, above_low=True)
FLAG = Flag("a flag")
WORD = Choice("a word", ("huber", "mse"))
LAYERS = Sizes("layers")
FALLING = [[0, 1e-3], [100, 0.0]]
POINTS = "expected a number or points like [[0, 1e-3], [100000, 0.0]]"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        (SHARE, 0),
        (SHARE, 1.0),
        (POSITIVE, inf),
        (COUNT, 1),
        (RATE, 1e-3),
        (RATE, FALLING),
        (FLAG, False),
        (WORD, "mse"),
        (LAYERS, [64]),
    ],
)
def test_values_that_are_allowed(setting: Setting, value: Any) -> None:
    assert setting.problem(value) is None


@pytest.mark.parametrize(
    ("setting", "value", "problem"),
    [
        (SHARE, "1", "expected a number, got '1'"),
        (SHARE, True, "expected a number, got True"),
        (SHARE, nan, "expected a number, got nan"),
        (SHARE, 1.5, "expected a value in [0, 1], got 1.5"),
        (POSITIVE, 0, "expected a value in (0, inf], got 0"),
        (COUNT, 2.0, "expected a whole number, got 2.0"),
        (COUNT, True, "expected a whole number, got True"),
        (COUNT, 0, "expected a value in [1, inf], got 0"),
        (RATE, 0, "expected a value in (0, 1], got 0"),
        (RATE, [[0, 1e-3]], f"{POINTS}: two points or more, from step 0, in rising order;"),
        (RATE, [[5, 1e-3], [9, 0.0]], f"{POINTS}: two points or more, from step 0,"),
        (RATE, [[0, 1e-3], [0.5, 0.0]], f"{POINTS}, got "),
        (RATE, [[0, 2.0], [9, 0.0]], "expected a value in [0, 1], got 2.0"),
        (FLAG, 1, "expected true or false, got 1"),
        (WORD, "hubr", "expected one of huber, mse, got 'hubr'. Did you mean 'huber'?"),
        (LAYERS, [], "expected a list of whole numbers, got []"),
        (LAYERS, [64, True], "expected a list of whole numbers, got [64, True]"),
    ],
)
def test_values_that_are_refused(setting: Setting, value: Any, problem: str) -> None:
    assert (setting.problem(value) or "").startswith(problem)


@pytest.mark.parametrize(
    ("setting", "requested", "acting", "agree"),
    [
        (SHARE, 0.99, 0.99 * (1 + 1e-7), True),
        (SHARE, 0.99, 0.99 * (1 + 1e-5), False),
        (SHARE, 0.99, None, False),
        (POSITIVE, inf, inf, True),
        (COUNT, "auto", 4, True),  # has no form to compare with
        (RATE, FALLING, 5e-4, True),  # half-way, at step 50
        (RATE, FALLING, FALLING, True),
        (RATE, FALLING, 1e-3, False),
        (RATE, 1e-3, 2e-3, False),
        (FLAG, True, False, False),
        (WORD, "mse", "huber", False),
        (LAYERS, [64, 64], (64, 64), True),
        (LAYERS, [64, 64], [64], False),
        (WORD, None, "mse", True),  # nothing was requested
    ],
)
def test_a_value_that_acts_is_compared_with_the_request(
    setting: Setting, requested: Any, acting: Any, agree: bool
) -> None:
    assert setting.agrees(requested, acting, 50) is agree


def test_a_schedule_has_straight_lines_between_its_points() -> None:
    assert [value_at(FALLING, step) for step in (0, 25, 100, 200)] == [1e-3, 7.5e-4, 0, 0]
    assert value_at(0.5, 10) == 0.5


def test_only_a_rate_that_falls_to_zero_ends() -> None:
    assert RATE.zero_from(FALLING) == 100
    assert RATE.zero_from([[0, 1e-3], [100, 1e-4]]) == inf
    assert RATE.zero_from(1e-3) == inf
    assert Schedule("an entropy bonus", 0).zero_from(FALLING) == inf
    assert SHARE.zero_from(0) == inf
