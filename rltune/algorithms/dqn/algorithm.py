"""DQN's config and its algorithm."""

from __future__ import annotations

from typing import Any

from ray.rllib.algorithms import dqn as rllib_dqn

from rltune.algorithms.audit import Reading
from rltune.algorithms.dqn.attributes import ATTRIBUTES
from rltune.algorithms.dqn.learner import DQNLearner
from rltune.algorithms.dqn.module import DQNImageCatalog, DQNModule
from rltune.algorithms.dqn.runner import DQNRunner
from rltune.algorithms.off_policy import OffPolicyMixin, ReplayConfigMixin
from rltune.engine.noisy_linear import NoisyLinear

#: Epsilon at the start, and the steps over which it falls: RLlib's own.
EPSILON = (1.0, 10_000)


class DQNConfig(ReplayConfigMixin, rllib_dqn.DQNConfig):
    """RLlib's DQNConfig, with epsilon and buffer as flat settings that can be searched.

    ``initial_epsilon``, ``final_epsilon`` and ``epsilon_timesteps`` make RLlib's ``epsilon``
    schedule; RLlib's own form works too.
    """

    algorithm = "dqn"
    runner_class = DQNRunner
    learner_subclass = DQNLearner
    module_class = DQNModule
    catalog_class = DQNImageCatalog
    config_attributes = ATTRIBUTES
    flat_model_keys = (*ReplayConfigMixin.flat_model_keys, "noisy")

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or DQN)
        self.initial_epsilon, self.epsilon_timesteps = EPSILON
        self.final_epsilon: float | None = None
        self.rollout_fragment_length = 4
        self.training_intensity = 8.0

    def validate(self) -> None:
        """Raises ValueError for settings that cannot be."""
        if self.final_epsilon is None and (self.initial_epsilon, self.epsilon_timesteps) != EPSILON:
            self._value_error(
                "initial_epsilon and epsilon_timesteps act with final_epsilon alone: give it too"
            )
        if self.final_epsilon is not None:
            self.epsilon = [[0, self.initial_epsilon], [self.epsilon_timesteps, self.final_epsilon]]
        super().validate()

    def array_engine_only(self) -> dict[str, Any]:
        """Noisy networks too."""
        return {**super().array_engine_only(), "noisy": self.noisy}


class DQN(OffPolicyMixin, rllib_dqn.DQN):
    """Drop-in for ``ray.rllib.algorithms.dqn.DQN``."""

    name = "dqn"
    config_class = DQNConfig

    def readings(self) -> list[Reading]:
        """Double Q, heads and atoms, read from the network."""
        found = super().readings()
        if not self.on_arrays:
            return found
        net = self.learner.net
        acting = {
            "double_q": net.uses_double_q,
            "dueling": net.uses_dueling,
            "num_atoms": net.num_atoms,
            "noisy": any(isinstance(layer, NoisyLinear) for layer in net.modules()),
        }
        if net.num_atoms > 1:
            acting |= {"v_min": net.v_min, "v_max": net.v_max}
        return found + [Reading(name, "network", value) for name, value in acting.items()]

    def requested(self) -> dict[str, Any]:
        """Without epsilon's settings, where it was asked for in RLlib's form."""
        asked = super().requested()
        if self.config.final_epsilon is None:
            for name in ("initial_epsilon", "final_epsilon", "epsilon_timesteps"):
                asked.pop(name, None)
        return asked

    def memory(self) -> dict[str, Any]:
        """Epsilon too."""
        schedule = self.learner.net.epsilon_schedule
        schedule.update(self.env_steps)
        return {**super().memory(), "epsilon": float(schedule.get_current_value())}
