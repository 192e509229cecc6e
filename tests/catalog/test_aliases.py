"""A setting by another library's name, or misspelt, is answered with the right one."""

from __future__ import annotations

import pytest

from rltune import catalog
from rltune.catalog.algorithms import ALGORITHMS
from rltune.catalog.aliases import ALIASES
from rltune.errors import BadInput


def test_every_alias_stands_for_settings_and_is_none() -> None:
    known = {name for algo in ALGORITHMS.values() for name in algo.settings}
    for word, names in ALIASES.items():
        assert known >= set(names), word
        assert word not in known
        assert word == word.lower()


@pytest.mark.parametrize(
    ("algo", "word", "names"),
    [
        # Stable-Baselines3
        ("dqn", "learning_rate", ["lr"]),
        ("sac", "learning_rate", ["actor_lr", "critic_lr"]),
        ("ppo", "n_steps", ["train_batch_size"]),
        ("ppo", "batch_size", ["minibatch_size", "train_batch_size"]),
        ("dqn", "batch_size", ["train_batch_size"]),
        ("ppo", "ent_coef", ["entropy_coeff"]),
        ("sac", "ent_coef", ["initial_alpha"]),
        ("ppo", "vf_coef", ["vf_loss_coeff"]),
        ("ppo", "max_grad_norm", ["grad_clip"]),
        ("dqn", "buffer_size", ["buffer_capacity"]),
        ("dqn", "exploration_fraction", ["epsilon_timesteps"]),
        ("ppo", "net_arch", ["fcnet_hiddens"]),
        # RLlib as it was, and Python's word
        ("ppo", "lambda", ["lambda_"]),
        ("ppo", "num_sgd_iter", ["num_epochs"]),
        # misspelt
        ("dqn", "learningrate", ["lr"]),
        ("dqn", "Learning-Rate", ["lr"]),
        ("ppo", "gama", ["gamma"]),
        ("ppo", "zzz", []),
    ],
)
def test_another_name_is_answered_with_the_right_one(
    algo: str, word: str, names: list[str]
) -> None:
    said = ALGORITHMS[algo].problems({word: 1})[word]
    settings = ALGORITHMS[algo].settings
    meant = " or ".join(f"{name!r} ({settings[name].doc})" for name in names)
    assert said == (
        f"unknown setting of {algo}.{f' Did you mean {meant}?' if names else ''} "
        f"See `rltune list settings {algo}`."
    )
    with pytest.raises(BadInput, match="unknown setting"):
        catalog.parameter(ALGORITHMS[algo], word, {"uniform": [0, 1]})
