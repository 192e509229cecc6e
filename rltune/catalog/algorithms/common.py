"""Settings that several algorithms share, and the constraints between them."""

from __future__ import annotations

from rltune.catalog.settings import Choice, Flag, Number, Schedule, Setting, Sizes, WholeNumber
from rltune.engine.codec import FORMS
from rltune.space import Constraint


def learning_rate(doc: str) -> Schedule:
    """A learning rate: positive, or a schedule that may end at zero."""
    return Schedule(doc, 0, 1, above_low=True)


LR: dict[str, Setting] = {"lr": learning_rate("learning rate of Adam")}

COMMON: dict[str, Setting] = {
    "gamma": Number("discount factor", 0, 1),
    "train_batch_size": WholeNumber("transitions in one update's batch", 1),
    "grad_clip": Number("largest global norm of a gradient; inf for none", 0, above_low=True),
    "num_env_runners": WholeNumber(
        "remote processes that step environments; 0: in the trial's own", 0, structural=True
    ),
    "num_envs_per_env_runner": WholeNumber("environments stepped together", 1, structural=True),
    "fcnet_hiddens": Sizes("sizes of the hidden layers", structural=True),
    "fcnet_activation": Choice(
        "activation of the hidden layers",
        ("relu", "tanh", "silu", "elu", "linear"),
        structural=True,
    ),
    "frame_stack": WholeNumber(
        "observations joined to one, the newest last", 1, 255, structural=True
    ),
    "observation_form": Choice(
        "observations read as a vector or as a picture, its channels last or first; auto: by shape",
        FORMS,
        structural=True,
    ),
    "observation_filter": Choice(
        "observations as they are, or scaled by the mean and deviation of those seen so far",
        ("NoFilter", "MeanStdFilter"),
        structural=True,
    ),
    "clip_rewards": Flag("learn from the signs of rewards", structural=True),
    "metrics_num_episodes_for_smoothing": WholeNumber(
        "episodes over which episode_reward_mean is taken", 1
    ),
    "min_sample_timesteps_per_iteration": WholeNumber(
        "environment steps between two reports of a trial", 1
    ),
}

#: Of policies that are distributions over continuous actions.
NOISE: dict[str, Setting] = {
    "noise_correlation": Number(
        "correlation of a continuous action's noise with that of the step before", 0, 0.999
    )
}

#: Of algorithms that learn from a replay buffer.
REPLAY: dict[str, Setting] = {
    "buffer_capacity": WholeNumber("transitions the replay buffer holds", 1, structural=True),
    "save_buffer": Flag("keep the replay buffer in checkpoints"),
    "exploit_buffer": Choice(
        "what a clone trains on: its own replay buffer, its donor's, or an empty one",
        ("own", "donor", "empty"),
        structural=True,
    ),
    "num_steps_sampled_before_learning_starts": WholeNumber(
        "environment steps before the first update", 0
    ),
    "rollout_fragment_length": WholeNumber(
        "steps of each environment between two rounds of updates", 1
    ),
    "training_intensity": Number(
        "transitions trained on per environment step; updates = intensity * steps / batch",
        0,
        above_low=True,
    ),
    "n_step": WholeNumber("rewards summed up before bootstrapping", 1),
    "td_error_loss_fn": Choice(
        "loss of the TD error: huber grows linearly beyond 1, mse quadratically", ("huber", "mse")
    ),
    "prioritized_replay": Flag(
        "draw transitions by their TD error (Schaul et al. 2016)", structural=True
    ),
    "prioritized_replay_alpha": Number(
        "exponent of the TD error; 0: uniform draws", 0, idle=("prioritized_replay", False)
    ),
    "prioritized_replay_beta": Number(
        "exponent of the importance weights that correct for those draws; 1: in full",
        0,
        idle=("prioritized_replay", False),
    ),
    "tau": Number("share of the new weights in a target update", 0, 1, above_low=True),
}

REPLAY_CONSTRAINTS = (
    Constraint.parse("train_batch_size <= buffer_capacity"),
    Constraint.parse("num_steps_sampled_before_learning_starts <= buffer_capacity"),
    # RLlib refuses the rest, in DQN with a message, in SAC with a TypeError.
    Constraint.parse("n_step <= rollout_fragment_length"),
)
