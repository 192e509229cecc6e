"""Episodes that have ended: return, length, the numbers in their last ``info``, and the means."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

#: Metrics of a trial: means over a window of episodes. Each number of ``info`` is reported under
#: the prefix and its own name.
REWARD, LENGTH, PREFIX = "episode_reward_mean", "episode_len_mean", "episode_info/"
#: Numbers of one episode that are reported, the first ones, and the depth of nested dicts.
MAX_NUMBERS, MAX_DEPTH = 100, 5
#: Gymnasium's own entries. Return and length of ``RecordEpisodeStatistics`` are reported as
#: episode_reward_mean and episode_len_mean, and its seconds are no property of the policy.
BOOKKEEPING = {"final_obs", "final_info", "final_observation", "TimeLimit.truncated"}
#: EnvPool's, which names the copies of an environment.
POOL_BOOKKEEPING = {"env_id", "players", "elapsed_step"}


def final_infos(infos: Mapping[str, Any], done: np.ndarray) -> list[Mapping[str, Any]]:
    """The last ``info`` of each copy whose episode has ended, in the order of the copies.

    Args:
        infos: of one step of a vector environment: under ``final_info`` where copies are reset in
            the same step, either each copy's own or all of them merged into arrays.
        done: shape (N,), whether the episode of a copy has ended.
    """
    final = infos.get("final_info", infos)
    if isinstance(final, Mapping):
        return [_of_copy(final, int(copy)) for copy in np.flatnonzero(done)]
    return [final[copy] for copy in np.flatnonzero(done)]


def _of_copy(merged: Mapping[str, Any], copy: int) -> dict[str, Any]:
    """One copy's part of what gymnasium merges: ``{"x": array, "_x": mask}``, also nested."""
    found: dict[str, Any] = {}
    for name, values in merged.items():
        mask = merged.get(f"_{name}")
        if name in POOL_BOOKKEEPING or (name.startswith("_") and name[1:] in merged):
            continue
        if mask is not None and not mask[copy]:
            continue
        if isinstance(values, Mapping):
            found[name] = _of_copy(values, copy)
        elif isinstance(values, np.ndarray | list | tuple) and copy < len(values):
            found[name] = values[copy]
    return found


def numbers(info: Any) -> dict[str, float]:
    """The numbers in an episode's last ``info``, booleans as 0 and 1; all else is left out.

    Nested dicts are flattened, their names joined by ``/``.
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
    """A number, or an array or tensor of one number; None for anything else."""
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
    """One that has ended.

    Attributes:
        reward: undiscounted sum of its rewards.
        length: in steps.
        info: the numbers of its last ``info``, see :func:`numbers`.
    """

    reward: float
    length: int
    info: Mapping[str, float] = field(default_factory=dict)


class Window:
    """The newest episodes, of which a trial reports the means.

    Attributes:
        returns, lengths: of each episode, shape (episodes,).
        infos: its finite numbers.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.returns: deque[float] = deque(maxlen=size)
        self.lengths: deque[int] = deque(maxlen=size)
        self.infos: deque[Mapping[str, float]] = deque(maxlen=size)

    def add(self, episode: Episode) -> dict[str, float]:
        """Counts an episode. Returns its numbers that are not finite, which have no mean."""
        finite = {name: value for name, value in episode.info.items() if math.isfinite(value)}
        self.returns.append(episode.reward)
        self.lengths.append(episode.length)
        self.infos.append(finite)
        return {name: value for name, value in episode.info.items() if name not in finite}

    def clear(self) -> None:
        """Forgets every episode."""
        for column in (self.returns, self.lengths, self.infos):
            column.clear()

    def means(self) -> dict[str, float]:
        """Every metric by its name; those that no episode has had are absent."""
        columns: dict[str, Sequence[float]] = {REWARD: self.returns, LENGTH: self.lengths}
        names = dict.fromkeys(name for info in self.infos for name in info)
        for name in names:
            columns[PREFIX + name] = [info[name] for info in self.infos if name in info]
        found = {name: sum(each) / len(each) for name, each in columns.items() if each}
        return {name: mean for name, mean in found.items() if not math.isnan(mean)}

    def to_dict(self) -> dict[str, Any]:
        """As the record of a checkpoint holds it."""
        return {
            "window": self.size,
            "episode_returns": list(self.returns),
            "episode_lengths": list(self.lengths),
            "episode_infos": [dict(info) for info in self.infos],
        }

    def load(self, record: Mapping[str, Any]) -> None:
        """Adds the episodes of a record; one of earlier versions holds their returns alone."""
        self.returns.extend(record["episode_returns"])
        self.lengths.extend(record.get("episode_lengths", ()))
        self.infos.extend(record.get("episode_infos", ()))


def reported(result: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of a trial's result beside its return, by name."""
    return {
        name: float(value)
        for name, value in result.items()
        if (name == LENGTH or name.startswith(PREFIX)) and isinstance(value, int | float)
    }
