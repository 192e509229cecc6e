"""DQN's members as a batch."""

from __future__ import annotations

from typing import Any

import torch

from rltune.algorithms.batches import encoder, off_policy, off_policy_settings
from rltune.engine.noisy_linear import NoisyLinear
from rltune.engine.population.dqn import DQN, DQNShape, QNetwork
from rltune.engine.population.layers import NotStackable, stack
from rltune.engine.population.learner import Members
from rltune.engine.population.normalisation import Reader


def network(net: Any) -> QNetwork:
    """DQN's network, from RLlib's module.

    Raises:
        NotStackable: a layer is of no known kind.
    """
    parts = ("encoder", "af", "vf") if net.uses_dueling else ("encoder", "af")
    weights = tuple(
        f"{part}.{name}" for part in parts for name, _ in getattr(net, part).named_parameters()
    )
    spread = {"v_min": net.v_min, "v_max": net.v_max} if net.num_atoms > 1 else {}
    return QNetwork(
        encoder(net, "encoder"),
        stack(net, "af.net.mlp"),
        stack(net, "vf.net.mlp") if net.uses_dueling else None,
        int(net.action_space.n),
        weights,
        {name: f"_target_{name}" for name in weights},
        net.num_atoms,
        noisy=any(isinstance(layer, NoisyLinear) for layer in net.af.modules()),
        **spread,
    )


def shape_of(config: Any) -> DQNShape:
    """What members must have in common to be in one batch.

    Raises:
        NotStackable: epsilon or the buffer are asked for in RLlib's form.
    """
    if config.final_epsilon is None:
        raise NotStackable("a batch of members has no epsilon in RLlib's form: use final_epsilon")
    return DQNShape(
        **off_policy(config), double=config.double_q, squared=config.td_error_loss_fn == "mse"
    )


def forgotten(batch: DQN, member: int) -> dict[str, torch.Tensor]:
    """What acts in a member's loss and is in no network: nothing."""
    return {}


def begin(batch: DQN, member: int, config: Any) -> None:
    """Sets what a member that has never been updated starts with, beside its network."""


def settings(batch: DQN) -> dict[str, Any]:
    """Settings that all members have in common, read from where they act."""
    net = batch.net
    found = {
        **off_policy_settings(batch, batch.shape.squared),
        "double_q": batch.shape.double,
        "dueling": net.value is not None,
        "num_atoms": net.atoms,
        "noisy": net.noisy,
    }
    return {**found, "v_min": net.v_min, "v_max": net.v_max} if net.atoms > 1 else found


def weights(net: Any) -> dict[str, torch.Tensor]:
    """A member's weights, from RLlib's module."""
    found: dict[str, torch.Tensor] = net.state_dict()
    return found


def learner(
    members: Members,
    net: Any,
    shape: DQNShape,
    reader: Reader,
    obs_dtype: torch.dtype,
    clip_by: str,
) -> DQN:
    """A batch of members.

    Args:
        net: RLlib's module of any of them.
        shape: see :func:`shape_of`.
    """
    layout = shape.layout(net.observation_space.shape, obs_dtype, (), torch.int64)
    return DQN(members, network(net), shape, layout, reader, clip_by)
