"""DQN's settings; its code is in :mod:`rltune.algorithms.dqn`."""

from __future__ import annotations

from rltune.catalog.algorithms.base import Algorithm
from rltune.catalog.algorithms.common import COMMON, LR, REPLAY, REPLAY_CONSTRAINTS
from rltune.catalog.settings import Flag, Number, Setting, WholeNumber
from rltune.space import Constraint

_DQN: dict[str, Setting] = {
    "target_network_update_freq": WholeNumber("environment steps between target updates", 1),
    "double_q": Flag("double Q-learning (van Hasselt et al. 2015)", structural=True),
    "dueling": Flag("dueling heads (Wang et al. 2016)", structural=True),
    "num_atoms": WholeNumber(
        "atoms of the distribution of returns (Bellemare et al. 2017); 1: their mean alone",
        1,
        structural=True,
    ),
    "v_min": Number("return of the lowest atom", structural=True, idle=("num_atoms", 1)),
    "v_max": Number("return of the highest atom", structural=True, idle=("num_atoms", 1)),
    "noisy": Flag("noisy heads (Fortunato et al. 2018)", structural=True),
    "sigma0": Number(
        "noise of noisy heads at the start", 0, structural=True, idle=("noisy", False)
    ),
    "initial_epsilon": Number("share of random actions at step 0", 0, 1),
    "final_epsilon": Number("share of random actions from epsilon_timesteps on", 0, 1),
    "epsilon_timesteps": WholeNumber("environment steps over which epsilon falls", 1),
}

DQN = Algorithm(
    name="dqn",
    title="Deep Q-Network (Mnih et al. 2015)",
    class_name="DQN",
    actions=frozenset({"discrete"}),
    settings=LR | COMMON | REPLAY | _DQN,
    constraints=(*REPLAY_CONSTRAINTS, Constraint.parse("v_min <= v_max")),
)
