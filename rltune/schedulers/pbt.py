"""Population Based Training (Jaderberg et al. 2017, arXiv 1711.09846)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rltune.schedulers.base import SchedulerContext
from rltune.schedulers.population import Population
from rltune.space import Space


class PbtExplorer:
    """Explores by a random step from the donor's settings, or a fresh draw.

    Args:
        space: the settings that an exploit may change.
        resample_probability: of a fresh draw, for each setting by itself; the paper's 0.25.
    """

    def __init__(self, space: Space, seed: int, resample_probability: float = 0.25) -> None:
        self.space = space
        self.resample_probability = resample_probability
        self.rng = np.random.default_rng([seed, 1])

    def observe(self, member: str, env_steps: int, score: float, values: Mapping[str, Any]) -> None:
        """Learns nothing: PBT's step does not look at what came before."""

    def explore(
        self, member: str, env_steps: int, score: float, donor: Mapping[str, Any]
    ) -> dict[str, Any]:
        """See rltune.space.Space.perturb."""
        return self.space.perturb(donor, self.rng, self.resample_probability, fixed=donor)

    def get_state(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {"rng": self.rng.bit_generator.state}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continues from a state of :meth:`get_state`."""
        self.rng.bit_generator.state = state["rng"]


def build(context: SchedulerContext) -> Population:
    """PBT over environment steps."""
    spec = context.spec
    return Population(
        context, PbtExplorer(context.changes, spec.seed, spec.budget.resample_probability)
    )
