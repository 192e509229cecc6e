"""SAC's members as a batch."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import torch

from rltune.algorithms.batches import encoder, off_policy, off_policy_settings
from rltune.algorithms.image_encoder import ImageEncoder
from rltune.algorithms.sac.module import ObsActionEncoder
from rltune.engine.population.layers import NotStackable, Stack, stack
from rltune.engine.population.learner import Members
from rltune.engine.population.normalisation import Reader
from rltune.engine.population.sac import LOG_ALPHA, SAC, Critic, SACNetworks, SACShape


def networks(net: Any) -> SACNetworks:
    """SAC's networks, from RLlib's module.

    Raises:
        NotStackable: a layer is of no known kind, the critics are RLlib's own, which join three
            networks, or actions are no vectors.
    """
    space = net.action_space
    if not isinstance(space, gym.spaces.Box) or len(space.shape) != 1:
        raise NotStackable(f"no batch of members of SAC acts in {space}")
    names = ("qf", "qf_twin") if net.twin_q else ("qf",)
    return SACNetworks(
        encoder(net, "pi_encoder") + stack(net, "pi.net.mlp"),
        tuple(_critic(net, name) for name in names),
        space.shape[0],
        _names(net, "pi_encoder", "pi"),
    )


def _critic(net: Any, name: str) -> Critic:
    path = f"{name}_encoder"
    module = net.get_submodule(path)
    if isinstance(module, ImageEncoder):
        seen, joint = stack(net, f"{path}.convolutions"), stack(net, f"{path}.hidden.mlp")
    elif isinstance(module, ObsActionEncoder):
        seen, joint = Stack(()), stack(net, f"{path}.net.mlp")
    else:
        raise NotStackable(f"{path} is {type(module).__name__}, which no batch of members has")
    return Critic(seen, joint + stack(net, f"{name}.net.mlp"), _names(net, path, name))


def _names(net: Any, *paths: str) -> tuple[str, ...]:
    return tuple(
        f"{path}.{name}" for path in paths for name, _ in net.get_submodule(path).named_parameters()
    )


def shape_of(config: Any) -> SACShape:
    """What members must have in common to be in one batch."""
    return SACShape(**off_policy(config), squared=config.td_error_loss_fn == "mse")


def forgotten(batch: SAC, member: int) -> dict[str, torch.Tensor]:
    """What acts in a member's loss and is in no network, by the name in its checkpoints."""
    return {LOG_ALPHA: batch.log_alpha[member]}


def begin(batch: SAC, member: int, config: Any) -> None:
    """Sets what a member that has never been updated starts with, beside its network."""
    batch.log_alpha[member] = math.log(config.initial_alpha)


def settings(batch: SAC) -> dict[str, Any]:
    """Settings that all members have in common, read from where they act."""
    return {**off_policy_settings(batch, batch.shape.squared), "twin_q": len(batch.net.critics) > 1}


def weights(net: Any) -> dict[str, torch.Tensor]:
    """A member's weights, with a place for its temperature."""
    found: dict[str, torch.Tensor] = net.state_dict()
    return {**found, LOG_ALPHA: next(iter(found.values())).new_zeros(1)}


def learner(
    members: Members,
    net: Any,
    shape: SACShape,
    reader: Reader,
    obs_dtype: torch.dtype,
    clip_by: str,
) -> SAC:
    """A batch of members.

    Args:
        net: RLlib's module of any of them.
        shape: see :func:`shape_of`.
    """
    nets = networks(net)
    layout = shape.layout(net.observation_space.shape, obs_dtype, (nets.actions,), torch.float32)
    return SAC(members, nets, shape, layout, reader, clip_by)
