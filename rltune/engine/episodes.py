"""Finished episodes: return, length, numbers in their last ``info``, and their means."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np

from rltune.engine.metric_names import LENGTH as LENGTH
from rltune.engine.metric_names import PREFIX as PREFIX
from rltune.engine.metric_names import REWARD as REWARD

#: Most numbers reported per episode (the first ones), and the greatest depth of nested dicts.
MAX_NUMBERS, MAX_DEPTH = 100, 5
#: Gymnasium's own entries. Return and length of ``RecordEpisodeStatistics`` are reported as
#: episode_reward_mean and episode_len_mean; its seconds do not depend on the policy.
BOOKKEEPING = {"final_obs", "final_info", "final_observation", "TimeLimit.truncated"}
#: EnvPool's entries about the copies of an environment.
POOL_BOOKKEEPING = {"env_id", "players", "elapsed_step"}


def final_infos(infos: Mapping[str, Any], done: np.ndarray) -> list[Mapping[str, Any]]:
    """Returns the last ``info`` of each copy whose episode has ended, in the order of the copies.

    Args:
        infos: infos of one step of a vector environment; with SAME_STEP autoreset the last ones
            are under ``final_info``, one per copy or merged into arrays.
        done: shape (N,), whether the episode of each copy has ended.
    """
    final = infos.get("final_info", infos)
    if isinstance(final, Mapping):
        return [_of_copy(final, int(copy)) for copy in np.flatnonzero(done)]
    return [final[copy] for copy in np.flatnonzero(done)]


def _of_copy(merged: Mapping[str, Any], copy: int) -> dict[str, Any]:
    """Returns one copy's part of gymnasium's merged ``{"x": array, "_x": mask}``, also nested."""
    info: dict[str, Any] = {}
    for name, values in merged.items():
        mask = merged.get(f"_{name}")
        if name in POOL_BOOKKEEPING or (name.startswith("_") and name[1:] in merged):
            continue
        if mask is not None and not mask[copy]:
            continue
        if isinstance(values, Mapping):
            info[name] = _of_copy(values, copy)
        elif isinstance(values, np.ndarray | list | tuple) and copy < len(values):
            info[name] = values[copy]
    return info


def numbers(info: Any) -> dict[str, float]:
    """Returns the numbers in an episode's last ``info``, booleans as 0 and 1; omits other values.

    Nested dicts are flattened, with their names joined by ``/``.
    """
    return dict(islice(_numbers(info, "", MAX_DEPTH), MAX_NUMBERS))


def _numbers(info: Any, prefix: str, depth: int) -> Iterator[tuple[str, float]]:
    for key, value in info.items() if isinstance(info, Mapping) else ():
        name = f"{prefix}{key}"
        if key in BOOKKEEPING or not name.isprintable() or len(name) > 200:
            continue
        if isinstance(value, Mapping):
            if depth > 1 and not (key == "episode" and {"r", "l", "t"} <= set(value)):
                yield from _numbers(value, f"{name}/", depth - 1)
        elif (number := _number(value)) is not None:
            yield name, number


def _number(value: Any) -> float | None:
    """Converts a number, or an array or tensor of one number; None for anything else."""
    plain = isinstance(value, bool | int | float | np.generic | np.ndarray)
    if not plain and getattr(value, "shape", None) not in ((), (1,)):
        return None
    try:
        array = np.asarray(value)
    except Exception:  # the value's own code
        return None
    return float(array.item()) if array.size == 1 and array.dtype.kind in "biuf" else None


@dataclass(frozen=True)
class Episode:
    """One finished episode.

    Attributes:
        reward: undiscounted sum of its rewards.
        length: length in steps; 0 if unknown.
        info: numbers of its last ``info``, see :func:`numbers`.
        began: step at which it began, on the caller's clock; -1 if it began before that clock.
    """

    reward: float
    length: int = 0
    info: Mapping[str, float] = field(default_factory=dict)
    began: int = -1

    @property
    def measured(self) -> dict[str, float]:
        """Returns every finite metric of this episode by name."""
        named = {f"{PREFIX}{name}": value for name, value in self.info.items()}
        finite = {name: value for name, value in named.items() if math.isfinite(value)}
        return {REWARD: self.reward, LENGTH: float(self.length), **finite}


class Window:
    """The newest episodes, whose means a trial reports.

    Attributes:
        episodes: episodes with finite numbers; returns may be infinite or NaN.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.episodes: deque[Episode] = deque(maxlen=size)

    @property
    def returns(self) -> list[float]:
        """Returns of the episodes, shape (episodes,)."""
        return [episode.reward for episode in self.episodes]

    def add(self, episodes: Iterable[Episode], late: bool = False) -> dict[str, float]:
        """Adds episodes. Returns their numbers that are not finite and excluded from the means.

        Args:
            late: whether the episodes were still running when the interval ended, and were played
                to their end afterwards. They are long episodes and are ordered by their start: at
                the end, a window shorter than an interval would hold too many of them.
        """
        odd: dict[str, float] = {}
        added = []
        for episode in episodes:
            finite = {name: value for name, value in episode.info.items() if math.isfinite(value)}
            odd |= {name: value for name, value in episode.info.items() if name not in finite}
            added.append(replace(episode, info=finite))
        if late:
            added = sorted([*self.episodes, *added], key=lambda episode: episode.began)
            self.episodes.clear()
        self.episodes.extend(added)
        return odd

    def clear(self) -> None:
        """Removes every episode."""
        self.episodes.clear()

    def means(self) -> dict[str, float]:
        """Returns the mean of every metric by name; omits metrics that no episode has."""
        lengths = [episode.length for episode in self.episodes if episode.length]
        columns: dict[str, Sequence[float]] = {REWARD: self.returns, LENGTH: lengths}
        infos = [episode.info for episode in self.episodes]
        for name in dict.fromkeys(name for info in infos for name in info):
            columns[PREFIX + name] = [info[name] for info in infos if name in info]
        means = {name: sum(each) / len(each) for name, each in columns.items() if each}
        return {name: mean for name, mean in means.items() if not math.isnan(mean)}

    def load(self, episodes: Iterable[Episode]) -> None:
        """Adds episodes as a record holds them."""
        self.episodes.extend(episodes)


def pause_matters(ended: Sequence[int], running: Sequence[int], window: int) -> bool:
    """Whether cutting off the running episodes would bias a mean over episodes.

    When a copy is stopped, its running episode is more likely a long one (the inspection paradox),
    so means over the finished episodes favour short ones. For a mean that grows with the length of
    an episode, the relative bias is about ``CV^2 / k``, with ``k`` episodes per copy whose lengths
    have the coefficient of variation CV (renewal theory). It matters if it is more than half of
    the standard error of the mean, ``CV / sqrt(window)``.

    Args:
        ended: lengths of the episodes that ended since the last pause.
        running: steps so far of the running episode of each copy; those no longer than the mean
            of the finished ones carry no information on lengths.
        window: number of episodes in the mean.
    """
    if not any(running):
        return False
    if not ended:
        return True
    lengths = np.array([*ended, *(steps for steps in running if steps > np.mean(ended))])
    variation = float(lengths.std() / lengths.mean())
    return variation / (len(ended) / len(running)) > 0.5 / math.sqrt(window)


def reported(result: Mapping[str, Any]) -> dict[str, float]:
    """Returns the metrics of a trial's result other than its return, by name."""
    return {
        name: float(value)
        for name, value in result.items()
        if (name == LENGTH or name.startswith(PREFIX)) and isinstance(value, int | float)
    }
