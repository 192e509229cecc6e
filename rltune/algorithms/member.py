"""What every algorithm of rltune adds to RLlib's: arrays, an in-place reset, a read-back."""

from __future__ import annotations

import logging
import math
import sys
from abc import abstractmethod
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import torch
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.utils.debug import update_global_seed_if_necessary
from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    EPISODE_LEN_MEAN,
    EPISODE_RETURN_MEAN,
    LEARNER_RESULTS,
    NUM_ENV_STEPS_SAMPLED,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    NUM_EPISODES,
)
from ray.rllib.utils.metrics.metrics_logger import MetricsLogger
from ray.train._internal.storage import StorageContext

from rltune.algorithms.learner import set_learning_rates
from rltune.algorithms.rollout import Rollout
from rltune.runs import POLICY_FILE, RECORD_FILE, dumps, loads
from rltune.settings import ALGORITHMS
from rltune.spec import MAX_TRIAL_SEED

log = logging.getLogger("rltune")


class FlatConfig:
    """Mixed into RLlib's configs: flat settings that a space can hold, and the array engine.

    Attributes:
        frame_stack: observations joined along their last axis, the newest last.
        stock_reasons: what in this config the array engine does not do, found by ``validate``.
            Where there is any, RLlib's own engine runs.
    """

    runner_class: ClassVar[type]
    learner_subclass: ClassVar[type]
    module_class: ClassVar[type]
    flat_model_keys: ClassVar[tuple[str, ...]] = ("fcnet_hiddens", "fcnet_activation")

    def __init__(self, algo_class: type) -> None:
        super().__init__(algo_class=algo_class)  # type: ignore[call-arg]
        self.fcnet_hiddens: list[int] | None = None
        self.fcnet_activation: str | None = None
        self.frame_stack = 1
        #: Set at an exploit: the clone's own environment steps, which its clock goes on from.
        self.env_steps_before: int | None = None
        self.num_env_runners = 0
        #: Reports come at fixed steps, however fast the machine is (RLlib's SAC: every second).
        self.min_time_s_per_iteration: float | None = None
        self.env_runner_cls: type | None = None
        self.stock_reasons: list[str] = []

    def get_default_learner_class(self) -> type:
        """The learner that takes arrays, or RLlib's."""
        if self.stock_reasons:
            return super().get_default_learner_class()  # type: ignore[misc, no-any-return]
        return self.learner_subclass

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """The network of the engine that runs."""
        if self.stock_reasons:
            return super().get_default_rl_module_spec()  # type: ignore[misc]
        return self.array_module_spec()

    def array_module_spec(self) -> RLModuleSpec:
        """The network of the array engine."""
        return RLModuleSpec(module_class=self.module_class)

    def validate(self) -> None:
        """Chooses the engine. Raises ValueError for settings that cannot be."""
        ours = {None, self.runner_class}
        if self.env_runner_cls in ours:
            self.env_runner_cls = None
        self.stock_reasons = self.not_on_arrays()
        if not self.stock_reasons:
            self.env_runner_cls = self.runner_class
        super().validate()  # type: ignore[misc]

    def not_on_arrays(self) -> list[str]:
        """What in this config the array engine does not do."""
        config: Any = self
        spec = config._rl_module_spec
        callbacks = [name for name in vars(self) if name.startswith("callbacks_on_")]
        found = {
            "several agents or policies": config.is_multi_agent,
            "a recurrent network": config.model_config.get("use_lstm"),
            "a module of your own": spec is not None
            and not issubclass(getattr(spec, "module_class", None) or object, self.module_class),
            "custom connectors": config._env_to_module_connector
            or config._module_to_env_connector
            or config._learner_connector,
            "callbacks": config.callbacks_class is not RLlibCallback
            or any(getattr(self, name) for name in callbacks),
            "num_learners": config.num_learners,
            "evaluation_interval": config.evaluation_interval,
            "offline data": config.input_ != "sampler",
            "an env runner of your own": self.env_runner_cls is not None,
            "a learner of your own": config._learner_class is not None,
            "another framework than torch": config.framework_str != "torch",
            "the old API stack": not config.enable_env_runner_and_connector_v2,
        }
        return [reason for reason, applies in found.items() if applies]

    @property
    def _model_config_auto_includes(self) -> dict[str, Any]:
        flat = {key: getattr(self, key) for key in self.flat_model_keys}
        inherited: dict[str, Any] = super()._model_config_auto_includes  # type: ignore[misc]
        return inherited | {key: value for key, value in flat.items() if value is not None}


class TidyStorage(StorageContext):
    """Tune's storage of a trial, its checkpoints in a folder of their own."""

    @property
    def checkpoint_dir_name(self) -> str:
        """``checkpoints/checkpoint_000001``."""
        return f"checkpoints/{super().checkpoint_dir_name}"


class Member:
    """Mixed into RLlib's algorithms: one member of a population.

    Attributes:
        name: the algorithm's name in rltune.settings.
        config_class: its config.
        env_steps: environment steps of this trial, its clock.
    """

    name: ClassVar[str]
    config_class: ClassVar[type]
    config: Any
    metrics: Any
    env_runner: Any
    env_runner_group: Any
    learner_group: Any
    iteration: int
    trial_id: str
    env_steps: int
    _storage: Any

    @classmethod
    def get_default_config(cls) -> Any:
        """A config of rltune's own subclass."""
        return cls.config_class(algo_class=cls)

    def setup(self, config: Any) -> None:
        """Builds network, optimiser and environments, all drawn from the config's seed."""
        torch.set_num_threads(max(1, int(self.config.num_cpus_for_main_process)))
        if self._storage is not None:
            self._storage.__class__ = TidyStorage
        super().setup(config)  # type: ignore[misc]
        self.env_steps = 0
        if not self.on_arrays:
            _say_once(
                f"{self.name} runs on stock RLlib here: rltune's fast engine does not do "
                + ", ".join(self.config.stock_reasons)
            )
            return
        self.env_runner.module = self.learner.net
        # RLlib's own window forgets an episode that ended before the last report.
        self._returns: deque[float] = deque(maxlen=self.config.metrics_num_episodes_for_smoothing)

    @property
    def on_arrays(self) -> bool:
        """Whether rltune's engine runs this trial; else RLlib's does."""
        return not self.config.stock_reasons

    def training_step(self) -> None:
        """One round of sampling and updates."""
        if self.on_arrays:
            with no_denormals():
                self.array_step()
        else:
            super().training_step()  # type: ignore[misc]

    @abstractmethod
    def array_step(self) -> None:
        """The same on arrays."""

    @property
    def learner(self) -> Any:
        """The learner, which lives in this process."""
        return self.learner_group._learner

    def steps_per_env(self, env_steps: int) -> int:
        """Steps each environment takes so that all together take at least ``env_steps``."""
        config = self.config
        copies: int = config.num_envs_per_env_runner * max(1, config.num_env_runners)
        return -(-env_steps // copies)

    def collect(self, num_steps: int) -> list[Rollout]:
        """Rollouts of ``num_steps`` steps of every environment, one a runner, and their metrics."""
        kwargs = {"num_steps": num_steps, "env_steps": self.env_steps}
        if self.env_runner_group.num_remote_env_runners():
            self.env_runner_group.sync_weights(
                from_worker_or_learner_group=self.learner_group, inference_only=True
            )
            rollouts = self.env_runner_group.foreach_env_runner(
                "sample", kwargs=kwargs, local_env_runner=False
            )
        else:
            rollouts = [self.env_runner.sample(**kwargs)]
        self._log_rollouts(rollouts)
        return list(rollouts)

    def _log_rollouts(self, rollouts: list[Rollout]) -> None:
        log = self.metrics.log_value
        steps = sum(rollout.env_steps for rollout in rollouts)
        self.env_steps += steps
        log((ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED), steps, reduce="sum")
        log((ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME), steps, reduce="lifetime_sum")
        for rollout in rollouts:
            log((ENV_RUNNER_RESULTS, NUM_EPISODES), len(rollout.episode_returns), reduce="sum")
            self._returns.extend(rollout.episode_returns)
            for length in rollout.episode_lengths:
                log((ENV_RUNNER_RESULTS, EPISODE_LEN_MEAN), length, window=self._returns.maxlen)

    def end_updates(self) -> None:
        """After the updates of a training step: schedules, target networks, metrics."""
        learner = self.learner
        learner.after_gradient_based_update(
            timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: self.env_steps}
        )

    def step(self) -> dict[str, Any]:
        """One iteration. Adds to RLlib's result what rltune reports.

        ``episode_reward_mean`` (absent until an episode has ended), ``env_steps`` and
        ``env_steps_this_iter``, ``timesteps_total`` (an old name of env_steps, which Tune's
        loggers take for the x axis) and ``settings``, read back from where they act.
        """
        before = self.env_steps
        result: dict[str, Any] = super().step()  # type: ignore[misc]
        sampled = result[ENV_RUNNER_RESULTS]
        if self.on_arrays:
            result[LEARNER_RESULTS] = self.learner.metrics.scalars()
            if self._returns:
                sampled[EPISODE_RETURN_MEAN] = sum(self._returns) / len(self._returns)
        else:
            self.env_steps += int(sampled.get(NUM_ENV_STEPS_SAMPLED, 0))
        score = sampled.get(EPISODE_RETURN_MEAN, math.nan)
        if not math.isnan(score):
            result["episode_reward_mean"] = score
        result["env_steps"] = result["timesteps_total"] = self.env_steps
        result["env_steps_this_iter"] = self.env_steps - before
        result["settings"] = self.effective_settings()
        return result

    def effective_settings(self) -> dict[str, Any]:
        """Every setting, read from the object it acts in and not from what was asked."""
        names = ALGORITHMS[self.name].settings
        acting = self.learner.config if self.on_arrays else self.config
        settings = {name: getattr(acting, name, None) for name in names}
        if self.on_arrays:
            for name in ("num_env_runners", "num_envs_per_env_runner"):
                settings[name] = getattr(self.env_runner.config, name)
            settings |= self.learner.learning_rates()
        return {name: value for name, value in settings.items() if value is not None}

    def reset_config(self, new_config: Any) -> bool:
        """Becomes a new trial in this process: what makes ``reuse_actors=True`` work.

        Everything is built anew from the new config, in about 50 ms, so that no schedule,
        optimiser or buffer of the last trial lives on. What costs seconds, the process and its
        imports, is kept.
        """
        config = new_config if not isinstance(new_config, dict) else self._config_from(new_config)
        self.cleanup()  # type: ignore[attr-defined]
        self._env_id, self.env_creator = self._get_env_id_and_creator(config.env, config)  # type: ignore[attr-defined]
        self.metrics = MetricsLogger(root=True, stats_cls_lookup=config.stats_cls_lookup)
        self.config = config
        self.setup(config)
        return True

    def _config_from(self, values: dict[str, Any]) -> Any:
        config = self.get_default_config().update_from_dict(values)
        config.validate()
        config.freeze()
        return config

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """RLlib's checkpoint, and the network's weights in a file that is safe to open."""
        super().save_checkpoint(checkpoint_dir)  # type: ignore[misc]
        record = {"trial_id": self.trial_id, "env_steps": self.env_steps}
        if self.on_arrays:
            torch.save(self.learner.net.state_dict(), Path(checkpoint_dir) / POLICY_FILE)
            record |= {
                "episode_returns": list(self._returns),
                "window": self._returns.maxlen,
                "settings": self.effective_settings(),
            }
        (Path(checkpoint_dir) / RECORD_FILE).write_text(dumps(record))

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        """Goes on from a checkpoint, this trial's or a donor's, with this trial's settings."""
        super().load_checkpoint(checkpoint_dir)  # type: ignore[misc]
        record = loads((Path(checkpoint_dir) / RECORD_FILE).read_text())
        cloned = record["trial_id"] != self.trial_id and self.config.env_steps_before is not None
        self.env_steps = self.config.env_steps_before if cloned else record["env_steps"]
        if not self.on_arrays:
            self.learner_group.foreach_learner(set_learning_rates, env_steps=self.env_steps)
            return
        self._returns.extend(record["episode_returns"])
        self.learner.set_clock(self.env_steps)
        if self.config.seed is not None:
            self._reseed((self.config.seed + self.env_steps) % MAX_TRIAL_SEED)

    def _reseed(self, seed: int) -> None:
        """Else a clone would repeat its own first draws and episodes, a resumed trial its past."""
        update_global_seed_if_necessary("torch", seed)
        self.env_runner_group.foreach_env_runner(lambda runner: runner.reseed(seed))


@contextmanager
def no_denormals() -> Iterator[None]:
    """Rounds denormal numbers to zero meanwhile, in this thread.

    Adam's averages decay into them where gradients are zero (dead units), and a CPU takes up to ten
    times as long over them.
    """
    already = sys.float_info.min / 2 == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(already)


@cache
def _say_once(text: str) -> None:
    log.warning(text)


# Also of deprecations within RLlib itself, which nobody but RLlib can mend.
for _name in ("ray.rllib", "ray._common.deprecation"):
    logging.getLogger(_name).setLevel(logging.ERROR)
