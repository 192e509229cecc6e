"""SAC's settings; its code is in :mod:`rltune.algorithms.sac`."""

from __future__ import annotations

from rltune.catalog.algorithms.base import Algorithm
from rltune.catalog.algorithms.common import (
    COMMON,
    NOISE,
    REPLAY,
    REPLAY_CONSTRAINTS,
    learning_rate,
)
from rltune.catalog.settings import Flag, Number, Setting, WholeNumber

_SAC: dict[str, Setting] = {
    "actor_lr": learning_rate("learning rate of the policy"),
    "critic_lr": learning_rate("learning rate of the critics"),
    "alpha_lr": learning_rate("learning rate of the temperature"),
    "initial_alpha": Number("temperature at the start", 0, above_low=True, structural=True),
    "twin_q": Flag("two critics, the lower one counts", structural=True),
    "target_network_update_freq": WholeNumber(
        "environment steps between target updates; 0: after every update", 0
    ),
}

SAC = Algorithm(
    name="sac",
    title="Soft Actor-Critic (Haarnoja et al. 2018)",
    class_name="SAC",
    actions=frozenset({"box"}),
    settings=COMMON | NOISE | REPLAY | _SAC,
    constraints=REPLAY_CONSTRAINTS,
)
