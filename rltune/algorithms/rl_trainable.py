"""What every algorithm of rltune adds to RLlib's: arrays, an in-place reset, a read-back."""

from __future__ import annotations

import logging
import math
import sys
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
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
from ray.tune import PlacementGroupFactory
from ray.tune.result import TRIAL_INFO

from rltune.algorithms.audit import requested_settings
from rltune.algorithms.checkpointing import CheckpointMixin
from rltune.algorithms.env_creator import register_with_rllib
from rltune.algorithms.fallback import check_metrics
from rltune.algorithms.learner_numbers import learner_numbers
from rltune.algorithms.trial_storage import timed
from rltune.engine.divergence import Divergence, check_rollouts
from rltune.engine.episodes import LENGTH, PREFIX, REWARD, Episode, Window, pause_matters
from rltune.engine.gpu import device_for
from rltune.engine.metric_names import LEARNER
from rltune.engine.rollout import Finished, Rollout
from rltune.engine.torch_compiler import without_compiler
from rltune.errors import warn_once
from rltune.processes.tracebacks import headlined


class RLTrainable(CheckpointMixin):
    """Mixed into RLlib's algorithms: one member of a population.

    To add an algorithm, write a row of :data:`rltune.catalog.algorithms.ALGORITHMS` with its
    settings, and a folder here, named after it, with

    - a network: RLlib's module with :class:`rltune.engine.normalisation.NormalisationMixin`,
    - a runner, :class:`rltune.algorithms.env_runner.ArrayEnvRunner`, whose ``act`` explores,
    - a learner: RLlib's with :class:`rltune.algorithms.learner.ArrayLearnerMixin`,
    - a config: RLlib's with :class:`rltune.algorithms.config.FlatConfigMixin`, which names those
      three classes, has an attribute for every setting, and says in ``config_attributes`` how each
      of RLlib's attributes is treated,
    - an algorithm: this class before RLlib's, with ``name``, ``config_class`` and
      :meth:`array_step`, and in :meth:`readings` what it alone can read back.

    ``tests/algorithms/test_contract.py`` checks every row.

    Attributes:
        name: the algorithm's name in rltune.catalog.algorithms.
        config_class: its config.
        env_steps: environment steps of this trial, its clock.
        diverged: where something was not finite, the step and what it was; else None.
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
    diverged: dict[str, Any] | None
    _storage: Any
    _trial_info: Any

    @classmethod
    def get_default_config(cls) -> Any:
        """A config of rltune's own subclass."""
        return cls.config_class(algo_class=cls)

    @classmethod
    def default_resource_request(cls, config: Any) -> Any:
        """RLlib's, and the memory that was asked for."""
        request = super().default_resource_request(config)  # type: ignore[misc]
        memory = dict(config).get("memory_per_trial", 0)
        if not memory:
            return request
        first, *others = request.bundles
        bundles = [{**first, "memory": memory}, *others]
        return PlacementGroupFactory(bundles, strategy=request.strategy)

    @headlined
    def __init__(self, config: Any = None, *args: Any, **kwargs: Any) -> None:
        self._requested = requested_settings(self.name, config or {})
        trial_info = config.get(TRIAL_INFO) if isinstance(config, dict) else None
        super().__init__(config, *args, **kwargs)  # type: ignore[call-arg]
        # RLlib drops it on its way to Tune's Trainable, and every new actor would be "default".
        self._trial_info = trial_info or self._trial_info

    def __repr__(self) -> str:
        # RLlib's fails where the constructor did, and Ray, which asks for it, ends the process.
        return super().__repr__() if self.config else type(self).__name__

    @without_compiler()
    def setup(self, config: Any) -> None:
        """Builds network, optimiser and environments, all drawn from the config's seed."""
        threads = self.config.threads or int(self.config.num_cpus_for_main_process)
        torch.set_num_threads(max(1, threads))
        self.config = self.config.copy(copy_frozen=False)
        if self._storage is not None:
            self.tidy_storage()
            self.config.crash_folder = self._storage.trial_fs_path
        self._take_gpu()
        self.config.freeze()
        if not self.on_arrays:
            register_with_rllib(self.config.env)
        super().setup(config)  # type: ignore[misc]
        self.env_steps = 0
        self.diverged = None
        self.restored = None
        self._events: list[dict[str, Any]] = []
        if not self.on_arrays:
            warn_once(
                f"{self.name} runs on stock RLlib here: rltune's fast engine does not do "
                + ", ".join(self.config.fallback_reasons)
            )
            return
        self.env_runner.module = self.learner.net
        # RLlib's own window forgets an episode that ended before the last report.
        self.window = Window(self.config.metrics_num_episodes_for_smoothing)
        #: Numbers of ``info`` that were not finite once, which is told once.
        self._not_finite: set[str] = set()
        #: Lengths of the episodes that have ended since the last pause, and of those that run.
        self._ended_lengths: list[int] = []
        self._running_lengths: list[int] = []

    def _take_gpu(self) -> None:
        """Takes the part of a GPU that is set aside for the learner in this process."""
        config = self.config
        gpus = 0.0 if config.num_learners or config._fake_gpus else config.num_gpus_per_learner
        if device_for(gpus).type == "cpu" and gpus:
            config.num_gpus_per_learner = 0  # it is not real

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

    def steps_per_env(self, env_steps: int) -> int:
        """Steps each environment takes so that all together take at least ``env_steps``."""
        config = self.config
        copies: int = config.num_envs_per_env_runner * max(1, config.num_env_runners)
        return -(-env_steps // copies)

    def collect(self, num_steps: int) -> list[Rollout]:
        """Rollouts of ``num_steps`` steps of every environment, one a runner, and their metrics.

        Raises:
            Divergence: a reward or an observation is not finite.
            EnvironmentFailed: an environment raises again and again.
        """
        rollouts = self._call_runners("sample", num_steps=num_steps, env_steps=self.env_steps)
        before = self.env_steps
        self.env_steps += sum(rollout.env_steps for rollout in rollouts)
        check_rollouts(rollouts, before)
        self._log_rollouts(rollouts)
        return rollouts

    def _call_runners(self, method: str, **kwargs: Any) -> list[Any]:
        """What a method of each runner returns; remote ones get the newest weights before."""
        if not self.env_runner_group.num_remote_env_runners():
            return [getattr(self.env_runner, method)(**kwargs)]
        self.env_runner_group.sync_weights(
            from_worker_or_learner_group=self.learner_group, inference_only=True
        )
        found: list[Any] = self.env_runner_group.foreach_env_runner(
            method, kwargs=kwargs, local_env_runner=False
        )
        return found

    def _log_rollouts(self, rollouts: list[Rollout]) -> None:
        log = self.metrics.log_value
        steps = sum(rollout.env_steps for rollout in rollouts)
        log((ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED), steps, reduce="sum")
        log((ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME), steps, reduce="lifetime_sum")
        for rollout in rollouts:
            self._events += rollout.events
            self._count_episodes(rollout.episodes)
        self._running_lengths = [steps for rollout in rollouts for steps in rollout.running]

    def _count_episodes(self, episodes: list[Episode], late: bool = False) -> None:
        log = self.metrics.log_value
        log((ENV_RUNNER_RESULTS, NUM_EPISODES), len(episodes), reduce="sum")
        for episode in episodes:
            log((ENV_RUNNER_RESULTS, EPISODE_LEN_MEAN), episode.length, window=self.window.size)
        self._ended_lengths += [episode.length for episode in episodes]
        odd = self.window.add(episodes, late)
        for name in odd.keys() - self._not_finite:
            self._not_finite.add(name)
            error = f"{PREFIX}{name} was {odd[name]} at an episode's end: left out of its mean"
            told = {"kind": "not_finite", "env_steps": self.env_steps, "error": error}
            self._events.append(told)

    def _finish_episodes(self) -> int:
        """Ends an interval with whole episodes where its mean would else favour short ones.

        A pause ends every running episode: the environments' state is in no checkpoint, and the
        process goes to another trial. Whether the trial will pause is not known yet: its return
        is compared before. Steps taken here are nobody's to learn from and not on the trial's
        clock, so that every trial trains for as many steps as its budget has.

        Returns:
            The steps that it took.

        Raises:
            Divergence: a reward is not finite.
        """
        ended, running = self._ended_lengths, self._running_lengths
        self._ended_lengths, self._running_lengths = [], []
        if not pause_matters(ended, running, self.window.size):
            return 0
        with no_denormals():
            parts: list[Finished] = self._call_runners("finish_episodes", env_steps=self.env_steps)
        episodes = [episode for part in parts for episode in part.episodes]
        for episode in episodes:
            if not math.isfinite(episode.reward):
                raise Divergence("reward", episode.reward)
        self._events += [event for part in parts for event in part.events]
        self._count_episodes(episodes, late=True)
        self._ended_lengths = []
        return sum(part.env_steps for part in parts)

    def end_interval(self) -> int:
        """Ends an interval as :meth:`_finish_episodes` does, for a trial of several algorithms.

        Returns:
            The steps that it took.
        """
        try:
            return 0 if self.diverged else self._finish_episodes()
        except Divergence as found:
            self.diverged = found.record(self.env_steps)
            return 0

    def end_updates(self) -> None:
        """After the updates of a training step: schedules, target networks, metrics."""
        learner = self.learner
        learner.after_gradient_based_update(
            timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: self.env_steps}
        )

    @timed
    @headlined
    def step(self) -> dict[str, Any]:
        """One iteration. Adds to RLlib's result what rltune reports.

        ``episode_reward_mean``, ``episode_len_mean`` and ``episode_info/<key>`` (absent until an
        episode has ended, and had the key), ``env_steps`` and ``env_steps_this_iter``,
        ``timesteps_total`` (an old name of env_steps, which Tune's loggers take for the x axis),
        ``settings``, read back from where they act, ``learner``, the few numbers that show how
        training goes (:mod:`rltune.algorithms.learner_numbers`), and where there are any:
        ``restored`` (the audit of a restore, in the first report after it), ``diverged``
        and ``events``. A member that has diverged neither samples nor trains any more.
        """
        before = self.env_steps
        self._extra_steps = 0
        result: dict[str, Any] = {}
        if self.diverged is None:
            try:
                result = self._iterate()
            except Divergence as found:
                self.diverged = found.record(self.env_steps)
            except Exception as error:
                error.add_note(f"{self.trial_id}: {self.config.env}, env step {self.env_steps}")
                raise
        result["env_steps"] = result["timesteps_total"] = self.env_steps
        result["env_steps_this_iter"] = self.env_steps - before + self._extra_steps
        result["settings"] = self.effective_settings()
        told = {"restored": self.restored, "diverged": self.diverged, "events": self._events}
        result |= {name: value for name, value in told.items() if value}
        self.restored, self._events = None, []
        return result

    def _iterate(self) -> dict[str, Any]:
        """RLlib's result of one iteration, and the metrics at its top level.

        Raises:
            Divergence: something is not finite. RLlib's own engine has trained on it by then.
        """
        before = self.env_steps
        result: dict[str, Any] = super().step()  # type: ignore[misc]
        sampled = result[ENV_RUNNER_RESULTS]
        if self.on_arrays:
            if any(before < at <= self.env_steps for at in self.config.pauses):
                self._extra_steps = self._finish_episodes()
            result[LEARNER_RESULTS] = self.learner.scalars()
            means = self.window.means()
            if REWARD in means:
                sampled[EPISODE_RETURN_MEAN] = means[REWARD]
            return result | means | {LEARNER: learner_numbers(result[LEARNER_RESULTS])}
        self.env_steps += int(sampled.get(NUM_ENV_STEPS_SAMPLED, 0))
        check_metrics(result)
        result[LEARNER] = learner_numbers(result.get(LEARNER_RESULTS, {}))
        for name, theirs in ((REWARD, EPISODE_RETURN_MEAN), (LENGTH, EPISODE_LEN_MEAN)):
            if not math.isnan(value := sampled.get(theirs, math.nan)):
                result[name] = value
        return result

    @headlined
    def reset_config(self, new_config: Any) -> bool:
        """Becomes a new trial in this process: what makes ``reuse_actors=True`` work.

        Everything is rebuilt from the new config, in about 50 ms, so that no schedule,
        optimiser or buffer of the last trial lives on. What costs seconds, the process and its
        imports, is kept.
        """
        self._requested = requested_settings(self.name, new_config)
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


# Also of deprecations within RLlib itself, which nobody but RLlib can fix.
for _name in ("ray.rllib", "ray._common.deprecation"):
    logging.getLogger(_name).setLevel(logging.ERROR)
