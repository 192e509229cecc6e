"""Population Based Bandits (Parker-Holder et al. 2020 and, for choices, 2021)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from rltune.schedulers.bandit import arm_probabilities
from rltune.schedulers.base import SchedulerContext
from rltune.schedulers.gains import GainModel, Interval
from rltune.schedulers.gp import Array
from rltune.schedulers.population import Population
from rltune.space import Choice, Space

#: Intervals that the process is fitted on: the latest; older ones have little to say.
MEMORY = 200
#: Points of the cube that the acquisition is tried at, and the best of them it climbs from.
CANDIDATES, CLIMBS = 512, 3
#: Deviation of the candidates about the donor, on the unit cube.
NEAR = 0.1
#: Columns of a point before the settings: when an interval starts, and from which return.
CONTEXT = 2


class Pb2Explorer:
    """Explores where a Gaussian process expects the largest gain in return.

    The process predicts the gain per environment step of an interval from when it starts, from
    which return, and the settings: numbers by their position on the unit cube, so that each is
    modelled on the scale it is searched on, choices as categories (PB2-Mix). The options of a
    choice are arms of a time-varying bandit (PB2-Mult), which draws them for every candidate; the
    candidate of the highest upper confidence bound is proposed, in the light of what other members
    are trying already.

    Args:
        space: the settings that an exploit may change.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self.space = space
        self.choices = {name: p for name, p in space.items() if isinstance(p, Choice)}
        self.ordered = space.only([name for name in space if name not in self.choices])
        self.rng = np.random.default_rng([seed, 1])
        #: Where a member's present interval began: env_steps and return.
        self._starts: dict[str, tuple[float, float]] = {}
        self._rows: list[Interval] = []
        #: Points of exploits that no report has answered yet, by member.
        self._pending: dict[str, list[float]] = {}

    def observe(self, member: str, env_steps: int, score: float, values: Mapping[str, Any]) -> None:
        """The end of a member's interval; one that begins or ends without a return is ignored."""
        self._pending.pop(member, None)
        start = self._starts.pop(member, None)
        if not math.isfinite(score):
            return
        self._starts[member] = (float(env_steps), float(score))
        if start is None or env_steps <= start[0] or not self._is_known(values):
            return
        steps = env_steps - start[0]
        self._rows.append((self._encode(*start, values), steps, (score - start[1]) / steps))
        del self._rows[:-MEMORY]

    def explore(
        self, member: str, env_steps: int, score: float, donor: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The settings of the highest upper confidence bound; a PBT step while there is no data.

        The member's next gain counts from the donor's return, which comes with the weights.
        """
        found = None
        if self._rows and math.isfinite(score):
            found = next(self.proposals(env_steps, score, donor), None)
        values = found or self.space.perturb(donor, self.rng, fixed=donor)
        self._starts.pop(member, None)
        if math.isfinite(score):
            self._starts[member] = (float(env_steps), float(score))
            self._pending[member] = self._encode(env_steps, score, values)
        return values

    def proposals(
        self, env_steps: int, score: float, donor: Mapping[str, Any]
    ) -> Iterator[dict[str, Any]]:
        """Changed settings that keep the constraints, best first."""
        # Matrices this small are several times slower on threads, whose cores trials are using.
        with threadpool_limits(1, user_api="blas"):
            model = GainModel(self._rows, list(self._pending.values()), len(self.choices))
            ranked = self._ranked(model, env_steps, score, donor)
        for point in ranked:
            proposal = self._decode(point)
            if self.space.changes(donor, proposal) and not self.space.broken({**donor, **proposal}):
                yield proposal

    def get_state(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "rng": self.rng.bit_generator.state,
            "starts": {member: list(start) for member, start in self._starts.items()},
            "rows": [list(row) for row in self._rows],
            "pending": {member: list(point) for member, point in self._pending.items()},
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continues from a state of :meth:`get_state`."""
        self.rng.bit_generator.state = state["rng"]
        self._starts = {m: (steps, score) for m, (steps, score) in state["starts"].items()}
        self._rows = [(list(point), steps, gain) for point, steps, gain in state["rows"]]
        self._pending = {member: list(point) for member, point in state["pending"].items()}

    def _is_known(self, values: Mapping[str, Any]) -> bool:
        return all(name in values for name in self.space) and all(
            choice.contains(values[name]) for name, choice in self.choices.items()
        )

    def _encode(self, env_steps: float, score: float, values: Mapping[str, Any]) -> list[float]:
        """Time, return, position of each number, option of each choice."""
        units = self.ordered.to_unit(values)
        arms = [choice.index(values[name]) for name, choice in self.choices.items()]
        return [float(x) for x in (env_steps, score, *units, *arms)]

    def _decode(self, point: Array) -> dict[str, Any]:
        """The inverse of :meth:`_encode`; a number becomes the value its position stands for."""
        units, arms = np.split(point[CONTEXT:], [len(self.ordered)])
        options = zip(self.choices.items(), arms, strict=True)
        values = {
            **self.ordered.from_unit(units),
            **{name: choice.options[int(arm)] for (name, choice), arm in options},
        }
        return {name: values[name] for name in self.space}

    def _ranked(
        self, model: GainModel, env_steps: int, score: float, donor: Mapping[str, Any]
    ) -> Array:
        """Candidates by their acquisition, best first."""
        points = self._candidates(model.rewards, env_steps, score, donor)
        ordered = slice(CONTEXT, CONTEXT + len(self.ordered))
        best = points[np.argsort(-model.acquisition(points))[:CLIMBS]]
        points = np.vstack([*(model.climb(point, ordered) for point in best), points])
        # What counts is the value a position stands for: a whole number has a few of them.
        for point in points:
            point[ordered] = self.ordered.to_unit(self.ordered.from_unit(point[ordered]))
        best_first: Array = points[np.argsort(-model.acquisition(points), kind="stable")]
        return best_first

    def _candidates(
        self, rewards: Array, env_steps: int, score: float, donor: Mapping[str, Any]
    ) -> Array:
        """Points all over the cube and about the donor, with options as their bandits draw them."""
        own = self.ordered.to_unit(donor)
        near = own + NEAR * self.rng.standard_normal((CANDIDATES // 2, len(own)))
        anywhere = self.rng.random((CANDIDATES - len(near), len(own)))
        columns = [
            np.tile([env_steps, score], (CANDIDATES, 1)),
            np.vstack([anywhere, near.clip(0, 1)]),
        ]
        for column, choice in enumerate(self.choices.values(), start=CONTEXT + len(own)):
            pulled = [int(point[column]) for point, _, _ in self._rows]
            chances = arm_probabilities(pulled, rewards, len(choice.options))
            columns.append(self.rng.choice(len(chances), (CANDIDATES, 1), p=chances))
        return np.hstack(columns)


def build(context: SchedulerContext) -> Population:
    """PB2 over environment steps."""
    spec = context.spec
    return Population(context, Pb2Explorer(context.changes, spec.seed))
