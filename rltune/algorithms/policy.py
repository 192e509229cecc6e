"""A trained policy, loaded without starting Ray and without unpickling anything."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from ray.rllib.algorithms.dqn.default_dqn_rl_module import QF_PREDS
from ray.rllib.core.columns import Columns
from ray.rllib.core.distribution.torch.torch_distribution import TorchSquashedGaussian
from ray.rllib.core.rl_module.apis import QNetAPI
from torch import nn

from rltune import algorithms, envs
from rltune.algorithms.normalise import as_input
from rltune.algorithms.runner import to_env_actions
from rltune.checkpoints import POLICY_FILE, verify
from rltune.errors import BadInput
from rltune.runs import RunFolder
from rltune.settings import algorithm
from rltune.spec import RunSpec


class Policy:
    """A network that acts greedily.

    Attributes:
        net: RLlib's RLModule.
        action_space: of one environment.
        frame_stack: observations joined to the one it acts on.
    """

    def __init__(self, net: Any, action_space: gym.Space[Any], frame_stack: int = 1) -> None:
        self.net = net
        self.action_space = action_space
        self.frame_stack = frame_stack

    @torch.no_grad()
    def act(self, obs: np.ndarray) -> np.ndarray:
        """The likeliest actions for observations (N, ...), as the environment takes them."""
        actions = likeliest(self.net, torch.from_numpy(obs))
        return to_env_actions(actions.numpy(), self.action_space)

    @torch.no_grad()
    def ratings(self, obs: np.ndarray) -> np.ndarray:
        """Of every numbered action, (N, actions): Q values or logits, of which act() takes the
        largest."""
        batch = {Columns.OBS: as_input(self.net, torch.from_numpy(obs))}
        if isinstance(self.net, QNetAPI):
            rated: torch.Tensor = self.net.compute_q_values(batch)[QF_PREDS]
        else:
            rated = self.net.forward_inference(batch)[Columns.ACTION_DIST_INPUTS]
        return rated.numpy()

    def module(self) -> Greedy:
        """The same as one torch module, to be taken elsewhere."""
        return Greedy(self.net, self.action_space).eval()


class Greedy(nn.Module):
    """Observations (N, ...) of an environment to the actions it takes, all of it in torch.

    The bounds of the actions are within: see :func:`to_env_actions`, which it repeats.
    """

    low: torch.Tensor
    high: torch.Tensor

    def __init__(self, net: Any, action_space: gym.Space[Any]) -> None:
        super().__init__()
        self.net = net
        self.stretches = isinstance(action_space, gym.spaces.Box) and action_space.is_bounded()
        if self.stretches:
            self.register_buffer("low", torch.from_numpy(action_space.low))
            self.register_buffer("high", torch.from_numpy(action_space.high))

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        """float32 or, of pictures, uint8 to whole numbers or to numbers within the bounds."""
        actions = likeliest(self.net, obs)
        if not self.stretches:
            return actions
        share = (actions.clamp(-1.0, 1.0) + 1.0) / 2.0
        return (self.low + share * (self.high - self.low)).to(self.low.dtype)


def likeliest(net: Any, obs: torch.Tensor) -> torch.Tensor:
    """What an RLModule would do with observations (N, ...), without exploring."""
    out = net.forward_inference({Columns.OBS: as_input(net, obs)})
    if Columns.ACTIONS in out:
        chosen: torch.Tensor = out[Columns.ACTIONS]
        return chosen
    distribution = net.get_inference_action_dist_cls().from_logits(out[Columns.ACTION_DIST_INPUTS])
    actions: torch.Tensor = distribution.to_deterministic().loc
    if isinstance(distribution, TorchSquashedGaussian):
        actions = actions.tanh()  # RLlib 2.60 returns the mean from before the squash
    return actions


def load_policy(spec: RunSpec, folder: RunFolder, checkpoint: Path) -> Policy:
    """The policy of a checkpoint of a run.

    Raises:
        BadCheckpoint: its weights are missing or damaged, or another algorithm's.
        BadInput: its weights cannot be read.
    """
    verify(checkpoint, spec.algo, only=(POLICY_FILE,))
    record = folder.record(checkpoint)
    frame_stack = record["settings"].get("frame_stack", 1)
    env = envs.make(spec.env_id, spec.env_args, frame_stack)
    trainable = getattr(algorithms, algorithm(spec.algo).class_name)
    config = trainable.get_default_config().update_from_dict(record["settings"])
    config.validate()
    spaces = {"default_policy": (env.observation_space, env.action_space)}
    net = config.get_rl_module_spec(spaces=spaces, inference_only=True).build()
    env.close()
    path = checkpoint / POLICY_FILE
    try:
        weights = torch.load(path, weights_only=True, map_location="cpu")
    except (OSError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise BadInput(f"{path} cannot be read as weights: {error}") from error
    missing = net.load_state_dict(weights, strict=False).missing_keys
    if missing:
        raise BadInput(f"{path} lacks {', '.join(missing)}: it is of another network")
    net.eval()
    return Policy(net, env.action_space, frame_stack)
