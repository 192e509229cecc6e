"""Plays whole episodes with trained policies, in separate processes, and retries failures."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import gymnasium as gym
import numpy as np

from rltune import envs
from rltune.algorithms.policy import load_policy
from rltune.engine.episodes import Episode, numbers
from rltune.engine.torch_settings import TorchSettingsGuard
from rltune.errors import BadCheckpoint, BadInput, ProcessEnded, RltuneError, described
from rltune.metric import Metric
from rltune.processes import machine
from rltune.processes.subprocess_guard import Guard, each_isolated
from rltune.processes.watchdog import where
from rltune.runs.folder import RunFolder
from rltune.spec import RunSpec

#: Number of episodes that a process plays together.
TOGETHER = 20

#: Called with the number of episodes that have been played, and of all that will be.
Played = Callable[[int, int], None]


class ActingPolicy(Protocol):
    """A policy that acts greedily.

    Attributes:
        frame_stack: number of observations joined into its input.
        form: how it reads observations.
    """

    frame_stack: int
    form: str

    def act(self, obs: np.ndarray) -> np.ndarray:
        """Returns actions for observations (N, ...), both as in :func:`rltune.envs.make`."""


@dataclass(frozen=True)
class Lost:
    """An episode without a return.

    Attributes:
        error: what happened.
        final: whether a retry would fail in the same way: a reward or an observation is not finite,
            or the policy cannot be loaded. The policy then has no score.
    """

    error: str
    final: bool = False


@dataclass
class Score:
    """Results of the episodes of one policy.

    Attributes:
        checkpoint: checkpoint of the policy.
        returns: undiscounted returns of the finished episodes by seed; the values of the tuned
            metric if it is another one, NaN for an episode without it.
        lost: the other episodes by seed.
        broken: error that prevented loading the policy.
    """

    checkpoint: Path
    returns: dict[int, float] = field(default_factory=dict)
    lost: dict[int, Lost] = field(default_factory=dict)
    broken: RltuneError | None = None

    @property
    def final(self) -> bool:
        """Whether the policy has no score and a retry cannot give it one."""
        return any(lost.final for lost in self.lost.values())

    @property
    def mean(self) -> float | None:
        """Mean of the returns; None if there is no score."""
        values = [value for value in self.returns.values() if not math.isnan(value)]
        return None if self.final or not values else float(np.mean(values))

    def unscored(self) -> dict[Lost, list[int]]:
        """Returns the seeds of the lost episodes, by what happened."""
        return {
            lost: [seed for seed, one in self.lost.items() if one == lost]
            for lost in dict.fromkeys(self.lost.values())
        }


@dataclass(frozen=True)
class _Part:
    """Episodes that one process plays.

    Attributes:
        place: index of the policy among those that are scored.
        seeds: seeds of the episodes.
        tries: number of failed attempts so far.
    """

    place: int
    seeds: Sequence[int]
    tries: int = 0

    def again(self, seeds: Sequence[int], size: int) -> list[_Part]:
        """Splits some of its episodes into parts of ``size`` for another attempt."""
        chunks = [seeds[first : first + size] for first in range(0, len(seeds), size)]
        return [_Part(self.place, chunk, self.tries + 1) for chunk in chunks]


def scores(
    folder: RunFolder,
    checkpoints: Sequence[Path],
    seeds: Sequence[int],
    played: Played = lambda done, of: None,
) -> list[Score]:
    """Plays one episode per seed with the policy of each of a run's checkpoints.

    The episodes run in as many separate processes as there are cores. An episode in which the
    environment raises is retried up to ``max_failures`` times and at least once. So are all
    episodes of a process that hung or crashed, with half as many per process, so that few are lost
    together with the one at fault. If every episode fails, only one part is retried: each attempt
    may take a minute.

    Args:
        played: called before the first episode and whenever a process has played its episodes.
    """
    spec = folder.spec
    results = [Score(checkpoint) for checkpoint in checkpoints]
    parts = [
        _Part(place, seeds[first : first + TOGETHER])
        for place in range(len(checkpoints))
        for first in range(0, len(seeds), TOGETHER)
    ]
    processes, copies = side_by_side(spec)
    count = _Count(len(checkpoints) * len(seeds), played)
    while parts:
        alone = parts[0].tries > 0 and not any(score.returns for score in results)
        now, parts = (parts[:1], parts[1:]) if alone else (parts, [])
        works = [
            partial(_work, folder, spec, checkpoints[part.place], part.seeds, copies)
            for part in now
        ]
        sizes = [len(part.seeds) if part.tries == 0 else 0 for part in now]
        timeout = spec.env_options.env_timeout
        answers = each_isolated(works, timeout, processes, partial(count.add, sizes))
        again = [
            rest
            for part, answer in zip(now, answers, strict=True)
            for rest in _take(results[part.place], part, answer)
            if rest.tries <= max(1, spec.resources.max_failures)
        ]
        if alone and not again and not any(score.returns for score in results):
            break
        parts = again + parts
    for score in results:
        if score.returns and all(map(math.isnan, score.returns.values())):
            none = Lost(f"no episode had {spec.metric} in its last info", final=True)
            score.lost |= dict.fromkeys(score.returns, none)
            score.returns.clear()
    return results


class _Count:
    """Counts episodes; those that are retried once."""

    def __init__(self, of: int, played: Played) -> None:
        self._done, self._of, self._played = 0, of, played
        played(0, of)

    def add(self, sizes: Sequence[int], part: int) -> None:
        """Adds the episodes of a part that has been played."""
        self._done += sizes[part]
        self._played(self._done, self._of)


def side_by_side(spec: RunSpec) -> tuple[int, int]:
    """Returns the number of parallel processes, and of environment copies in each."""
    processes = spec.resources.concurrent or machine.cores().amount
    if spec.env_options.env_copies is None:
        return processes, TOGETHER
    processes = min(processes, spec.env_options.env_copies)
    return processes, min(TOGETHER, spec.env_options.env_copies // processes)


def _work(
    folder: RunFolder,
    spec: RunSpec,
    checkpoint: Path,
    seeds: Sequence[int],
    copies: int,
    guard: Guard,
) -> list[float | Lost]:
    return play(load_policy(spec, folder, checkpoint), spec, seeds, guard, copies)


def _take(score: Score, part: _Part, answer: list[float | Lost] | Exception) -> list[_Part]:
    """Adds the results of a part. Returns the parts to retry."""
    if isinstance(answer, BadInput | BadCheckpoint):
        score.broken = answer
        score.lost |= dict.fromkeys(part.seeds, Lost(str(answer), final=True))
        return []
    if isinstance(answer, Exception):
        told = str(answer) if isinstance(answer, ProcessEnded) else described(answer)
        score.lost |= dict.fromkeys(part.seeds, Lost(told))
        return part.again(part.seeds, -(-len(part.seeds) // 2))
    for seed, outcome in zip(part.seeds, answer, strict=True):
        score.lost.pop(seed, None)
        if isinstance(outcome, Lost):
            score.lost[seed] = outcome
        else:
            score.returns[seed] = outcome
    rest = [seed for seed in part.seeds if seed in score.lost]
    return part.again(rest, TOGETHER) if rest and not score.final else []


# --- episodes ---------------------------------------------------------------------------------


def play(
    policy: ActingPolicy,
    spec: RunSpec,
    seeds: Sequence[int],
    guard: Guard | None = None,
    copies: int = TOGETHER,
) -> list[float | Lost]:
    """Returns the undiscounted return of one episode per seed, some of them in parallel.

    If the run tunes another metric, returns its values, NaN for an episode without it.

    Each episode has its own copy of the environment, which is closed before the next one is made.
    An episode should depend on ``reset(seed)`` alone; if an environment carries over state to the
    next episode, the score must not depend on which episodes shared a process.

    Args:
        guard: context around each call of an environment.
        copies: greatest number of copies of the environment at any time.
    """
    stage = _Stage(policy, spec, TorchSettingsGuard(guard or nullcontext()))
    waiting = deque(enumerate(seeds))
    while waiting or stage.running:
        while waiting and len(stage.running) < copies:
            stage.begin(*waiting.popleft())
        stage.step()
    return [stage.outcomes[number] for number in range(len(seeds))]


class _NotFinite(Exception):
    """A reward or an observation is NaN or infinite."""


class _Episode:
    """One copy of the environment, from a reset to the end of the episode."""

    env: gym.Env[Any, Any] | None = None

    def __init__(self) -> None:
        self.total, self.steps = 0.0, 0

    def begin(self, make: Callable[[], gym.Env[Any, Any]], seed: int) -> None:
        """Makes the copy and resets it."""
        self.env = make()
        self.obs, _ = self.env.reset(seed=seed)

    def step(self, action: Any) -> bool:
        """Takes an action. Returns whether the episode is over."""
        assert self.env is not None
        self.obs, reward, terminated, truncated, self.info = self.env.step(action)
        self.steps += 1
        self.total += float(reward)
        if not math.isfinite(self.total):
            raise _NotFinite(f"the reward is {float(reward)} at step {self.steps} of an episode")
        return bool(terminated or truncated)

    def value(self, goal: Metric) -> float:
        """Returns the metric of a finished episode; NaN if it lacks it."""
        ended = Episode(self.total, self.steps, numbers(self.info))
        return ended.measured.get(goal.name, math.nan)


class _Stage:
    """Plays episodes in parallel, with one batch of actions per step.

    Attributes:
        running: running episodes by number.
        outcomes: outcomes of the finished episodes by number.
    """

    def __init__(self, policy: ActingPolicy, spec: RunSpec, guard: Guard) -> None:
        self._policy = policy
        env_args = spec.env_options.env_args
        self._make = partial(envs.make, spec.env_id, env_args, policy.frame_stack, policy.form)
        self._guard = guard
        self._goal = spec.goal
        self.running: dict[int, _Episode] = {}
        self.outcomes: dict[int, float | Lost] = {}

    def begin(self, number: int, seed: int) -> None:
        """Begins an episode."""
        episode = self.running[number] = _Episode()
        self._attempt(number, partial(episode.begin, self._make, seed))

    def step(self) -> None:
        """Takes one step in every running episode."""
        if not self.running:
            return
        obs = np.stack([episode.obs for episode in self.running.values()])
        if obs.dtype.kind == "f" and not np.isfinite(obs).all():
            self._end_blind()
            return
        actions = self._policy.act(obs)
        for (number, episode), action in zip(list(self.running.items()), actions, strict=True):
            if self._attempt(number, partial(episode.step, action)):
                self._end(number, episode.value(self._goal))

    def _attempt(self, number: int, call: Callable[[], bool | None]) -> bool:
        """Calls the environment and returns its result; an episode in which it raises is lost."""
        try:
            with self._guard:
                return bool(call())
        except _NotFinite as error:
            self._end(number, Lost(str(error), final=True))
        except Exception as error:  # an environment may raise anything
            self._end(number, Lost(f"{described(error)} in {where(error)}"))
        return False

    def _end_blind(self) -> None:
        """Ends the episodes whose observation is not finite."""
        for number, episode in list(self.running.items()):
            if not np.isfinite(episode.obs).all():
                told = f"an observation is not finite after step {episode.steps} of an episode"
                self._end(number, Lost(told, final=True))

    def _end(self, number: int, outcome: float | Lost) -> None:
        env = self.running.pop(number).env
        self.outcomes[number] = outcome
        if env is not None:
            with self._guard:
                envs.close(env)
