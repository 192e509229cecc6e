"""What counts as a number of ``info``, and the means over a window of episodes."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rltune.engine.episodes import (
    MAX_NUMBERS,
    Episode,
    Window,
    final_infos,
    numbers,
    pause_matters,
    reported,
)


class Explodes:
    """Another library's array, which cannot be read."""

    shape = ()

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise RuntimeError("on a device that is gone")


def test_numbers_keep_their_names_and_other_values_are_ignored() -> None:
    itself: dict[str, Any] = {"deep": 1}
    itself["itself"] = itself
    info = {
        "is_success": True,
        "np": np.bool_(False),
        "profit": -3.5,
        "count": np.int64(7),
        "zero_d": np.array(2.0),
        "one": np.array([4], np.uint8),
        "tensor": torch.tensor(0.5),
        "nested": {"left": 1, "right": {"hand": 2.0}},
        3: 9,
        "text": "0.5",
        "none": None,
        "vector": np.zeros(3),
        "list": [1.0],
        "complex": 1j,
        "huge": 10**400,
        "object": object(),
        "explodes": Explodes(),
        "line\nbreak": 1.0,
        "\ud800": 1.0,
        "x" * 1_000: 1.0,
        "final_obs": 1.0,
        "TimeLimit.truncated": True,
        "episode": {"r": 8.0, "l": 3, "t": 0.123},
    }
    assert numbers(info) == {
        "is_success": 1.0,
        "np": 0.0,
        "profit": -3.5,
        "count": 7.0,
        "zero_d": 2.0,
        "one": 4.0,
        "tensor": 0.5,
        "nested/left": 1.0,
        "nested/right/hand": 2.0,
        "3": 9.0,
    }
    assert set(numbers(itself)) == {f"{'itself/' * n}deep" for n in range(5)}
    assert numbers({"episode": {"goals": 2}}) == {"episode/goals": 2.0}
    assert len(numbers({f"n{n}": n for n in range(1_000)})) == MAX_NUMBERS
    assert numbers(None) == numbers(["text"]) == {}


class Ends(gym.Env[np.ndarray, int]):
    """Copy ``k`` ends after ``k + 1`` steps and tells different things of each episode."""

    observation_space = gym.spaces.Box(0, 1, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, copy: int) -> None:
        self.copy, self.steps = copy, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        self.steps = 0
        return np.zeros(1, np.float32), {"steps": -1.0}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.steps += 1
        over = self.steps == self.copy + 1
        info: dict[str, Any] = {"steps": self.steps}
        if over and self.copy:
            info |= {"of": {"copy": self.copy}, "won": True}
        return np.zeros(1, np.float32), 1.0, over, False, info


@pytest.mark.parametrize("mode", AutoresetMode)
def test_each_copy_keeps_its_own_last_info_in_every_autoreset_mode(mode: AutoresetMode) -> None:
    vec = SyncVectorEnv([lambda k=k: Ends(k) for k in range(3)], autoreset_mode=mode)
    vec.reset(seed=0)
    seen: list[dict[str, float]] = []
    for _ in range(3):
        *_, terminated, truncated, infos = vec.step(np.zeros(3, int))
        seen += map(numbers, final_infos(infos, terminated | truncated))
        if mode == AutoresetMode.DISABLED and terminated.any():
            vec.reset(options={"reset_mask": terminated})
    assert {"steps": 1.0} in seen
    assert {"steps": 2.0, "of/copy": 1.0, "won": 1.0} in seen
    assert {"steps": 3.0, "of/copy": 2.0, "won": 1.0} in seen
    assert all(-1.0 not in each.values() for each in seen)


def test_each_copy_keeps_its_own_info_unchanged() -> None:
    own = [{"a": 1}, {}, {"a": "text", "b": True}]
    done = np.array([True, False, True])
    assert list(map(numbers, final_infos({"final_info": own}, done))) == [{"a": 1.0}, {"b": 1.0}]


def test_a_window_averages_the_values_its_episodes_have() -> None:
    window = Window(2)
    assert window.means() == {}
    window.add([Episode(9.0, 9, {"dropped": 1.0})])
    assert window.add([Episode(1.0, 3, {"won": 1.0, "rate": math.nan})]).keys() == {"rate"}
    window.add([Episode(2.0, 5, {"won": 0.0, "late": 4.0})])
    means = {
        "episode_reward_mean": 1.5,
        "episode_len_mean": 4.0,
        "episode_info/won": 0.5,
        "episode_info/late": 4.0,
    }
    assert window.means() == means
    again = Window(2)
    again.load(window.episodes)
    assert again.means() == means
    assert reported(means | {"settings": {}, "episode_info/text": "x"}) == {
        name: mean for name, mean in means.items() if name != "episode_reward_mean"
    }


def test_episodes_finished_late_are_ordered_by_their_start() -> None:
    window = Window(3)
    window.add([Episode(1.0, began=0), Episode(2.0, began=10), Episode(3.0, began=20)])
    window.add([Episode(8.0, began=5), Episode(9.0, began=15)], late=True)
    assert window.returns == [2.0, 9.0, 3.0]


@pytest.mark.parametrize(
    ("ended", "running", "matters"),
    [
        ([], [100], True),
        ([], [0, 0], False),
        ([10, 12, 9], [0], False),
        ([200] * 4, [150, 150], False),  # of one length
        ([20] * 8, [900, 950, 0, 3], True),  # the long ones never end in time
        ([20, 60] * 4, [10, 10], True),
        ([20, 60] * 100, [10, 10], False),  # many, a few more would not change their mean
    ],
)
def test_running_episodes_count_where_the_mean_would_be_biased(
    ended: list[int], running: list[int], matters: bool
) -> None:
    assert pause_matters(ended, running, 100) == matters


@pytest.mark.parametrize("interval", [1_000, 4_000, 20_000])
@pytest.mark.parametrize("copies", [1, 8])
def test_means_are_right_at_any_interval(interval: int, copies: int) -> None:
    """Most episodes take 20 steps, some 2,000 or more."""
    rng = np.random.default_rng(0)
    means, cut = [], []
    for _ in range(60):
        window, short = Window(100), Window(100)
        for clock in range(0, 12 * interval, interval):
            ended, late = _interval(rng, interval, copies, clock)
            running = [clock + interval - episode.began for episode in late]
            for each in (window, short):
                each.add(ended)
            if pause_matters([episode.length for episode in ended], running, 100):
                window.add(late, late=True)
        means.append(window.means()["episode_reward_mean"])
        cut.append(short.means().get("episode_reward_mean", math.nan))
    error = float(np.std(means)) / len(means) ** 0.5
    assert np.mean(means) == pytest.approx(0.7 * 20 + 0.3 * 2_500, abs=4 * error)
    if interval < 20_000:
        assert np.nanmean(cut) < np.mean(means) - 4 * error


def _interval(
    rng: np.random.Generator, steps: int, copies: int, clock: int
) -> tuple[list[Episode], list[Episode]]:
    """Episodes that end within some steps, in that order, and the one that each copy is in then."""
    ended, late = [], []
    for _ in range(copies):
        began = 0
        while began < steps:
            length = 20 if rng.random() < 0.7 else int(rng.integers(2_000, 3_001))
            episode = Episode(float(length), length, began=clock + began)
            (ended if began + length <= steps else late).append(episode)
            began += length
    return sorted(ended, key=lambda episode: episode.began + episode.length), late
