"""Interquartile means, intervals, probability of improvement."""

from __future__ import annotations

import numpy as np
import pytest

from rltune.statistics import improvement, interval, iqm


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
