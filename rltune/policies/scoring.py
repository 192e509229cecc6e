"""Plays whole episodes with trained policies, in separate processes, and retries failures."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from rltune import envs
from rltune.algorithms.policy import load_policy
from rltune.errors import BadCheckpoint, BadInput, ProcessEnded, RltuneError, described
from rltune.policies.episodes import TOGETHER, Lost, play
from rltune.policies.lockstep import alike, play_in_lockstep
from rltune.processes import machine
from rltune.processes.subprocess_guard import Guard, each_isolated
from rltune.runs.folder import RunFolder
from rltune.runs.summary_record import EnvironmentScore
from rltune.spec import RunSpec

#: Seconds that a process plays for, where episodes are short: it takes a third of one to start.
SHIFT = 10.0
#: Parts that a process plays at most: the progress is told after each process.
MOST_PARTS = 50
#: Called with the number of episodes that have been played, and of all that will be.
Played = Callable[[int, int], None]


@dataclass
class Score:
    """Results of the episodes of one policy.

    Attributes:
        checkpoint: checkpoint of the policy.
        returns: undiscounted returns of the finished episodes by seed; the values of the tuned
            metric if it is another one, NaN for an episode without it.
        lost: the other episodes by seed.
        broken: error that prevented loading the policy.
        environments: of a run in several of them, the score in each, see
            :mod:`rltune.policies.several`.
    """

    checkpoint: Path
    returns: dict[int, float] = field(default_factory=dict)
    lost: dict[int, Lost] = field(default_factory=dict)
    broken: RltuneError | None = None
    environments: Mapping[str, EnvironmentScore] = field(default_factory=dict)

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
    asked: Sequence[tuple[Path, Sequence[int]]],
    played: Played = lambda done, of: None,
) -> list[Score]:
    """Plays one episode per seed with the policy of each of a run's checkpoints.

    The episodes run in as many separate processes as there are cores. An episode in which the
    environment raises is retried up to ``max_failures`` times and at least once. So are all
    episodes of a process that hung or crashed, with half as many per process, so that few are lost
    together with the one at fault. If every episode fails, only one part is retried: each attempt
    may take a minute.

    Args:
        asked: checkpoints, and the seeds of the episodes of each.
        played: called before the first episode and whenever a process has played its episodes.
    """
    results = [Score(checkpoint) for checkpoint, _ in asked]
    parts = [
        _Part(place, seeds[first : first + TOGETHER])
        for place, (_, seeds) in enumerate(asked)
        for first in range(0, len(seeds), TOGETHER)
    ]
    crew = _Crew(folder, results, _Count(sum(len(seeds) for _, seeds in asked), played))
    parts = crew.play_all(parts)
    while parts:
        alone = not any(score.returns for score in results)
        now, parts = (parts[:1], parts[1:]) if alone else (parts, [])
        again = crew.play([[part] for part in now])
        if alone and not again and not any(score.returns for score in results):
            break
        parts = again + parts
    for score in results:
        if score.returns and all(map(math.isnan, score.returns.values())):
            none = Lost(f"no episode had {folder.spec.metric} in its last info", final=True)
            score.lost |= dict.fromkeys(score.returns, none)
            score.returns.clear()
    return results


class _Crew:
    """Processes that play parts.

    Args:
        results: of each policy; what its parts come to is added.
    """

    def __init__(self, folder: RunFolder, results: Sequence[Score], count: _Count) -> None:
        self._folder, self._results, self._count = folder, results, count
        self._processes, self._copies = side_by_side(folder.spec)

    def play_all(self, parts: Sequence[_Part]) -> list[_Part]:
        """Plays parts for the first time, several to a process where they take little time.

        Returns the parts to retry.
        """
        if _at_once(self._folder.spec):
            return self.play(self._loads(parts, MOST_PARTS))
        began = time.monotonic()
        again = self.play([[part] for part in parts[: self._processes]])
        fit = 1 if again else int(SHIFT / (time.monotonic() - began))
        return again + self.play(self._loads(parts[self._processes :], fit))

    def _loads(self, parts: Sequence[_Part], most: int) -> list[Sequence[_Part]]:
        share = -(-len(parts) // self._processes)
        size = max(1, min(most, share, MOST_PARTS))
        return [parts[at : at + size] for at in range(0, len(parts), size)]

    def play(self, loads: Sequence[Sequence[_Part]]) -> list[_Part]:
        """Plays each load in a process. Returns the parts to retry."""
        spec = self._folder.spec
        works = [
            partial(
                _work,
                self._folder,
                [(self._results[part.place].checkpoint, part.seeds) for part in load],
                self._copies,
                load[0].tries == 0,
            )
            for load in loads
        ]
        sizes = [sum(len(part.seeds) for part in load if part.tries == 0) for load in loads]
        answers = each_isolated(
            works, spec.env_options.env_timeout, self._processes, partial(self._count.add, sizes)
        )
        again = []
        for load, answer in zip(loads, answers, strict=True):
            # Of several parts of a process that ended, each is retried as if it had been alone.
            outcomes = [answer] * len(load) if isinstance(answer, Exception) else answer
            for part, outcome in zip(load, outcomes, strict=True):
                again += _take(self._results[part.place], part, outcome)
        return [rest for rest in again if rest.tries <= max(1, spec.resources.max_failures)]


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
    parts: Sequence[tuple[Path, Sequence[int]]],
    copies: int,
    first_try: bool,
    guard: Guard,
) -> list[list[float | Lost] | Exception]:
    """Returns the outcomes of each part, or the error that prevented loading its policy."""
    spec = folder.spec
    together = _in_lockstep(folder, parts, guard) if first_try and _at_once(spec) else None
    if together is not None:
        return together
    answers: list[list[float | Lost] | Exception] = []
    for checkpoint, seeds in parts:
        try:
            policy = load_policy(spec, folder, checkpoint)
        except (BadInput, BadCheckpoint) as error:
            answers.append(error)
            continue
        answers.append(play(policy, spec, seeds, guard, copies))
    return answers


def _at_once(spec: RunSpec) -> bool:
    """Whether the episodes of several policies can be played at once."""
    return envs.in_lockstep(spec.env_id) and spec.env_options.env_copies is None


def _in_lockstep(
    folder: RunFolder, parts: Sequence[tuple[Path, Sequence[int]]], guard: Guard
) -> list[list[float | Lost] | Exception] | None:
    """Plays all parts at once; None where their policies do not fit together."""
    spec = folder.spec
    try:
        policies = [load_policy(spec, folder, checkpoint) for checkpoint, _ in parts]
    except (BadInput, BadCheckpoint):
        return None
    if policies[0].frame_stack > 1 or not alike(policies):
        return None
    longest = max(len(seeds) for _, seeds in parts)
    filled = [[*seeds, *[seeds[-1]] * (longest - len(seeds))] for _, seeds in parts]
    values = play_in_lockstep(policies, spec, filled, guard)
    return [list(row[: len(seeds)]) for row, (_, seeds) in zip(values, parts, strict=True)]


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
