"""Makes groups of members from the configs of single ones."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.rl_module.apis import TargetNetworkAPI

from rltune import envs
from rltune.algorithms.batches import Table, reader
from rltune.algorithms.dqn import batch as dqn
from rltune.algorithms.ppo import batch as ppo
from rltune.algorithms.sac import batch as sac
from rltune.engine.population.group import Group
from rltune.engine.population.learner import Members
from rltune.engine.population.sampler import Sampler
from rltune.engine.torch_settings import TorchSettingsGuard

#: How the members of each algorithm become a batch.
BATCHES: dict[str, Any] = {"ppo": ppo, "dqn": dqn, "sac": sac}


def build(network: Any) -> Any:
    """A network of RLlib's specification, with target networks where the algorithm has them."""
    net = network.build()
    if isinstance(net, TargetNetworkAPI):
        net.make_target_networks()
    return net


def make_learner(
    configs: Sequence[Any],
    nets: Sequence[Any],
    seeds: Sequence[int],
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    within_step: bool = False,
) -> Any:
    """The learner of a batch of members.

    Args:
        configs: one a member, alike in all that a batch has in common.
        nets: RLlib's module of each member.
        seeds: of each member's random numbers.
        within_step: whether environments begin a new episode in the step that ends one.
    """
    first, batch = nets[0], BATCHES[configs[0].algorithm]
    learner = batch.learner(
        Members([batch.weights(net) for net in nets], seeds, device, dtype),
        first,
        replace(batch.shape_of(configs[0]), within_step=within_step),
        reader(first, len(nets), device, dtype),
        torch.uint8 if first.observation_space.dtype == "uint8" else dtype,
        configs[0].grad_clip_by,
    )
    for member, config in enumerate(configs):
        batch.begin(learner, member, config)
    return learner


def make_group(
    configs: Sequence[Any],
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    watch: AbstractContextManager[Any] | None = None,
    turn: np.ndarray | None = None,
) -> tuple[Group, Any]:
    """A group of members, one a config, each drawn from its config's seed.

    Args:
        configs: validated, alike in all that a batch has in common.
        watch: a context around every call of the environments.
        turn: is kept at the copy that is called, where copies are called one by one.

    Returns:
        The group, and RLlib's specification of a member's network.

    Raises:
        NotStackable: their network cannot be in a batch.
    """
    first = configs[0]
    env = envs.make_batch(
        first.env,
        len(configs),
        first.num_envs_per_env_runner,
        first.env_config,
        first.frame_stack,
        first.observation_form,
    )
    if turn is not None and isinstance(env, envs.Copies):
        env.turn = turn
    spaces = {DEFAULT_MODULE_ID: (env.single_observation_space, env.single_action_space)}
    made: dict[int, Any] = {}
    network = first.get_rl_module_spec(spaces=spaces, inference_only=False)
    nets = []
    for config in configs:
        if id(config) not in made:  # one config may stand for many members
            torch.manual_seed(config.seed)
            made[id(config)] = build(network)
        nets.append(made[id(config)])
    seeds = [config.seed for config in configs]
    sampler = Sampler(env, seeds, TorchSettingsGuard(watch or nullcontext()))
    learner = make_learner(configs, nets, seeds, device, dtype, sampler.within_step)
    group = Group(
        learner,
        sampler,
        learner.shape.steps,
        Table(learner.HYPERPARAMETERS, configs).at,
        first.metrics_num_episodes_for_smoothing,
    )
    return group, network
