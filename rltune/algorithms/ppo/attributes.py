"""What happens to the attributes of RLlib's PPOConfig that a script changes."""

from __future__ import annotations

from rltune.algorithms.config_attributes import (
    ACTS,
    COMMON,
    DEPRECATED,
    FALLBACK,
    REFUSED,
    Table,
    each,
)

ATTRIBUTES: Table = {
    **COMMON,
    **each(
        ACTS,
        "",
        """
        clip_param entropy_coeff kl_coeff kl_target lambda_ minibatch_size num_epochs
        use_critic use_kl_loss vf_clip_param vf_loss_coeff vf_share_layers
        """,
    ),
    **each(FALLBACK, "", "rollout_fragment_length shuffle_batch_per_epoch"),
    **each(REFUSED, "RLlib's new API stack always estimates with GAE", "use_gae"),
    **each(REFUSED, "use minibatch_size", "sgd_minibatch_size"),
    **each(REFUSED, "lr takes a schedule", "lr_schedule"),
    **each(REFUSED, "entropy_coeff takes a schedule", "entropy_coeff_schedule"),
    **each(
        REFUSED,
        DEPRECATED,
        "prioritized_replay prioritized_replay_alpha prioritized_replay_beta",
    ),
}
