"""What happens to the attributes of RLlib's SACConfig that a script changes."""

from __future__ import annotations

from rltune.algorithms.config_attributes import (
    ACTS,
    COMMON,
    DEPRECATED,
    NOT_READ,
    REFUSED,
    REPLAY,
    Table,
    each,
)

ATTRIBUTES: Table = {
    **COMMON,
    **REPLAY,
    **each(ACTS, "", "actor_lr alpha_lr critic_lr initial_alpha target_entropy twin_q"),
    **each(REFUSED, "use actor_lr, critic_lr and alpha_lr", "lr optimization"),
    **each(REFUSED, "use rl_module(model_config=...)", "policy_model_config q_model_config"),
    **each(REFUSED, NOT_READ, "_deterministic_loss _use_beta_distribution"),
    **each(REFUSED, DEPRECATED, "use_state_preprocessor worker_side_prioritization"),
}
