"""Builds batches of members from RLlib's networks and configs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from rltune.algorithms.image_encoder import ImageEncoder
from rltune.catalog.batches import horizon
from rltune.engine.population.layers import NotStackable, Stack, stack
from rltune.engine.population.normalisation import Moments, Reader
from rltune.engine.population.off_policy import OffPolicyLearner


def encoder(net: nn.Module, path: str) -> Stack:
    """The layers of one of RLlib's encoders.

    Raises:
        NotStackable: it is of no known kind.
    """
    module = net.get_submodule(path)
    if isinstance(module, ImageEncoder):
        return stack(net, f"{path}.convolutions", f"{path}.hidden.mlp")
    if hasattr(module, "net") and hasattr(module.net, "mlp"):
        return stack(net, f"{path}.net.mlp")
    raise NotStackable(f"{path} is {type(module).__name__}, which no batch of members has")


def reader(net: Any, members: int, device: torch.device, dtype: torch.dtype) -> Reader:
    """What turns observations into the networks' input, with filters as they are at the start."""
    shape = net.observation_space.shape
    wanted = net.observation_filter is not None
    moments = Moments(members, shape, device) if wanted else None
    return Reader(net.divisor, moments, net.masked, len(shape) == 3, dtype)


class Table:
    """The hyperparameters of every member, by its clock.

    Args:
        names: of the hyperparameters, which are attributes of the configs. A number, None or
            "auto" for infinity, or a schedule in RLlib's form, ``[[env_steps, value], ...]``.
        configs: one a member.
    """

    def __init__(self, names: Sequence[str], configs: Sequence[Any]) -> None:
        self._values = np.empty((len(names), len(configs)))
        self._schedules: dict[tuple[int, int], Any] = {}
        for row, name in enumerate(names):
            for member, config in enumerate(configs):
                value = getattr(config, name)
                if isinstance(value, list | tuple):
                    self._schedules[row, member] = np.array(value, dtype=float).T
                else:
                    self._values[row, member] = math.inf if value in (None, "auto") else value

    def at(self, env_steps: np.ndarray) -> np.ndarray:
        """What each is at the members' environment steps (M,), shape (names, M)."""
        if not self._schedules:
            return self._values
        found = self._values.copy()
        for (row, member), (steps, values) in self._schedules.items():
            found[row, member] = np.interp(env_steps[member], steps, values)
        return found


def off_policy(config: Any) -> dict[str, Any]:
    """Fields of :class:`rltune.engine.population.off_policy.OffPolicyShape`.

    Raises:
        NotStackable: priorities are asked for in RLlib's form.
    """
    priorities = config.priorities
    if priorities and None in (config.prioritized_replay_alpha, config.prioritized_replay_beta):
        raise NotStackable(
            "a batch of members has no priorities in RLlib's form: use "
            "prioritized_replay_alpha and prioritized_replay_beta"
        )
    copies, steps = config.num_envs_per_env_runner, config.get_rollout_fragment_length()
    size = config.train_batch_size
    sampled = copies * steps
    return {
        "copies": copies,
        "steps": steps,
        "minibatch": size,
        "capacity": config.replay_buffer_config["capacity"],
        "n_step": horizon(config.n_step),
        "clip_rewards": config.clip_rewards,
        "frame_stack": config.frame_stack,
        "prioritized": priorities is not None,
        "at_once": math.ceil((config.training_intensity or size / sampled) * sampled / size),
    }


def off_policy_settings(learner: OffPolicyLearner, squared: bool) -> dict[str, Any]:
    """Settings that all members have in common, read from the batch."""
    shape, layout = learner.shape, learner.replay.layout
    return {
        "num_envs_per_env_runner": shape.copies,
        "rollout_fragment_length": shape.steps,
        "train_batch_size": shape.minibatch,
        "buffer_capacity": layout.capacity,
        "frame_stack": layout.frame_stack,
        "prioritized_replay": layout.prioritized,
        "td_error_loss_fn": "mse" if squared else "huber",
    }
