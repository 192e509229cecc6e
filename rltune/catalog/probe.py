"""What an environment is like, found out in a process of its own: its code never runs here."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from rltune import envs
from rltune.catalog.environments import guarded
from rltune.engine.codec import (
    GREY_FROM,
    ActionCodec,
    ObservationCodec,
    UnsupportedSpace,
    action_codec,
    divisor,
)
from rltune.envs import EnvInfo
from rltune.errors import BadInput

#: Steps that tell what a step takes, at most and at least, and seconds after which they are enough.
STEPS, FEWEST, SECONDS = 200, 5, 0.3


@dataclass(frozen=True)
class Probe:
    """What an environment is like, as found in a process of its own.

    Attributes:
        observation_space: as its author gave it; its ``action_masks()``, if any, beside it.
        action_space: as its author gave it.
        max_episode_steps: at which an episode is cut off.
    """

    observation_space: gym.Space[Any]
    action_space: gym.Space[Any]
    max_episode_steps: int | None = None

    @property
    def acting(self) -> ActionCodec:
        """Between a policy's actions and the environment's."""
        return action_codec(self.action_space)

    def reading(self, form: str = "auto") -> ObservationCodec:
        """From its observations to what a policy reads.

        Raises:
            BadInput: they cannot be read in this form.
        """
        try:
            return ObservationCodec(self.observation_space, form, self.acting.choices)
        except UnsupportedSpace as error:
            raise BadInput(str(error)) from error

    def spaces(self, settings: Mapping[str, Any]) -> tuple[gym.Space[Any], gym.Space[Any]]:
        """What a policy with some settings reads and says, as :func:`rltune.envs.make` has both."""
        codec = self.reading(settings.get("observation_form", "auto"))
        seen = self.observation_space if codec.is_identity else codec.ours
        count = settings["frame_stack"]
        return (envs.joined(seen, count) if count > 1 else seen), self.acting.ours

    def told(self, settings: Mapping[str, Any]) -> str:
        """How a policy with some settings reads observations, in words; empty for as they are.

        Raises:
            BadInput: they cannot be read as ``observation_form`` asks for.
        """
        codec = self.reading(settings.get("observation_form", "auto"))
        plain = codec.is_identity and codec.form == "vector"
        return "" if plain else f"observations {codec.why}"

    @property
    def shows_images(self) -> bool:
        """Whether the preset for images is for it: bytes, or numbers of an image's size."""
        codec = self.reading()
        sides = codec.ours.shape[:2]
        return codec.form != "vector" and (divisor(codec.ours) > 1 or min(sides) >= GREY_FROM)


def probe_of(env_id: str, env_args: Mapping[str, Any] | None = None) -> Probe:
    """Makes an environment in a process of its own to see what it is like.

    Raises:
        BadInput: it cannot be made.
    """

    def look() -> Probe:
        env = envs.authored(env_id, env_args)
        found = probed(env)
        envs.close(env)
        return found

    return guarded(f"environment {env_id}", look)


@dataclass(frozen=True)
class Stepping:
    """How the copies of a trial are stepped in one process.

    Attributes:
        at_once: whether gymnasium steps all of them at once.
        seconds: what one step of one copy takes, of random actions; 0 where it cannot be stepped.
    """

    at_once: bool
    seconds: float = 0.0


def stepping_of(
    env_id: str, env_args: Mapping[str, Any], copies: int, settings: Mapping[str, Any]
) -> Stepping:
    """Steps an environment in a process of its own, to see what a step takes.

    Raises:
        BadInput: it cannot be made.
    """

    def look() -> Stepping:
        if envs.steps_at_once(env_id, copies, settings["frame_stack"]):
            return Stepping(at_once=True)
        form = settings.get("observation_form", "auto")
        env = envs.make(env_id, env_args, settings["frame_stack"], form)
        seconds = 0.0
        with suppress(Exception):  # trials can handle it
            seconds = _seconds_of_a_step(env)
        envs.close(env)
        return Stepping(at_once=False, seconds=seconds)

    return guarded(f"environment {env_id}", look)


def _seconds_of_a_step(env: gym.Env[Any, Any]) -> float:
    """The median over some steps: a busy machine makes a few of them long."""
    env.action_space.seed(0)
    env.reset(seed=0)
    taken: list[float] = []
    until = time.perf_counter() + SECONDS
    while len(taken) < FEWEST or (len(taken) < STEPS and time.perf_counter() < until):
        action = env.action_space.sample()
        began = time.perf_counter()
        _, _, terminated, truncated, _ = env.step(action)
        taken.append(time.perf_counter() - began)
        if terminated or truncated:
            env.reset()
    return statistics.median(taken)


def probed(env: gym.Env[Any, Any]) -> Probe:
    """What an environment of :func:`rltune.envs.authored` is like."""
    seen = env
    with suppress(UnsupportedSpace):
        seen = envs.with_mask(env, action_codec(env.action_space))
    limit = getattr(env.spec, "max_episode_steps", None)
    return Probe(seen.observation_space, env.action_space, limit)


def has_images(env: EnvInfo, env_args: Mapping[str, Any] | None = None) -> bool:
    """Whether observations are images; False where the environment cannot be made or read."""
    if env.images is not None:
        return env.images
    try:
        return probe_of(env.id, env_args).shows_images
    except (BadInput, UnsupportedSpace):  # preflight tells of it
        return False
