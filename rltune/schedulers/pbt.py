"""Population Based Training (Jaderberg et al. 2017)."""

from __future__ import annotations

from typing import Any

from rltune.schedulers import Plan
from rltune.schedulers.population import Population


class Pbt(Population):
    """Explores by a random step from the donor's settings, or a fresh draw."""

    def explore(self, trial: Any, donor: Any) -> dict[str, Any]:
        """See rltune.space.Space.perturb."""
        return self.space.perturb(donor.config, self.rng, fixed=donor.config)


def build(plan: Plan) -> Pbt:
    """PBT over environment steps."""
    return Pbt(plan)
