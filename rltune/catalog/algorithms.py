"""The algorithms and their settings: names, types, bounds, and what must hold between them.

Names are RLlib's own. The tables hold what rltune's algorithms act on, and nothing else: a key
that would be accepted and ignored is worse than one refused. RLlib itself is not imported here, so
that a wrong word is answered at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rltune.engine.codec import FORMS
from rltune.errors import did_you_mean, unknown
from rltune.space import Constraint, Space
from rltune.spec import RunSpec


@dataclass(frozen=True)
class Setting:
    """One knob of an algorithm.

    Attributes:
        doc: what it is, with its unit.
        type: float, int, bool, str, ints (a list of them) or schedule (a float, or a list of
            ``[env_steps, value]`` points with straight lines between).
        low: the smallest value allowed; high: the largest.
        above_low: whether ``low`` itself is excluded.
        options: what a str may be.
        structural: it shapes the network or the environments, or acts at the start alone, so a
            population never mutates it: a clone takes its donor's value together with the weights.
    """

    doc: str
    type: str = "float"
    low: float = -math.inf
    high: float = math.inf
    above_low: bool = False
    options: tuple[str, ...] = ()
    structural: bool = False

    def problem(self, value: object) -> str | None:
        """What is wrong with a value, worded to follow the setting's name; None if nothing."""
        if self.type == "schedule" and isinstance(value, list):
            return self._schedule_problem(value)
        if self.type == "ints":
            good = isinstance(value, list) and bool(value) and all(_is_int(v) for v in value)
            return None if good else f"expected a list of whole numbers, got {value!r}"
        if self.type == "bool":
            return None if isinstance(value, bool) else f"expected true or false, got {value!r}"
        if self.type == "str":
            return self._option_problem(value)
        return self._number_problem(value)

    def spent_from(self, value: object) -> float:
        """The environment step from which a rate stays at zero; inf: it never does."""
        if self.type != "schedule" or not self.above_low or not isinstance(value, list):
            return math.inf
        end, last = value[-1]
        return math.inf if last > self.low else end

    def _option_problem(self, value: object) -> str | None:
        if value in self.options:
            return None
        hint = did_you_mean(str(value), self.options)
        return f"expected one of {', '.join(self.options)}, got {value!r}.{hint}"

    def _number_problem(self, value: object) -> str | None:
        wanted = "a whole number" if self.type == "int" else "a number"
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"expected {wanted}, got {value!r}"
        if self.type == "int" and not isinstance(value, int):
            return f"expected a whole number, got {value!r}"
        if math.isnan(value):
            return "expected a number, got nan"
        too_low = value <= self.low if self.above_low else value < self.low
        if too_low or value > self.high:
            opening = "(" if self.above_low else "["
            return f"expected a value in {opening}{self.low:g}, {self.high:g}], got {value!r}"
        return None

    def _schedule_problem(self, points: list[Any]) -> str | None:
        form = "expected a number or points like [[0, 1e-3], [100000, 0.0]]"
        if not all(isinstance(p, list) and len(p) == 2 and _is_int(p[0]) for p in points):
            return f"{form}, got {points!r}"
        steps = [p[0] for p in points]
        if len(points) < 2 or steps[0] != 0 or steps != sorted(set(steps)):
            return f"{form}: two points or more, from step 0, in rising order; got {points!r}"
        zero_ok = Setting(self.doc, "float", self.low, self.high)
        return next((p for v in points if (p := zero_ok.problem(v[1]))), None)


@dataclass(frozen=True)
class Algorithm:
    """One algorithm as rltune runs it.

    Attributes:
        name: as on the command line.
        title: its full name and source.
        class_name: the class in rltune.algorithms.
        actions: the kinds of action space it handles: "discrete", "multidiscrete", "multibinary",
            "box".
        settings: every setting it acts on.
        constraints: what must hold between settings, also after a mutation.
    """

    name: str
    title: str
    class_name: str
    actions: frozenset[str]
    settings: Mapping[str, Setting]
    constraints: tuple[Constraint, ...]

    def problems(self, values: Mapping[str, Any]) -> dict[str, str]:
        """What is wrong with settings, by name: unknown names, wrong types, values out of range."""
        found = {}
        for name, value in values.items():
            if name not in self.settings:
                found[name] = f"unknown setting of {self.name}.{did_you_mean(name, self.settings)}"
            elif problem := self.settings[name].problem(value):
                found[name] = problem
        return found

    def mutable(self, space: Space) -> Space:
        """The part of a space that a population may mutate while it trains."""
        return space.only({name for name in space if not self.settings[name].structural})


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_ACTIVATIONS = ("relu", "tanh", "silu", "elu", "linear")


def _rate(doc: str) -> Setting:
    return Setting(doc, "schedule", 0, 1, above_low=True)


_LR = {"lr": _rate("learning rate of Adam")}

_COMMON = {
    "gamma": Setting("discount factor", "float", 0, 1),
    "train_batch_size": Setting("transitions in one update's batch", "int", 1),
    "grad_clip": Setting(
        "largest global norm of a gradient; inf for none", "float", 0, above_low=True
    ),
    "num_env_runners": Setting(
        "remote processes that step environments; 0: in the trial's own", "int", 0, structural=True
    ),
    "num_envs_per_env_runner": Setting("environments stepped together", "int", 1, structural=True),
    "fcnet_hiddens": Setting("sizes of the hidden layers", "ints", structural=True),
    "fcnet_activation": Setting(
        "activation of the hidden layers", "str", options=_ACTIVATIONS, structural=True
    ),
    "frame_stack": Setting(
        "observations joined to one, the newest last", "int", 1, 255, structural=True
    ),
    "observation_form": Setting(
        "observations read as a vector or as a picture, its channels last or first; auto: by shape",
        "str",
        options=FORMS,
        structural=True,
    ),
    "observation_filter": Setting(
        "observations as they are, or scaled by the mean and deviation of those seen so far",
        "str",
        options=("NoFilter", "MeanStdFilter"),
        structural=True,
    ),
    "clip_rewards": Setting("learn from the signs of rewards", "bool", structural=True),
    "metrics_num_episodes_for_smoothing": Setting(
        "episodes over which episode_reward_mean is taken", "int", 1
    ),
    "min_sample_timesteps_per_iteration": Setting(
        "environment steps between two reports of a trial", "int", 1
    ),
}

_NOISE = {
    "noise_correlation": Setting(
        "correlation of a continuous action's noise with that of the step before", "float", 0, 0.999
    )
}

_REPLAY = {
    "buffer_capacity": Setting("transitions the replay buffer holds", "int", 1, structural=True),
    "save_buffer": Setting("keep the replay buffer in checkpoints", "bool"),
    "exploit_buffer": Setting(
        "what a clone trains on: its own replay buffer, its donor's, or an empty one",
        "str",
        options=("own", "donor", "empty"),
        structural=True,
    ),
    "num_steps_sampled_before_learning_starts": Setting(
        "environment steps before the first update", "int", 0
    ),
    "rollout_fragment_length": Setting(
        "steps of each environment between two rounds of updates", "int", 1
    ),
    "training_intensity": Setting(
        "transitions trained on per environment step; updates = intensity * steps / batch",
        "float",
        0,
        above_low=True,
    ),
    "n_step": Setting("rewards summed up before bootstrapping", "int", 1),
    "td_error_loss_fn": Setting(
        "loss of the TD error: huber grows straight beyond 1, mse with its square",
        "str",
        options=("huber", "mse"),
    ),
    "prioritized_replay": Setting(
        "draw transitions by their TD error (Schaul et al. 2016)", "bool", structural=True
    ),
    "prioritized_replay_alpha": Setting("how much the TD error counts; 0: evenly", "float", 0),
    "prioritized_replay_beta": Setting("how far the bias of that is mended; 1: fully", "float", 0),
    "tau": Setting("share of the new weights in a target update", "float", 0, 1, above_low=True),
}

_DQN = {
    "target_network_update_freq": Setting("environment steps between target updates", "int", 1),
    "double_q": Setting("double Q-learning (van Hasselt et al. 2015)", "bool", structural=True),
    "dueling": Setting("dueling heads (Wang et al. 2016)", "bool", structural=True),
    "num_atoms": Setting(
        "atoms of the distribution of returns (Bellemare et al. 2017); 1: their mean alone",
        "int",
        1,
        structural=True,
    ),
    "v_min": Setting("return of the lowest atom", structural=True),
    "v_max": Setting("return of the highest atom", structural=True),
    "noisy": Setting("noisy heads (Fortunato et al. 2018)", "bool", structural=True),
    "sigma0": Setting("noise of noisy heads at the start", "float", 0, structural=True),
    "initial_epsilon": Setting("share of random actions at step 0", "float", 0, 1),
    "final_epsilon": Setting("share of random actions from epsilon_timesteps on", "float", 0, 1),
    "epsilon_timesteps": Setting("environment steps over which epsilon falls", "int", 1),
}

_SAC = {
    "actor_lr": _rate("learning rate of the policy"),
    "critic_lr": _rate("learning rate of the critics"),
    "alpha_lr": _rate("learning rate of the temperature"),
    "initial_alpha": Setting(
        "temperature at the start", "float", 0, above_low=True, structural=True
    ),
    "twin_q": Setting("two critics, the lower one counts", "bool", structural=True),
    "target_network_update_freq": Setting(
        "environment steps between target updates; 0: after every update", "int", 0
    ),
}

_PPO = {
    "lambda_": Setting("lambda of generalised advantage estimation", "float", 0, 1),
    "clip_param": Setting("clip range of the probability ratio", "float", 0, above_low=True),
    "entropy_coeff": Setting("weight of the entropy bonus", "schedule", 0),
    "vf_loss_coeff": Setting("weight of the value loss", "float", 0),
    "vf_clip_param": Setting(
        "largest squared error of the value function; inf for none", "float", 0
    ),
    "num_epochs": Setting("passes over a batch", "int", 1),
    "minibatch_size": Setting("transitions in one gradient step", "int", 1),
    "use_kl_loss": Setting("add a KL penalty to the loss", "bool"),
    "kl_coeff": Setting("weight of the KL penalty at the start", "float", 0, structural=True),
    "kl_target": Setting("KL divergence the penalty steers to", "float", 0, above_low=True),
    "normalize_rewards": Setting(
        "divide rewards by the standard deviation of their discounted sum so far",
        "bool",
        structural=True,
    ),
    "vf_share_layers": Setting("one trunk for policy and value", "bool", structural=True),
}

_REPLAY_CONSTRAINTS = (
    Constraint.parse("train_batch_size <= buffer_capacity"),
    Constraint.parse("num_steps_sampled_before_learning_starts <= buffer_capacity"),
    # RLlib refuses the rest, in DQN with a message, in SAC with a TypeError.
    Constraint.parse("n_step <= rollout_fragment_length"),
)

ALGORITHMS: dict[str, Algorithm] = {
    algorithm.name: algorithm
    for algorithm in (
        Algorithm(
            "dqn",
            "Deep Q-Network (Mnih et al. 2015)",
            "DQN",
            frozenset({"discrete"}),
            _LR | _COMMON | _REPLAY | _DQN,
            (*_REPLAY_CONSTRAINTS, Constraint.parse("v_min <= v_max")),
        ),
        Algorithm(
            "sac",
            "Soft Actor-Critic (Haarnoja et al. 2018)",
            "SAC",
            frozenset({"box"}),
            _COMMON | _NOISE | _REPLAY | _SAC,
            _REPLAY_CONSTRAINTS,
        ),
        Algorithm(
            "ppo",
            "Proximal Policy Optimization (Schulman et al. 2017)",
            "PPO",
            frozenset({"discrete", "multidiscrete", "multibinary", "box"}),
            _LR | _COMMON | _NOISE | _PPO,
            (
                Constraint.parse("minibatch_size <= train_batch_size"),
                Constraint.parse("num_envs_per_env_runner divides train_batch_size"),
                Constraint.parse(
                    "num_env_runners * num_envs_per_env_runner divides train_batch_size"
                ),
            ),
        ),
    )
}


def algorithm(name: str) -> Algorithm:
    """The algorithm of a name.

    Raises:
        BadInput: there is none; names the nearest.
    """
    if name not in ALGORITHMS:
        raise unknown("algorithm", name, ALGORITHMS, " See `rltune list algorithms`.")
    return ALGORITHMS[name]


#: Settings that any request has.
_NEEDED = (
    "frame_stack",
    "min_sample_timesteps_per_iteration",
    "num_env_runners",
    "num_envs_per_env_runner",
)


def request_problems(spec: RunSpec) -> list[str]:
    """What in a request's settings its algorithm does not know or allow, each with its place."""
    algo = algorithm(spec.algo)
    tables = [
        ("settings", spec.settings),
        *(("space", {name: value}) for name, p in spec.space.items() for value in p.ends()),
        *(("points", point) for point in spec.points),
        *((f"arms {arm}", dict(s)) for arm, of in spec.arms.items() for _, s in of),
    ]
    return [
        f"{place}: {name}: {problem}"
        for place, values in tables
        for name, problem in algo.problems(values).items()
    ] + [f"settings: {name} is missing" for name in _NEEDED if name not in spec.settings]
