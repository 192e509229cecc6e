"""Plays episodes of many policies in an environment that steps all of its copies at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from rltune import envs
from rltune.algorithms.policy import Policy, greedy_actions
from rltune.engine.episodes import Episode, final_infos, numbers
from rltune.engine.torch_settings import TorchSettingsGuard
from rltune.processes.subprocess_guard import Guard
from rltune.spec import RunSpec


class _Acting(nn.Module):
    """A network as a function of observations alone."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return greedy_actions(self.net, obs)


def alike(policies: Sequence[Policy]) -> bool:
    """Whether the networks of policies differ in nothing but their numbers."""
    first, *others = ((str(one.net), one.frame_stack, one.form) for one in policies)
    return all(other == first for other in others)


def acting(policies: Sequence[Policy]) -> Callable[[np.ndarray], np.ndarray]:
    """Returns what maps observations (policies, N, ...) to the actions of each policy.

    Args:
        policies: that are :func:`alike`.
    """
    nets = [_Acting(policy.net) for policy in policies]
    weights, buffers = stack_module_state(nets)
    stacked = vmap(lambda *state: functional_call(nets[0], state[:2], (state[2],)))

    def act(obs: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            actions: np.ndarray = stacked(weights, buffers, torch.from_numpy(obs)).numpy()
        return actions

    return act


def play_in_lockstep(
    policies: Sequence[Policy],
    spec: RunSpec,
    seeds: Sequence[Sequence[int]],
    guard: Guard | None = None,
) -> list[list[float]]:
    """Returns what :func:`rltune.policies.episodes.play` does for each of several policies.

    Args:
        policies: that are :func:`alike`, in an environment of :func:`rltune.envs.in_lockstep`.
        seeds: of each policy's episodes, shape (policies, N).
        guard: context around each call of the environment.
    """
    safe = TorchSettingsGuard(guard or nullcontext())
    shape = np.shape(seeds)
    act = acting(policies)
    with safe:
        env: Any = envs.make_batch(
            spec.env_id,
            shape[0],
            shape[1],
            spec.env_options.env_args,
            policies[0].frame_stack,
            policies[0].form,
        )
        obs, _ = env.reset(seed=[seed for of_one in seeds for seed in of_one])
    total, steps = np.zeros(env.num_envs), 0
    values = np.full(env.num_envs, np.nan)
    running = np.ones(env.num_envs, dtype=bool)
    while running.any():
        actions = act(obs.reshape(*shape, *obs.shape[1:]))
        with safe:
            obs, rewards, terminated, truncated, infos = env.step(
                actions.reshape(env.num_envs, *actions.shape[2:])
            )
        steps += 1
        total += rewards
        ended = running & (terminated | truncated)
        last = [numbers(info) for info in final_infos(infos, ended)] if infos else None
        for place, copy in enumerate(np.flatnonzero(ended).tolist()):
            episode = Episode(float(total[copy]), steps, last[place] if last else {})
            values[copy] = episode.measured.get(spec.goal.name, np.nan)
        running &= ~ended
    with safe:
        envs.close(env)
    found: list[list[float]] = values.reshape(shape).tolist()
    return found
