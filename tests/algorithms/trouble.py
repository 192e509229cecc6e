"""An environment that goes wrong on demand."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import gymnasium as gym
import numpy as np

#: Steps taken in this process, by the key of the environments; resets and new copies add to it.
STEPS: Counter[str] = Counter()
#: Resets that have raised, by key.
RESETS: Counter[str] = Counter()


class Trouble(gym.Wrapper[np.ndarray, Any, np.ndarray, Any]):
    """CartPole, or Pendulum, until its key has taken ``at`` steps.

    Args:
        what: ``reward`` or ``observation`` becomes ``value``; ``step`` raises; ``reset`` raises
            once, at the first chance.
        times: steps in a row at which it goes wrong.
    """

    def __init__(
        self,
        key: str,
        what: str,
        at: int,
        value: str = "nan",
        times: float = 1,
        base: str = "CartPole-v1",
    ) -> None:
        super().__init__(gym.make(base))
        self.key, self.what, self.value = key, what, float(value)
        self.at, self.until = at, at + times

    def _wrong(self, what: str) -> bool:
        return self.what == what and self.at <= STEPS[self.key] < self.until

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        if self.what == "reset" and STEPS[self.key] >= self.at and not RESETS[self.key]:
            RESETS[self.key] += 1
            raise RuntimeError("no reset")
        return super().reset(**kwargs)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        STEPS[self.key] += 1
        if self._wrong("step"):
            raise RuntimeError("boom")
        obs, reward, terminated, truncated, info = super().step(action)
        if self._wrong("reward"):
            reward = self.value
        if self._wrong("observation"):
            obs = np.full_like(obs, self.value)
        return obs, float(reward), terminated, truncated, info


# A wrapper's metadata are a property: gymnasium wants a function.
gym.register("Trouble-v0", lambda **settings: Trouble(**settings))


def trouble(algo: str, what: str, at: int, **more: Any) -> dict[str, Any]:
    """The settings of a member that meets trouble at its environment step ``at``."""
    key = f"{algo}-{what}-{at}-{more}-{math.floor(sum(STEPS.values()))}"
    STEPS[key] = 0
    base = "Pendulum-v1" if algo == "sac" else "CartPole-v1"
    env_config = {"key": key, "what": what, "at": at, "base": base, **more}
    return {"env": "Trouble-v0", "env_config": env_config, "num_envs_per_env_runner": 1}
