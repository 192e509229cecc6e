"""Ax's choice of model and acquisition (Olson et al. 2025): a Gaussian process of BoTorch."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Sequence

import numpy as np
from ax.api.client import Client
from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig
from ax.utils.common.logger import set_stderr_log_level

from rltune.searchers.library import LibrarySearcher, Point, Tried, scores
from rltune.spec import RunSpec

Parameters = dict[str, float | int]


class AxSearcher(LibrarySearcher):
    """Asks a client of Ax that holds the history.

    The first five trials are a Sobol draw each. A trial that runs is pending. A failure has the
    worst score of all: Ax leaves failed trials out, and would propose them again. It proposes no
    point twice: where every option of a space of choices is tried, suggestions are random draws.
    """

    proposals = 1

    def __init__(self, spec: RunSpec) -> None:
        super().__init__(spec)
        set_stderr_log_level(logging.ERROR)
        self._numbers = [f"n{n}" for n in range(len(self.cube.numbers))]
        self._choices = [f"c{n}" for n in range(len(self.cube.choices))]

    def propose(self, seed: int, tried: Sequence[Tried], running: Sequence[Point]) -> Point:
        """Asks once, while there is a point that was not tried."""
        counts = list(self.cube.choices.values())
        known = {one.point for one in tried}.union(running)
        if not self.cube.numbers and len(known) == math.prod(counts):
            # Ax looks for a minute for another one, which since 1.3 ends in an error.
            return Point((), tuple(map(int, np.random.default_rng(seed).integers(counts))))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            client = self._client(seed)
            for one, score in zip(tried, scores(tried), strict=True):
                trial = client.attach_trial(self._parameters(one.point))
                client.complete_trial(trial, raw_data={"score": score})
            for point in running:
                client.attach_trial(self._parameters(point))
            (asked,) = client.get_next_trials(max_trials=1).values()
        return Point(
            tuple(float(asked[name]) for name in self._numbers),
            tuple(int(asked[name]) for name in self._choices),
        )

    def _client(self, seed: int) -> Client:
        client = Client(random_seed=seed)
        numbers = [
            RangeParameterConfig(name=name, bounds=(0.0, 1.0), parameter_type="float")
            for name in self._numbers
        ]
        choices = [
            ChoiceParameterConfig(
                name=name, values=list(range(count)), parameter_type="int", is_ordered=False
            )
            for name, count in zip(self._choices, self.cube.choices.values(), strict=True)
        ]
        client.configure_experiment([*numbers, *choices])
        client.configure_optimization(objective="score")
        client.configure_generation_strategy(
            initialization_random_seed=seed,
            initialize_with_center=False,
            allow_exceeding_initialization_budget=True,
        )
        return client

    def _parameters(self, point: Point) -> Parameters:
        numbers = zip(self._numbers, point.units, strict=True)
        return dict(numbers) | dict(zip(self._choices, point.options, strict=True))


def build(spec: RunSpec) -> AxSearcher:
    """Ax."""
    return AxSearcher(spec)
