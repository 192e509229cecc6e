"""Environments in the forms in which people have them, and values that they take.

Every episode ends by itself and says in its return what arrived.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np


class Plain(gym.Env[Any, Any]):
    """Episodes of ``length`` steps, each worth 1."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    observation_space = gym.spaces.Box(0.0, 1.0, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)
    length = 10
    worth = 1.0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.count = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        self.count += 1
        return np.zeros(2, np.float32), self.worth, self.count >= self.length, False, {}


class Tokens(Plain):
    """A budget of tokens under an authority limit: no argument of it is a secret."""

    def __init__(
        self, max_tokens: int = 8, control_authority: float = 0.5, passwords: Any = ("a", "b")
    ) -> None:
        self.length, self.worth, self.passwords = max_tokens, control_authority, passwords


class Maze(Plain):
    """The limit is the environment's own business: the last step of it is worth 10 more."""

    def __init__(self, max_episode_steps: int = 100, disable_env_checker: str = "") -> None:
        self.length, self.checker = max_episode_steps, disable_env_checker

    def step(self, action: Any) -> Any:
        obs, _, last, _, info = super().step(action)
        return obs, last * 10 + 0.01, False, last, info


class Strict(Maze):
    """Its limit has no default."""

    def __init__(self, max_episode_steps: int) -> None:
        super().__init__(max_episode_steps)


class Loose(Plain):
    """Takes whatever comes, and names none of it."""

    def __init__(self, **kwargs: Any) -> None:
        self.kwargs = kwargs


class Rllib(Plain):
    """As RLlib's documentation has it: one argument, the env_config."""

    def __init__(self, config: dict[str, Any] | None = None) -> None:
        self.config = config
        self.length = (config or {}).get("length", 10)


class Needs(Rllib):
    """It has no default."""

    def __init__(self, env_config: Any) -> None:
        super().__init__(env_config)
        self.worker = env_config.worker_index


class Drawn(Plain):
    """Has ``config`` and an argument beside it."""

    def __init__(
        self, config: dict[str, Any] | None = None, render_mode: str | None = None
    ) -> None:
        self.length, self.render_mode = (config or {}).get("length", 10), render_mode


class NoConfig(Plain):
    """Its first argument is called as RLlib's, and is a file's name."""

    def __init__(self, config: str = "default.yaml", length: int = 3) -> None:
        self.config, self.length = config, length


def factory(length: int = 5, limit: int | None = None) -> gym.Env[Any, Any]:
    """Returns an environment, with a limit of its own where it is asked for."""
    made = Plain()
    made.length = length
    return made if limit is None else gym.wrappers.TimeLimit(made, limit)


def nothing() -> None:
    """Forgets to return it."""


class Colour(enum.Enum):
    """To choose from."""

    RED = "r"
    BLUE = "b"


class Level(enum.IntEnum):
    """Equal to a number and yet none."""

    LOW = 1
    HIGH = 2


class Access(enum.Flag):
    """Of which several hold."""

    READ = 1
    WRITE = 2


class Point(NamedTuple):
    """Two numbers by name."""

    x: float
    y: float


ORIGIN = Point(0.0, 0.0)


@dataclass(frozen=True)
class Motor:
    """A value made of values."""

    torque: tuple[float, float]
    at: Point = ORIGIN
    password: str = ""
    gears: list[int] = field(default_factory=list)


@dataclass
class Doubled:
    """Is another one each time it is made, and kept as it is."""

    x: int

    def __post_init__(self) -> None:
        self.x *= 2


@dataclass
class Asking:
    """Cannot be made from its fields."""

    x: int
    y: int = field(init=False)

    def __init__(self, a: int, b: int) -> None:
        self.x, self.y = a, b


def distance(a: float, b: float) -> float:
    """Something to be given as an argument."""
    return abs(a - b)
