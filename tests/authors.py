"""Environments as their authors write them: odd spaces, masks, and an error for what is not theirs.

Each refuses an action that is not in its space, or that its own mask forbids.
"""

from __future__ import annotations

import socket
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces


class Strict(gym.Env[Any, Any]):
    """Ten steps an episode; a step is worth 1 where the action is the highest that is legal."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        self.observation_space, self.action_space = observation_space, action_space

    def see(self) -> Any:
        self.observation_space.seed(int(self.np_random.integers(2**31)))
        return self.observation_space.sample()

    def worth(self, action: Any) -> float:
        return 1.0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.count = 0
        return self.see(), {"note": "a new episode", 7: None}

    def step(self, action: Any) -> Any:
        if not self.action_space.contains(action):
            raise ValueError(f"{action!r} is not in {self.action_space}")
        self.count += 1
        reward = self.worth(action)
        # Whatever an info holds: a text after a number, arrays of changing length, nested dicts.
        note: Any = self.count if self.count % 2 else "even"
        info = {"note": note, "path": np.zeros(self.count), "deep": {"more": [1] * self.count}}
        return self.see(), reward, self.count >= 10, False, info


class Thermostat(gym.Env[Any, Any]):
    """Turn down two steps ... up two steps: actions are -2 .. 2, and it always starts too warm."""

    observation_space = spaces.Box(-20.0, 20.0, (1,), np.float32)
    action_space = spaces.Discrete(5, start=-2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.count, self.warmth = 0, float(self.np_random.uniform(2, 6))
        return np.float32([self.warmth]), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), f"invalid action {action}"
        self.warmth = float(np.clip(self.warmth + int(action), -20, 20))
        self.count += 1
        return np.float32([self.warmth]), -abs(self.warmth), False, self.count >= 20, {}


class Cruise(gym.Env[Any, Any]):
    """A car whose brakes are stronger than its engine: full throttle is best, 50 x ``high``."""

    def __init__(self, low: float = -3.0, high: float = 0.2) -> None:
        self.observation_space = spaces.Box(-1, 1, (1,), np.float32)
        self.action_space = spaces.Box(np.float32(low), np.float32(high), (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.count = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), f"{action!r} is not in {self.action_space}"
        self.count += 1
        return np.zeros(1, np.float32), float(action[0]), False, self.count >= 50, {}


class Bits(gym.Env[Any, Any]):
    """Guess the bit that is set: the same task whatever the dtype of the flags."""

    def __init__(self, dtype: str = "float32", high: int = 1, n: int = 8) -> None:
        self.dtype, self.n = np.dtype(dtype), n
        self.observation_space = spaces.Box(0, high, (n,), self.dtype)
        self.action_space = spaces.Discrete(n)

    def see(self) -> np.ndarray:
        self.hot = int(self.np_random.integers(self.n))
        flags = np.zeros(self.n, self.dtype)
        flags[self.hot] = 1
        return flags

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.count = 0
        return self.see(), {}

    def step(self, action: Any) -> Any:
        reward, self.count = float(int(action) == self.hot), self.count + 1
        return self.see(), reward, False, self.count >= 20, {}


class Reused(gym.Env[Any, Any]):
    """Hands out the same array and the same dict in every step and every episode.

    Args:
        shared: by every copy, and what the dict holds is reused too.
    """

    buffer = np.zeros(2, np.float32)

    observation_space = spaces.Box(-1000, 1000, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, shared: bool = False) -> None:
        self.seen = self.buffer if shared else np.zeros(2, np.float32)
        self.info = {"total": 0, "deep": {"total": 0}, "array": np.zeros(1)}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.count = 0
        self.seen[:] = (-500, 0)
        self._tell(0)
        return self.seen, self.info

    def _tell(self, total: int) -> None:
        self.info["total"] = self.info["deep"]["total"] = self.info["array"][0] = total

    def step(self, action: Any) -> Any:
        self.count += 1
        self.seen[:] = (self.count, action)
        self._tell(self.count)
        return self.seen, float(action), False, self.count >= 10, self.info


class SetsTorch(Strict):
    """Sets torch for itself, as an environment with a network inside does."""

    def __init__(self) -> None:
        super().__init__(spaces.Box(-1, 1, (3,), np.float32), spaces.Discrete(8))
        torch.set_num_threads(3)
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)

    def see(self) -> np.ndarray:
        return np.zeros(3, np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        torch.manual_seed(0)
        return super().reset(seed=seed)


class OnAPort(Bits):
    """A simulator that is alone on its port."""

    PORT = 45_687

    def __init__(self) -> None:
        super().__init__()
        self.socket = socket.socket()
        try:
            self.socket.bind(("127.0.0.1", self.PORT))
        except OSError:
            self.socket.close()
            raise
        self.socket.listen()

    def close(self) -> None:
        self.socket.close()


class Differing(Strict):
    """Each copy has another number of observations."""

    made = 0

    def __init__(self) -> None:
        type(self).made += 1
        seen = spaces.Box(-1, 1, (1 + self.made % 3,), np.float32)
        super().__init__(seen, spaces.Discrete(2))


def normalised(reward: bool = False) -> gym.Env[Any, Any]:
    """An environment in gymnasium's wrappers with running statistics."""
    env = gym.wrappers.NormalizeObservation(Bits())
    return gym.wrappers.NormalizeReward(env) if reward else env


class Cards(Strict):
    """Some of the actions are legal in each step, another few each time; none after the last.

    Args:
        beside: the mask comes beside the observation, as RLlib has it; else by ``action_masks()``.
        many: an action is two numbers, with a mask each.
    """

    def __init__(self, beside: bool = True, many: bool = False) -> None:
        numbers = spaces.Box(-5, 5, (3,), np.float32)
        self.beside = beside
        self.counts = (4, 3) if many else (6,)
        actions = spaces.MultiDiscrete(self.counts) if many else spaces.Discrete(6, start=1)
        mask = spaces.Box(0, 1, (sum(self.counts),), np.int8)
        seen = spaces.Dict(observations=numbers, action_mask=mask) if beside else numbers
        super().__init__(seen, actions)
        if not beside:
            self.action_masks = lambda: self.mask

    def see(self) -> Any:
        over = getattr(self, "count", 0) >= 10
        parts = [self.np_random.random(count) < 0.4 for count in self.counts]
        for part in parts:
            part[self.np_random.integers(len(part))] = True
        self.mask = np.concatenate(parts).astype(np.int8) * (not over)
        numbers = self.np_random.uniform(-5, 5, 3).astype(np.float32)
        return {"observations": numbers, "action_mask": self.mask} if self.beside else numbers

    def worth(self, action: Any) -> float:
        chosen = np.ravel(action) - (0 if len(self.counts) > 1 else 1)
        legal = np.split(self.mask, np.cumsum(self.counts)[:-1])
        for one, allowed in zip(chosen, legal, strict=True):
            if not allowed[one]:
                raise ValueError(f"illegal: {action} where {self.mask} is allowed")
        return 1.0


class Unseeded(Bits):
    """Begins elsewhere each time, whatever the seed."""

    begun = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.begun, self.hot = self.begun + 1, self.begun % self.n
        flags = np.zeros(self.n, self.dtype)
        flags[self.hot] = 1
        return flags, {}


class OddMask(Strict):
    """Has a mask of its actions beside observations of another name than RLlib's."""

    def __init__(self) -> None:
        parts = {"observation": spaces.Box(0, 1, (2,)), "action_mask": spaces.MultiBinary(4)}
        super().__init__(spaces.Dict(parts), spaces.Discrete(4))
