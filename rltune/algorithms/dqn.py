"""DQN (Mnih et al. 2015), up to Rainbow (Hessel et al. 2018), with RLlib's loss."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from ray.rllib.algorithms import dqn as rllib_dqn
from ray.rllib.algorithms.dqn.default_dqn_rl_module import (
    ATOMS,
    QF_NEXT_PREDS,
    QF_PREDS,
    QF_PROBS,
    QF_TARGET_NEXT_PREDS,
    QF_TARGET_NEXT_PROBS,
)
from ray.rllib.algorithms.dqn.torch.default_dqn_torch_rl_module import DefaultDQNTorchRLModule
from ray.rllib.algorithms.dqn.torch.dqn_torch_learner import DQNTorchLearner
from ray.rllib.core.columns import Columns

from rltune.algorithms.audit import Reading
from rltune.algorithms.env_runner import ArrayEnvRunner
from rltune.algorithms.image_encoder import DQNImageCatalog
from rltune.algorithms.off_policy import OffPolicyMixin, ReplayConfigMixin, ReplayLearnerMixin
from rltune.engine.codec import UnsupportedSpace, legal, masked
from rltune.engine.noisy_linear import NoisyLinear, make_noisy
from rltune.engine.normalisation import NormalisationMixin


class DQNModule(NormalisationMixin, DefaultDQNTorchRLModule):
    """RLlib's network; with ``noisy`` the heads' layers are noisy ones, which RLlib leaves out."""

    def setup(self) -> None:
        """Builds encoder and heads."""
        super().setup()
        if self.model_config.get("noisy"):
            make_noisy(self.af, self.model_config["std_init"])
            if self.uses_dueling:
                make_noisy(self.vf, self.model_config["std_init"])

    def legal_q_values(self, batch: dict[str, Any]) -> torch.Tensor:
        """Q values of shape (N, actions), those of illegal actions out of reach."""
        values: torch.Tensor = self.compute_q_values(batch)[QF_PREDS]
        return self.allow(batch, values)

    def _forward_inference(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        return {Columns.ACTIONS: self.legal_q_values(batch).argmax(-1)}

    def _forward_train(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        """RLlib's outputs. Nothing of the next observations is tracked: they have no gradient.

        The best next action is one that the next observation's mask allows.
        """
        following = {Columns.OBS: batch[Columns.NEXT_OBS]}
        out: dict[str, torch.Tensor] = self.compute_q_values({Columns.OBS: batch[Columns.OBS]})
        with torch.no_grad():
            if self.uses_double_q:
                out[QF_NEXT_PREDS] = self.legal_q_values(following)
            target = self.forward_target(following)
        out[QF_TARGET_NEXT_PREDS] = self.allow(following, target[QF_PREDS])
        if self.num_atoms > 1:
            out[ATOMS] = target[ATOMS]
            out[QF_TARGET_NEXT_PROBS] = target[QF_PROBS]
        return out


class DQNRunner(ArrayEnvRunner):
    """Epsilon-greedy on the network's Q values."""

    def make_env(self) -> None:
        """The vectorised environment.

        Raises:
            UnsupportedSpace: its actions are not Discrete.
        """
        super().make_env()
        space = self.env.single_action_space
        if not isinstance(space, gym.spaces.Discrete):
            raise UnsupportedSpace(
                f"dqn acts in Discrete, and the actions of {self.config.env} are read as "
                f"{type(space).__name__}: use ppo"
            )

    def act(self, obs: torch.Tensor, env_steps: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The best actions, or random ones with probability epsilon."""
        schedule = self.module.epsilon_schedule
        schedule.update(env_steps)
        actions = self._random_actions(obs)
        greedy = self.rng.random(len(obs)) >= float(schedule.get_current_value())
        if greedy.any():
            q_values = self.module.legal_q_values({Columns.OBS: obs})
            actions[greedy] = q_values.argmax(-1).cpu().numpy()[greedy]
        return actions, {}

    def _random_actions(self, obs: torch.Tensor) -> np.ndarray:
        """A legal action for each observation, shape (N,)."""
        count, spaces = int(self.env.single_action_space.n), self.env.single_observation_space
        if not masked(spaces):
            return self.rng.integers(count, size=len(obs))
        allowed = legal(spaces, obs.cpu().numpy())
        drawn: np.ndarray = np.where(allowed, self.rng.random(allowed.shape), -1.0).argmax(-1)
        return drawn

    def acting(self) -> list[Reading]:
        """Epsilon's too, from the schedule that acts."""
        found, schedule = super().acting(), self.module.epsilon_schedule
        if not schedule.use_schedule:
            return found
        (_, first), *_, (until, last) = schedule._schedule.endpoints
        epsilon = {"initial_epsilon": first, "final_epsilon": last, "epsilon_timesteps": until}
        return found + [Reading(name, "schedule", value) for name, value in epsilon.items()]


class DQNLearner(ReplayLearnerMixin, DQNTorchLearner):
    """RLlib's DQN loss on batches of a replay buffer."""


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
    flat_model_keys = (*ReplayConfigMixin.flat_model_keys, "noisy")

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or DQN)
        self.initial_epsilon = 1.0
        self.final_epsilon: float | None = None
        self.epsilon_timesteps = 10_000
        self.rollout_fragment_length = 4
        self.training_intensity = 8.0

    def validate(self) -> None:
        """Raises ValueError for settings that cannot be."""
        if self.final_epsilon is not None:
            self.epsilon = [[0, self.initial_epsilon], [self.epsilon_timesteps, self.final_epsilon]]
        super().validate()

    def on_arrays_alone(self) -> dict[str, Any]:
        """Noisy networks too."""
        return {**super().on_arrays_alone(), "noisy": self.noisy}


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

    def asked(self) -> dict[str, Any]:
        """Without epsilon's settings, where it was asked for in RLlib's form."""
        asked = super().asked()
        if self.config.final_epsilon is None:
            for name in ("initial_epsilon", "final_epsilon", "epsilon_timesteps"):
                asked.pop(name, None)
        return asked

    def memory(self) -> dict[str, Any]:
        """Epsilon too."""
        schedule = self.learner.net.epsilon_schedule
        schedule.update(self.env_steps)
        return {**super().memory(), "epsilon": float(schedule.get_current_value())}
