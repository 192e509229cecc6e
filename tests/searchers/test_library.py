"""What every library is asked within."""

from __future__ import annotations

import random

import numpy as np
import torch

from rltune.searchers.library import quiet


def _drawn() -> tuple[float, float, float]:
    return random.random(), float(np.random.random()), float(torch.rand(1))  # noqa: NPY002


def test_a_library_draws_from_seeded_generators_on_one_thread() -> None:
    with quiet(3):
        first, threads = _drawn(), torch.get_num_threads()
    with quiet(3):
        again = _drawn()
    with quiet(4):
        other = _drawn()
    assert first == again
    assert not set(first) & set(other)
    assert threads == 1


def test_generators_and_threads_are_put_back() -> None:
    states = random.getstate(), str(np.random.get_state()), torch.get_rng_state()  # noqa: NPY002
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with quiet(3):
            _drawn()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert random.getstate() == states[0]
    assert str(np.random.get_state()) == states[1]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])
