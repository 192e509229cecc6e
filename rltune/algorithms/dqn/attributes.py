"""What happens to the attributes of RLlib's DQNConfig that a script changes."""

from __future__ import annotations

from rltune.algorithms.config_attributes import (
    ACTS,
    COMMON,
    FALLBACK,
    NOT_READ,
    REFUSED,
    REPLAY,
    Table,
    each,
)

ATTRIBUTES: Table = {
    **COMMON,
    **REPLAY,
    **each(
        ACTS, "", "double_q dueling epsilon noisy num_atoms sigma0 td_error_loss_fn v_max v_min"
    ),
    **each(FALLBACK, "", "burn_in_len"),
    **each(REFUSED, "lr takes a schedule", "lr_schedule"),
    **each(REFUSED, "use the head_fcnet_hiddens of rl_module(model_config=...)", "hiddens"),
    **each(
        REFUSED,
        NOT_READ,
        "adam_epsilon before_learn_on_batch categorical_distribution_temperature",
    ),
}
