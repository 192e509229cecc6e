"""A trained policy, loaded without starting Ray and without unpickling anything."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.distribution.torch.torch_distribution import TorchSquashedGaussian

from rltune import algorithms, envs
from rltune.algorithms.normalise import as_input
from rltune.algorithms.runner import to_env_actions
from rltune.checkpoints import verify
from rltune.errors import BadInput
from rltune.runs import POLICY_FILE, RunFolder
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
        out = self.net.forward_inference({Columns.OBS: as_input(self.net, torch.from_numpy(obs))})
        if Columns.ACTIONS in out:
            actions = out[Columns.ACTIONS]
        else:
            kind = self.net.get_inference_action_dist_cls()
            distribution = kind.from_logits(out[Columns.ACTION_DIST_INPUTS])
            actions = distribution.to_deterministic().sample()
            if isinstance(distribution, TorchSquashedGaussian):
                actions = actions.tanh()  # RLlib 2.60 returns the mean from before the squash
        return to_env_actions(actions.numpy(), self.action_space)


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
