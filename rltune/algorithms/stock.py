"""RLlib's algorithms as they are, in trials of :func:`rltune.tune`."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any, ClassVar

from ray import tune
from ray.rllib.algorithms import registry
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.utils.metrics import (
    ALL_MODULES,
    ENV_RUNNER_RESULTS,
    EPISODE_LEN_MEAN,
    EPISODE_RETURN_MEAN,
    EVALUATION_RESULTS,
    LEARNER_RESULTS,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
)

from rltune.algorithms.fallback import check_metrics
from rltune.algorithms.learner import set_learning_rates
from rltune.algorithms.stock_config import configured
from rltune.engine.metric_names import LENGTH, REWARD
from rltune.envs import places
from rltune.errors import unknown

#: Iterations without a step of the environment after which an algorithm is taken to hang.
MOST_IDLE = 1_000
#: How RLlib's names of what it counts and times begin: no metrics of learning.
COUNTS = ("num_", "last_", "weights_seq_no", "learner_connector", "module_train_batch_size")


def place_of(name: str) -> str:
    """The import path of one of RLlib's algorithms.

    Raises:
        BadInput: there is none of that name; names the nearest.
    """
    if name not in registry.ALGORITHMS:
        more = " A function is module:function or file.py:function."
        raise unknown("algorithm of RLlib's", name, registry.ALGORITHMS, more)
    return places.place_of(registry.ALGORITHMS[name]()[0])


def bundles(kind: type[Algorithm], settings: Mapping[str, Any]) -> list[dict[str, float]]:
    """What the processes of one trial need, its own first."""
    request = kind.default_resource_request(configured(kind, settings))
    return [{name: amount for name, amount in each.items() if amount} for each in request.bundles]


class StockTrial(tune.Trainable):
    """Trains an algorithm of RLlib's.

    A report is one iteration. Its metrics are ``episode_reward_mean`` and ``episode_len_mean``,
    absent before an episode has ended, and the numbers of RLlib's learners and of its evaluation,
    by RLlib's names. The clock is that of environment steps; of an algorithm that takes none, of
    reports. RLlib keeps no replay buffer in its checkpoints: after an exploit or a resume a new one
    fills up.

    Attributes:
        algorithm_class: a subclass of RLlib's Algorithm.
        rllib_result: RLlib's last result, without the config.
    """

    algorithm_class: ClassVar[type[Algorithm]]
    rllib_result: Mapping[str, Any]

    def setup(self, config: dict[str, Any]) -> None:
        """Builds the algorithm from RLlib's settings and a seed."""
        self._env_steps = 0
        self.rllib_result = {}
        self.algorithm = configured(self.algorithm_class, config).build_algo()

    def step(self) -> dict[str, Any]:
        """One iteration, or more until the environment has been stepped.

        Raises:
            Divergence: the return or a loss is not finite.
        """
        for _ in range(MOST_IDLE):
            result = self.algorithm.train()
            self.rllib_result = {key: result[key] for key in result if key != "config"}
            if ENV_RUNNER_RESULTS not in result:
                return _metrics(result)
            check_metrics(result)
            taken = int(result.get(NUM_ENV_STEPS_SAMPLED_LIFETIME) or _sampled(result))
            if taken > self._env_steps:
                self._env_steps = taken
                return {**_metrics(result), "env_steps": taken}
        raise RuntimeError(f"RLlib took no step of the environment in {MOST_IDLE} iterations")

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """RLlib's own files."""
        self.algorithm.save_checkpoint(checkpoint_dir)

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        """Continues from RLlib's files, at this trial's settings.

        A checkpoint also holds the learning rates that its trial ran at.
        """
        self.algorithm.load_checkpoint(checkpoint_dir)
        self._env_steps = int(_lifetime(self.algorithm))
        self.algorithm.learner_group.foreach_learner(set_learning_rates, env_steps=self._env_steps)

    def cleanup(self) -> None:
        """Ends the algorithm and the processes that it has started."""
        self.algorithm.stop()


def _sampled(result: Mapping[str, Any]) -> float:
    return float(result[ENV_RUNNER_RESULTS].get(NUM_ENV_STEPS_SAMPLED_LIFETIME, 0))


def _lifetime(algorithm: Algorithm) -> float:
    """Environment steps that the weights of an algorithm have behind them."""
    key = (ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME)
    return float(algorithm.metrics.peek(key, default=0))


def _metrics(result: Mapping[str, Any]) -> dict[str, Any]:
    """What of RLlib's result is reported."""
    sampled = result.get(ENV_RUNNER_RESULTS, {})
    means = {REWARD: EPISODE_RETURN_MEAN, LENGTH: EPISODE_LEN_MEAN}
    found = {name: sampled.get(theirs, math.nan) for name, theirs in means.items()}
    learners = {
        module: {name: value for name, value in values.items() if not name.startswith(COUNTS)}
        for module, values in result.get(LEARNER_RESULTS, {}).items()
        if module != ALL_MODULES and isinstance(values, Mapping)
    }
    return {
        LEARNER_RESULTS: learners,
        EVALUATION_RESULTS: result.get(EVALUATION_RESULTS, {}),
        **{name: value for name, value in found.items() if not math.isnan(value)},
    }


def trial_of(kind: type[Algorithm]) -> type[StockTrial]:
    """The class of trials of an algorithm."""
    return type(StockTrial.__name__, (StockTrial,), {"algorithm_class": kind})


# Of deprecations within RLlib itself, which nobody but RLlib can fix.
for _name in ("ray.rllib", "ray._common.deprecation"):
    logging.getLogger(_name).setLevel(logging.ERROR)
