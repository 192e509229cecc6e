"""What trials must have in common to train as one batch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rltune.catalog.algorithms import ALGORITHMS

#: Those that learn from a replay buffer.
_REPLAY = frozenset(
    {
        *("gamma", "grad_clip", "tau", "target_network_update_freq", "training_intensity"),
        *("prioritized_replay_alpha", "prioritized_replay_beta"),
        *("num_steps_sampled_before_learning_starts", "save_buffer", "exploit_buffer"),
    }
)
#: Settings of each algorithm that members of one batch may differ in. Any other one has the same
#: value in all of them.
MEMBERS_OWN: Mapping[str, frozenset[str]] = {
    "ppo": frozenset(
        {
            *("lr", "gamma", "lambda_", "clip_param", "entropy_coeff", "vf_loss_coeff"),
            *("vf_clip_param", "kl_coeff", "kl_target", "grad_clip", "noise_correlation"),
        }
    ),
    "dqn": _REPLAY | {"lr", "initial_epsilon", "final_epsilon", "epsilon_timesteps"},
    "sac": _REPLAY | {"actor_lr", "critic_lr", "alpha_lr", "initial_alpha", "noise_correlation"},
}


def shape_of(algo: str, settings: Mapping[str, Any]) -> str:
    """What a trial has in common with those that it can be in one batch with, as JSON.

    These are all settings that members do not have of their own. Trials of unequal shapes would
    need other networks, other steps between updates, or other losses.
    """
    names = sorted(ALGORITHMS[algo].settings.keys() - MEMBERS_OWN[algo])
    values = {name: settings.get(name) for name in names}
    if n_step := values.get("n_step"):
        values["n_step"] = horizon(n_step)
    return json.dumps(values)


def horizon(n_step: int) -> int:
    """The largest ``n_step`` of a batch that has a member with this one.

    Rewards of all members are summed over as many steps: up to the next power of two costs little.
    """
    return 1 << (n_step - 1).bit_length()
