"""Interquartile means, intervals, probability of improvement."""

from __future__ import annotations

import numpy as np
import pytest

from rltune.statistics import improvement, interval, iqm, share_interval, worst_tenth


def test_iqm_is_the_mean_of_the_middle_half() -> None:
    assert iqm([0.0, 10.0, 20.0, 1000.0]) == 15.0
    np.testing.assert_allclose(iqm([[0, 1, 2, 9], [5, 5, 5, 5]]), [1.5, 5.0])


def test_the_interval_of_the_iqm_covers_it_at_its_stated_rate() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        low, high = interval(rng.normal(5.0, 2.0, 20), of=iqm)
        covered += low <= 5.0 <= high
    assert 0.85 <= covered / 200 <= 0.99


def test_equal_scores_give_an_interval_of_width_zero() -> None:
    assert interval([500.0] * 10, of=iqm) == (500.0, 500.0)
    assert interval([1.0] * 6, [0.0] * 5, of=improvement) == (1.0, 1.0)


@pytest.mark.fault(87)
def test_few_values_have_no_interval() -> None:
    """What the values of four runs span holds their median seven times in eight at most."""
    assert np.isnan(interval([3.0, 3.0])).all()
    assert np.isnan(interval([1.0] * 9, [0.0] * 4, of=improvement)).all()
    assert not np.isnan(interval([1.0, 2.0, 3.0, 4.0, 5.0])).any()


def test_improvement_counts_pairs_with_ties_as_half() -> None:
    assert improvement([3, 4], [1, 2]) == 1.0
    assert improvement([1, 2], [1, 2]) == pytest.approx(0.5)
    assert improvement([1, 5], [2, 3, 4]) == pytest.approx(0.5)
    ours, theirs = [1.0, 5.0, 6.0, 7.0, 8.0], [2.0, 3.0, 4.0, 4.0, 4.0]
    low, high = interval(ours, theirs, of=improvement)
    assert 0 <= low < 0.8 < high <= 1


def test_the_worst_tenth_counts_a_value_as_far_as_it_lies_in_it() -> None:
    assert worst_tenth(np.arange(100.0)[::-1]) == pytest.approx(4.5)
    assert worst_tenth([7.0, *[9.0] * 9]) == 7.0
    assert worst_tenth([0.0, 10.0, *[50.0] * 13]) == pytest.approx(5.0 / 1.5)
    np.testing.assert_allclose(worst_tenth([[1.0] * 20, [*[3.0] * 19, 1.0]]), [1.0, 2.0])
    drawn = np.random.default_rng(0).normal(size=100_000)
    assert worst_tenth(drawn) == pytest.approx(-1.755, abs=0.02)  # of a normal distribution
    low, high = interval(np.arange(100.0), of=worst_tenth)
    assert low < 4.5 < high < 15


def test_the_interval_of_a_share_is_wilsons() -> None:
    """Values of Newcombe 1998, table I: two-sided intervals for the single proportion."""
    for successes, of, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605)):
        assert share_interval(successes, of) == pytest.approx((low, high), abs=1e-4)
    assert share_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert share_interval(1, 29) == pytest.approx((0.0061, 0.1718), abs=1e-4)
