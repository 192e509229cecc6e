"""PPO's members as a batch."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import torch
from ray.rllib.core.models.torch.heads import TorchFreeLogStdMLPHead

from rltune.algorithms.batches import encoder
from rltune.engine.population.actor_critic import ActorCritic
from rltune.engine.population.distributions import Categorical, Gaussian
from rltune.engine.population.layers import NotStackable, Stack, stack
from rltune.engine.population.learner import Members
from rltune.engine.population.normalisation import Reader
from rltune.engine.population.ppo import PPO
from rltune.engine.population.ppo_shape import PPOShape


def networks(net: Any) -> ActorCritic:
    """PPO's networks, from RLlib's module.

    Raises:
        NotStackable: a layer or the distribution of actions is of no known kind.
    """
    if hasattr(net.encoder, "actor_encoder"):
        shared = Stack(())
        policy = encoder(net, "encoder.actor_encoder")
        value = encoder(net, "encoder.critic_encoder")
    else:
        shared, policy, value = encoder(net, "encoder.encoder"), Stack(()), Stack(())
    free = isinstance(net.pi, TorchFreeLogStdMLPHead)
    return ActorCritic(
        shared,
        policy + stack(net, "pi.net.mlp"),
        value + stack(net, "vf.net.mlp"),
        _family(net.action_space),
        tuple(name for name, _ in net.named_parameters()),
        "pi.log_std" if free else None,
        float(net.pi.log_std_clip_param) if net.pi.clip_log_std else None,
    )


def _family(space: gym.Space[Any]) -> Categorical | Gaussian:
    if isinstance(space, gym.spaces.Discrete):
        return Categorical(int(space.n))
    if isinstance(space, gym.spaces.Box) and len(space.shape) == 1:
        return Gaussian(space.shape[0])
    raise NotStackable(f"no batch of members acts in {space}")


def shape_of(config: Any) -> PPOShape:
    """What members must have in common to be in one batch."""
    copies = config.num_envs_per_env_runner
    return PPOShape(
        copies,
        -(-config.train_batch_size // copies),
        config.minibatch_size,
        config.num_epochs,
        config.use_kl_loss,
        config.use_critic,
        config.normalize_rewards,
        config.clip_rewards,
    )


def forgotten(batch: PPO, member: int) -> dict[str, torch.Tensor]:
    """What acts in a member's loss and is in no network, by the name in its checkpoints."""
    return {"kl_coeff": batch.kl_coeff[member, 0]}


def begin(batch: PPO, member: int, config: Any) -> None:
    """Sets what a member that has never been updated starts with, beside its network."""
    batch.kl_coeff[member] = config.kl_coeff


def settings(batch: PPO) -> dict[str, Any]:
    """Settings that all members have in common, read from where they act."""
    shape = batch.shape
    return {
        "num_envs_per_env_runner": shape.copies,
        "train_batch_size": shape.copies * shape.steps,
        "minibatch_size": shape.minibatch,
        "num_epochs": shape.epochs,
        "use_kl_loss": shape.use_kl,
        "normalize_rewards": shape.normalize_rewards,
    }


def weights(net: Any) -> dict[str, torch.Tensor]:
    """A member's weights, from RLlib's module."""
    found: dict[str, torch.Tensor] = net.state_dict()
    return found


def learner(
    members: Members,
    net: Any,
    shape: PPOShape,
    reader: Reader,
    obs_dtype: torch.dtype,
    clip_by: str,
) -> PPO:
    """A batch of members.

    Args:
        net: RLlib's module of any of them.
        shape: see :func:`shape_of`.
    """
    obs_shape = net.observation_space.shape
    return PPO(members, networks(net), shape, reader, obs_shape, obs_dtype, clip_by)
