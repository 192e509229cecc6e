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
#: How far the trust region reaches on the unit cube, and at most which share of the way to a face.
RADIUS, APPROACH = 0.2, 0.75
#: Points of the trust region that are compared.
CANDIDATES = 256
#: Columns of a point before the settings: when an interval starts, and from which return.
CONTEXT = 2


class Pb2Explorer:
    """Explores where a Gaussian process expects the largest gain in return.

    The process predicts the gain per environment step of an interval from when it starts, from
    which return, and the settings: numbers by their position on the unit cube, so that each is
    modelled on the scale it is searched on, choices as categories (PB2-Mix). The options of a
    choice are arms of a time-varying bandit (PB2-Mult), which draws them for every candidate.

    Candidates lie in a trust region around the donor's settings (Wan et al. 2022, BG-PBT), and the
    best one in a draw from the process is proposed (Thompson sampling in a trust region: Eriksson
    et al. 2019, TuRBO). PB2's own rule, the highest upper confidence bound anywhere, finds the
    corners of the space: they are furthest from all that was tried, so that with few noisy
    intervals most of its values lay on a bound. From within the region a bound is reached in
    several steps, each copied because it did well. Draws differ, so that members who explore at
    the same time try different settings. The figures are in docs/tuning.md.

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

    def observe(self, member: str, env_steps: int, score: float, values: Mapping[str, Any]) -> None:
        """The end of a member's interval; one that begins or ends without a return is ignored."""
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
        """The settings of the largest gain in a draw; a PBT step while there is no data.

        The member's next gain counts from the donor's return, which comes with the weights.
        """
        found = None
        if self._rows and math.isfinite(score):
            found = next(self.proposals(env_steps, score, donor), None)
        values = found or self.space.perturb(donor, self.rng, fixed=donor)
        self._starts.pop(member, None)
        if math.isfinite(score):
            self._starts[member] = (float(env_steps), float(score))
        return values

    def proposals(
        self, env_steps: int, score: float, donor: Mapping[str, Any]
    ) -> Iterator[dict[str, Any]]:
        """Changed settings that keep the constraints, best first."""
        # Matrices this small are several times slower on threads, whose cores trials are using.
        with threadpool_limits(1, user_api="blas"):
            model = GainModel(self._rows, len(self.choices))
            points = self._candidates(model.rewards, env_steps, score, donor)
            gains = model.draw(points, self.rng)
        for point in points[np.argsort(-gains, kind="stable")]:
            proposal = self._decode(point)
            if self.space.changes(donor, proposal) and not self.space.broken({**donor, **proposal}):
                yield proposal

    def get_state(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "rng": self.rng.bit_generator.state,
            "starts": dict(self._starts),
            "rows": list(self._rows),
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continues from a state of :meth:`get_state`."""
        self.rng.bit_generator.state = state["rng"]
        self._starts = {m: (steps, score) for m, (steps, score) in state["starts"].items()}
        self._rows = [(list(point), steps, gain) for point, steps, gain in state["rows"]]

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

    def _candidates(
        self, rewards: Array, env_steps: int, score: float, donor: Mapping[str, Any]
    ) -> Array:
        """Points of the trust region, with options as their bandits draw them."""
        low, high = self._trust_region(donor)
        drawn = self.rng.uniform(low, high, (CANDIDATES, len(low)))
        # What counts is the value a position stands for: a whole number has a few of them.
        units = [self.ordered.to_unit(self.ordered.from_unit(point)) for point in drawn]
        columns = [np.tile([env_steps, score], (CANDIDATES, 1)), np.array(units)]
        for column, choice in enumerate(self.choices.values(), start=CONTEXT + len(low)):
            pulled = [int(point[column]) for point, _, _ in self._rows]
            chances = arm_probabilities(pulled, rewards, len(choice.options))
            columns.append(self.rng.choice(len(chances), (CANDIDATES, 1), p=chances))
        return np.hstack(columns)

    def _trust_region(self, donor: Mapping[str, Any]) -> tuple[Array, Array]:
        """Lowest and highest position of each number, inside the cube."""
        own = self.ordered.to_unit(donor)
        low = own - np.minimum(RADIUS, APPROACH * own)
        high = own + np.minimum(RADIUS, APPROACH * (1 - own))
        for column, (name, number) in enumerate(self.ordered.items()):
            if number.from_unit(low[column]) == number.from_unit(high[column]):
                # Too small for another one of a few values.
                value = number.nearest(donor[name])
                steps = [number.to_unit(other) for other in number.neighbours(value)]
                low[column], high[column] = min(steps), max(steps)
        return low, high


def build(context: SchedulerContext) -> Population:
    """PB2 over environment steps."""
    spec = context.spec
    return Population(context, Pb2Explorer(context.changes, spec.seed))
