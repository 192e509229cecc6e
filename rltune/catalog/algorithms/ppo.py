"""PPO's settings; its code is in :mod:`rltune.algorithms.ppo`."""

from __future__ import annotations

from rltune.catalog.algorithms.base import Algorithm
from rltune.catalog.algorithms.common import COMMON, LR, NOISE
from rltune.catalog.settings import Flag, Number, Schedule, Setting, WholeNumber
from rltune.space import Constraint

_PPO: dict[str, Setting] = {
    "lambda_": Number("lambda of generalised advantage estimation", 0, 1),
    "clip_param": Number("clip range of the probability ratio", 0, above_low=True),
    "entropy_coeff": Schedule("weight of the entropy bonus", 0),
    "vf_loss_coeff": Number("weight of the value loss", 0),
    "vf_clip_param": Number("largest squared error of the value function; inf for none", 0),
    "num_epochs": WholeNumber("passes over a batch", 1),
    "minibatch_size": WholeNumber("transitions in one gradient step", 1),
    "use_kl_loss": Flag("add a KL penalty to the loss"),
    "kl_coeff": Number(
        "weight of the KL penalty at the start", 0, structural=True, idle=("use_kl_loss", False)
    ),
    "kl_target": Number(
        "KL divergence the penalty steers to", 0, above_low=True, idle=("use_kl_loss", False)
    ),
    "normalize_rewards": Flag(
        "divide rewards by the standard deviation of their discounted sum so far", structural=True
    ),
    "vf_share_layers": Flag("one trunk for policy and value", structural=True),
}

PPO = Algorithm(
    name="ppo",
    title="Proximal Policy Optimization (Schulman et al. 2017)",
    class_name="PPO",
    actions=frozenset({"discrete", "multidiscrete", "multibinary", "box"}),
    settings=LR | COMMON | NOISE | _PPO,
    constraints=(
        Constraint.parse("minibatch_size <= train_batch_size"),
        Constraint.parse("num_envs_per_env_runner divides train_batch_size"),
        Constraint.parse("num_env_runners * num_envs_per_env_runner divides train_batch_size"),
    ),
)
