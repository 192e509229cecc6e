"""The environment runner: one vectorised environment, one forward pass a step, arrays out."""

from __future__ import annotations

import logging
import math
from abc import abstractmethod
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import ray
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from ray.rllib.core import COMPONENT_RL_MODULE, DEFAULT_MODULE_ID
from ray.rllib.env import INPUT_ENV_SPACES
from ray.rllib.env.env_runner import EnvRunner
from ray.rllib.utils.checkpoints import Checkpointable

from rltune import envs
from rltune.algorithms.audit import Reading
from rltune.algorithms.env_creator import env_arguments
from rltune.algorithms.policy import greedy_actions
from rltune.engine.divergence import Divergence
from rltune.engine.episodes import Episode, final_infos, numbers
from rltune.engine.normalisation import as_input, to_device
from rltune.engine.rollout import MAX_RESTARTS, STEP_COLUMNS, Finished, Rollout
from rltune.engine.torch_compiler import without_compiler
from rltune.engine.torch_settings import TorchSettingsGuard
from rltune.errors import EnvironmentFailed, ProcessEnded, described
from rltune.processes.descendants import end_descendants
from rltune.processes.watchdog import Watchdog, watchdog
from rltune.spec import FIRST_FRESH_SEED, MAX_TRIAL_SEED

log = logging.getLogger("rltune")


class ArrayEnvRunner(EnvRunner, Checkpointable):
    """Steps the environments of one trial, in its process or in a remote one.

    The trial replaces the local runner's network by the learner's, so that no weights are ever
    copied. A remote runner keeps its own and gets weights before it samples.
    """

    @without_compiler()
    def __init__(self, *, config: Any, **kwargs: Any) -> None:
        super().__init__(config=config, **kwargs)
        self._spaces = kwargs.get("spaces")
        self.module: Any = None
        self._crash_folder = Path(config.crash_folder) if config.crash_folder else None
        #: In several processes each has a watchdog of its own, and none is called in this one.
        several = min(config.env_processes, config.num_envs_per_env_runner) > 1
        self._several = several and envs.POSSIBLE
        timeout = math.inf if self._several else config.env_timeout
        self._watchdog = watchdog(timeout, self._crash_folder)
        self._guard = TorchSettingsGuard(self._watchdog)
        self.rng = np.random.default_rng(self._seed)
        self._restarts = 0
        #: Steps of the vectorised environment so far.
        self._clock = 0
        if self.worker_index or not self.num_workers:
            self.make_env()
        self.make_module()

    def reseed(self, seed: int) -> None:
        """Draws from another seed on, in new episodes."""
        self._seed = seed + self.worker_index
        self.rng = np.random.default_rng(self._seed)
        if self.worker_index:  # else the trial's own process, which does that
            torch.manual_seed(self._seed)
        if self.env is not None:
            self._reset_env(self._env_seed)

    @property
    def _env_seed(self) -> int | None:
        """Of the first copy; each of the others has the next one, and those of other runners."""
        if self._seed is None:  # RLlib's default: no trial of a sweep
            return None
        before = max(0, self.worker_index - 1)
        return int(self._seed + before * (self.config.num_envs_per_env_runner - 1))

    @abstractmethod
    def act(self, obs: torch.Tensor, env_steps: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Explores: actions for observations of shape (N, ...), and extras to keep with them.

        Args:
            env_steps: environment steps of the trial so far, for schedules.
        """

    def make_env(self) -> None:
        """Makes the vectorised environment and resets it with this runner's seed."""
        config = self.config
        processes = envs.Processes(
            config.env_timeout, self._crash_folder, self._env_seed, config.env_processes
        )
        with self._guard:
            name, env_args = env_arguments(config, self.worker_index, self.num_workers)
            self.env = envs.make_vec(
                name,
                config.num_envs_per_env_runner,
                env_args,
                config.frame_stack,
                config.simulator,
                config.observation_form,
                processes,
            )
        self._autoreset = self.env.metadata["autoreset_mode"]
        self._reset_env(self._env_seed)

    def _reset_env(self, seed: int | None = None) -> None:
        """Begins new episodes; without a seed from where the environments' generators are."""
        with self._guard:
            self._obs, _ = self.env.reset(seed=seed)
        self._fresh = np.zeros(self.env.num_envs, dtype=bool)  # the next step is spent on a reset
        self._returns = np.zeros(self.env.num_envs)
        self._lengths = np.zeros(self.env.num_envs, dtype=int)
        self._continues = False
        self._finished = False

    def make_module(self) -> None:
        """Builds this runner's own network, with the parts that acting needs."""
        spec = self.config.get_rl_module_spec(spaces=self.get_spaces(), inference_only=True)
        self.module = spec.build()

    @torch.no_grad()
    def sample(self, *, num_steps: int, env_steps: int = 0, **_: Any) -> Rollout:
        """``num_steps`` steps of every environment.

        Environments that raise are rebuilt: their episodes are discarded, the steps so far are
        kept as cut off, and the rollout's ``events`` tell of it.

        Args:
            env_steps: environment steps of the trial so far, for schedules.

        Raises:
            EnvironmentFailed: they raise again and again.
        """
        rows: list[dict[str, np.ndarray]] = []
        ended: list[Episode] = []
        events: list[dict[str, Any]] = []
        self._start_acting()
        continues = self._continues
        while len(rows) < num_steps:
            row = self._try_step(env_steps, ended, events)
            if row is not None:
                rows.append(row)
                env_steps += self.env.num_envs * max(1, self.num_workers)
            elif rows:
                rows[-1]["truncated"] = ~rows[-1]["terminated"]
            else:
                continues = False
        self._continues = True
        arrays = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        fields = {name: arrays.pop(name) for name in STEP_COLUMNS}
        return Rollout(
            **fields,
            extras=arrays,
            episodes=ended,
            running=self._lengths.tolist(),
            events=events,
            continues=continues,
        )

    @torch.no_grad()
    def finish_episodes(self, *, env_steps: int = 0) -> Finished:
        """Plays the episode of every environment to its end, exploring as in training.

        Nobody learns from these steps. Environments whose episode ends sooner are stepped along;
        what they begin is discarded, and all of them begin new episodes when sampling continues.

        Args:
            env_steps: environment steps of the trial so far, for schedules.

        Raises:
            EnvironmentFailed: environments raise again and again.
        """
        ended: list[Episode] = []
        events: list[dict[str, Any]] = []
        steps = 0
        waiting = self._lengths > 0
        self._start_acting()
        while waiting.any():
            here: list[Episode] = []
            row = self._try_step(env_steps, here, events)
            if row is None:
                break  # they were made again: the episodes are gone
            steps += int(row["valid"].sum())
            done = row["terminated"] | row["truncated"]
            ended += [each for each, own in zip(here, waiting[done], strict=True) if own]
            waiting &= ~done
        self._finished = True
        return Finished(ended, steps, events)

    @torch.no_grad()
    def rehearse(self, greedy: bool) -> bool:
        """Steps every environment once. What an environment raises is raised.

        Args:
            greedy: act as the policy is scored, without exploring.

        Returns:
            Whether an episode has ended.
        """
        self._start_acting()
        obs = to_device(self._obs, self._device)
        if greedy:
            actions = greedy_actions(self.module, obs).cpu().numpy()
        else:
            actions, _ = self.act(as_input(self.module, obs), 0)
        ended: list[Episode] = []
        self._step(actions, ended)
        return bool(ended)

    def _start_acting(self) -> None:
        self._device = next(self.module.parameters()).device
        if type(self.module) is not self.config.module_class:
            self.module.eval()  # it may have layers that act otherwise in training
        if self._finished:
            self._reset_env()

    def _try_step(
        self, env_steps: int, ended: list[Episode], events: list[dict[str, Any]]
    ) -> dict[str, np.ndarray] | None:
        """One step of every environment; None where they raised and were made again."""
        obs = as_input(self.module, to_device(self._obs, self._device))
        actions, extras = self.act(obs, env_steps)
        if actions.dtype.kind == "f" and not (finite := np.isfinite(actions)).all():
            raise Divergence("action", actions[~finite][0])
        try:
            return self._step(actions, ended) | extras
        except ProcessEnded:  # as where the environments' process is the trial's
            raise
        except Exception as error:
            events.append(self._restart(error, env_steps))
            return None

    def _step(self, actions: np.ndarray, ended: list[Episode]) -> dict[str, np.ndarray]:
        """One step of every environment; episodes that end are appended to ``ended``."""
        before, fresh = self._obs, self._fresh
        with self._guard:
            self._obs, rewards, terminated, truncated, infos = self.env.step(actions)
        done = terminated | truncated
        with np.errstate(over="ignore"):  # what is infinite then is met by check_rollouts
            rewards = np.asarray(rewards, dtype=np.float32)
        row = {
            "obs": before,
            "next_obs": self._true_next(infos, done),
            "actions": actions,
            "rewards": rewards,
            "terminated": terminated,
            "truncated": truncated,
            "valid": ~fresh,
        }
        if self._autoreset == AutoresetMode.DISABLED and done.any():
            with self._guard:
                self._obs, _ = self.env.reset(options={"reset_mask": done})
        self._count_episodes(rewards, done, infos, ended)
        return row

    def _restart(self, error: Exception, env_steps: int) -> dict[str, Any]:
        """Rebuilds the environments, with a seed of their own. Returns the event."""
        event = {
            "kind": "env_restart",
            "env_steps": env_steps,
            "error": described(error),
        }
        while True:
            self._restarts += 1
            if self._restarts > MAX_RESTARTS:
                raise EnvironmentFailed(
                    f"{self.config.env} raised {type(error).__name__} at env step {env_steps}, "
                    f"after {MAX_RESTARTS} restarts without an episode that ended: {error}"
                ) from error
            log.warning("%s is rebuilt at env step %d: %s", self.config.env, env_steps, error)
            self._close()
            start = self._seed // FIRST_FRESH_SEED * FIRST_FRESH_SEED  # of its range
            self._seed = start + int(self.rng.integers(MAX_TRIAL_SEED))
            try:
                self.make_env()
            except ProcessEnded:
                raise
            except Exception as again:
                error = again
            else:
                return event

    def _true_next(self, infos: dict[str, Any], done: np.ndarray) -> np.ndarray:
        """What the step led to; SAME_STEP autoreset hides it in the infos where episodes ended."""
        true_next: np.ndarray = self._obs
        if self._autoreset != AutoresetMode.SAME_STEP or not done.any():
            return true_next
        true_next = true_next.copy()
        for i in np.flatnonzero(done):
            true_next[i] = infos["final_obs"][i]
        return true_next

    def _count_episodes(
        self, rewards: np.ndarray, done: np.ndarray, infos: dict[str, Any], ended: list[Episode]
    ) -> None:
        self._clock += 1
        self._returns += rewards
        self._lengths += ~self._fresh
        if done.any():
            self._restarts = 0
            returns, lengths = self._returns[done].tolist(), self._lengths[done].tolist()
            last = [numbers(info) for info in final_infos(infos, done)]
            began = [self._clock - length for length in lengths]
            ended += map(Episode, returns, lengths, last, began)
        self._returns[done] = 0.0
        self._lengths[done] = 0
        if self._autoreset == AutoresetMode.NEXT_STEP:
            self._fresh = done

    def readings(self) -> list[Reading]:
        """The settings that act here, read from the environments themselves."""
        env, place = self.env, "environment"
        found = [Reading("num_envs_per_env_runner", place, env.num_envs)]
        frames = 1
        if isinstance(env, envs.Workers):
            frames = env.frames
        elif isinstance(env, SyncVectorEnv):
            frames = envs.frames_of(env.envs[0])
        return [*found, Reading("frame_stack", place, frames)]

    def get_spaces(self) -> dict[str, tuple[gym.Space[Any], gym.Space[Any]]]:
        """Observation and action space of one environment, under RLlib's keys."""
        if self.env is None:
            return dict(self._spaces or {})
        spaces = (self.env.single_observation_space, self.env.single_action_space)
        return {INPUT_ENV_SPACES: spaces, DEFAULT_MODULE_ID: spaces}

    def assert_healthy(self) -> None:
        """Raises AssertionError when there is no environment."""
        assert self.env is not None or not self.worker_index

    def stop(self) -> None:
        """Closes the environments."""
        try:
            self._close()
        finally:
            if isinstance(self._watchdog, Watchdog):
                self._watchdog.close()
            if self.config.ends_processes:
                end_descendants()

    def _close(self) -> None:
        if self.env is not None:
            with self._guard:
                envs.close(self.env)

    def get_state(self, *_: Any, **__: Any) -> dict[str, Any]:
        """Empty: the trial saves what is worth saving, and episodes start again."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes weights, where this runner is remote and has a network of its own."""
        weights = state.get(COMPONENT_RL_MODULE)
        if weights is None or not self.worker_index:
            return
        weights = ray.get(weights) if isinstance(weights, ray.ObjectRef) else weights
        self.module.set_state(weights.get(DEFAULT_MODULE_ID, weights))

    def get_ctor_args_and_kwargs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What RLlib's checkpoint needs to make this object again."""
        return (), {"config": self.config}

    def get_checkpointable_components(self) -> list[tuple[str, Any]]:
        """None: see get_state."""
        return []
