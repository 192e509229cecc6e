"""SAC's config and its algorithm."""

from __future__ import annotations

from typing import Any

from ray.rllib.algorithms import sac as rllib_sac

from rltune.algorithms.audit import Reading
from rltune.algorithms.off_policy import OffPolicyMixin, ReplayConfigMixin
from rltune.algorithms.sac.attributes import ATTRIBUTES
from rltune.algorithms.sac.learner import SACLearner
from rltune.algorithms.sac.module import ObsActionCatalog, SACModule
from rltune.algorithms.sac.runner import SACRunner


class SACConfig(ReplayConfigMixin, rllib_sac.SACConfig):
    """RLlib's SACConfig, with the buffer as flat settings that can be searched.

    The critics are the paper's own (see :class:`ObsActionCatalog`); a module of yours, set with
    ``rl_module()``, is taken as it is.
    """

    algorithm = "sac"
    runner_class = SACRunner
    learner_subclass = SACLearner
    module_class = SACModule
    catalog_class = ObsActionCatalog
    config_attributes = ATTRIBUTES

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or SAC)
        self.noise_correlation = 0.0
        #: The critics' loss: "huber", as RLlib has it, or "mse", as the paper has.
        self.td_error_loss_fn = "huber"
        self.rollout_fragment_length = 1
        self.training_intensity = 256.0

    def array_engine_only(self) -> dict[str, Any]:
        """The correlation of the noise and the squared TD error too."""
        return {
            **super().array_engine_only(),
            "noise_correlation": self.noise_correlation,
            "td_error_loss_fn": self.td_error_loss_fn != "huber",
        }


class SAC(OffPolicyMixin, rllib_sac.SAC):
    """Drop-in for ``ray.rllib.algorithms.sac.SAC``."""

    name = "sac"
    config_class = SACConfig

    def readings(self) -> list[Reading]:
        """The critics, read from the network."""
        found = super().readings()
        if self.on_arrays:
            found.append(Reading("twin_q", "network", self.learner.net.twin_q))
        return found
