"""What other libraries call the settings, answered with RLlib's name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rltune.catalog.settings import Setting
from rltune.errors import nearest

_LR = ("lr", "actor_lr", "critic_lr")
_BATCH = ("minibatch_size", "train_batch_size")
_SIZES = ("fcnet_hiddens",)
_FILTER = ("observation_filter",)
_RUNNERS = ("num_env_runners",)
_ENVS = ("num_envs_per_env_runner",)

#: RLlib's names by those of Stable-Baselines3, CleanRL, Tianshou, papers and RLlib's past. Where an
#: algorithm has several of them, each may be meant.
ALIASES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("learning_rate", "alpha", "step_size", "optimizer_lr", "adam_lr"), _LR),
    **dict.fromkeys(("policy_lr", "pi_lr"), ("actor_lr", "lr")),
    **dict.fromkeys(("q_lr", "qf_lr", "value_lr", "vf_lr"), ("critic_lr", "lr")),
    "ent_lr": ("alpha_lr",),
    **dict.fromkeys(("discount", "discount_factor", "gamma_"), ("gamma",)),
    # Batches
    **dict.fromkeys(("batch_size", "mini_batch_size", "minibatch"), _BATCH),
    "sgd_minibatch_size": ("minibatch_size",),
    **dict.fromkeys(("num_minibatches", "n_minibatches", "nminibatches"), ("minibatch_size",)),
    **dict.fromkeys(("n_steps", "num_steps", "nsteps"), ("n_step", "train_batch_size")),
    **dict.fromkeys(("n_epochs", "num_sgd_iter", "update_epochs", "epochs"), ("num_epochs",)),
    # Losses
    **dict.fromkeys(("gae_lambda", "lam", "lambda", "gae"), ("lambda_",)),
    **dict.fromkeys(("clip_range", "clip_coef", "clip_ratio", "eps_clip"), ("clip_param",)),
    **dict.fromkeys(("clip_range_vf", "vf_clip"), ("vf_clip_param",)),
    **dict.fromkeys(
        ("ent_coef", "entropy_coef", "entropy_coefficient", "ent_coeff", "entropy"),
        ("entropy_coeff", "initial_alpha"),
    ),
    **dict.fromkeys(("vf_coef", "value_coef", "value_loss_coef", "vf_coeff"), ("vf_loss_coeff",)),
    **dict.fromkeys(("max_grad_norm", "grad_norm", "gradient_clip", "clipnorm"), ("grad_clip",)),
    "target_kl": ("kl_target",),
    "init_kl_coeff": ("kl_coeff",),
    **dict.fromkeys(("normalize_reward", "norm_reward"), ("normalize_rewards",)),
    "temperature": ("initial_alpha",),
    "loss": ("td_error_loss_fn",),
    # Replay
    **dict.fromkeys(
        ("buffer_size", "replay_size", "memory_size", "replay_buffer_size", "capacity"),
        ("buffer_capacity",),
    ),
    **dict.fromkeys(
        ("learning_starts", "warmup_steps", "start_steps", "random_steps"),
        ("num_steps_sampled_before_learning_starts",),
    ),
    **dict.fromkeys(("train_freq", "train_frequency"), ("rollout_fragment_length",)),
    **dict.fromkeys(("gradient_steps", "utd", "updates_per_step"), ("training_intensity",)),
    **dict.fromkeys(
        ("target_update_interval", "target_network_frequency", "target_update_freq"),
        ("target_network_update_freq",),
    ),
    **dict.fromkeys(("polyak", "soft_update"), ("tau",)),
    "per": ("prioritized_replay",),
    # Exploration
    **dict.fromkeys(("exploration_initial_eps", "start_e", "epsilon_start"), ("initial_epsilon",)),
    **dict.fromkeys(("exploration_final_eps", "end_e", "epsilon_end"), ("final_epsilon",)),
    **dict.fromkeys(("exploration_fraction", "epsilon_decay"), ("epsilon_timesteps",)),
    **dict.fromkeys(("epsilon", "eps"), ("initial_epsilon", "final_epsilon")),
    **dict.fromkeys(("double", "double_dqn"), ("double_q",)),
    "dueling_dqn": ("dueling",),
    "noisy_nets": ("noisy",),
    # Networks and environments
    **dict.fromkeys(("net_arch", "hiddens", "hidden_sizes", "hidden_layers", "layers"), _SIZES),
    **dict.fromkeys(("activation", "activation_fn"), ("fcnet_activation",)),
    **dict.fromkeys(("n_stack", "framestack", "frame_stacking"), ("frame_stack",)),
    **dict.fromkeys(("normalize", "norm_obs", "normalize_observations"), _FILTER),
    **dict.fromkeys(("num_workers", "num_rollout_workers", "n_workers"), _RUNNERS),
    **dict.fromkeys(("n_envs", "num_envs", "num_envs_per_worker"), _ENVS),
    **dict.fromkeys(
        ("timesteps_per_iteration", "min_timesteps_per_iteration"),
        ("min_sample_timesteps_per_iteration",),
    ),
}


def names_for(word: str, settings: Iterable[str]) -> list[str]:
    """The settings that another library's word stands for; empty for a word of none."""
    known = set(settings)
    return [name for name in ALIASES.get(word.lower().replace("-", "_"), ()) if name in known]


def hint(word: str, settings: Mapping[str, Setting]) -> str:
    """`` Did you mean 'lr' (learning rate of Adam)?``, or an empty string."""
    words = [*settings, *(word for word in ALIASES if names_for(word, settings))]
    names = names_for(word, settings)
    if not names:
        near = nearest(word.replace("-", "_"), words)
        names = [] if near is None else [near] if near in settings else names_for(near, settings)
    shown = [f"{name!r} ({settings[name].doc})" for name in names]
    return f" Did you mean {' or '.join(shown)}?" if shown else ""
