"""Measures copies of an environment stepped in one process and in several, with random actions.

    python scripts/bench_env_processes.py                      # needs the `bench` extra
    python scripts/bench_env_processes.py --envs pong --processes 4

Sides take turns: rltune with one process and with ``--processes``, Stable-Baselines3's DummyVecEnv
and SubprocVecEnv, which has one process a copy. Printed are environment steps a second (median, and
the lowest and highest turn), the CPU time of a step of one copy, of the process and of those that
it has started, and from these the steps a second that the cores allow: the first and a core's share
of the second one after the other. On a busy machine wall time says little, and this is what stands.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import psutil
import torch

from rltune import envs

#: Steps of a turn, and frames that a policy sees together.
ENVS = {"pong": (40, 4), "bipedalwalker": (120, 1), "acrobot": (300, 1)}


class Side:
    """One way to step the copies."""

    def __init__(self, make: Callable[[], Any], copies: int) -> None:
        before = set(psutil.Process().children(recursive=True))
        self._env, self._copies = make(), copies
        self._env.reset()
        space = getattr(self._env, "single_action_space", self._env.action_space)
        space.seed(0)
        self._actions = np.stack([space.sample() for _ in range(copies)])
        self._env.step(self._actions)
        self._processes = set(psutil.Process().children(recursive=True)) - before
        self.speeds: list[float] = []
        self.cpu: list[np.ndarray] = []

    def turn(self, steps: int) -> None:
        """Steps all copies."""
        began, spent = time.perf_counter(), self._spent()
        for _ in range(steps):
            self._env.step(self._actions)
        taken = steps * self._copies
        self.speeds.append(taken / (time.perf_counter() - began))
        self.cpu.append((self._spent() - spent) / taken)

    def _spent(self) -> np.ndarray:
        started = sum(sum(each.cpu_times()[:2]) for each in self._processes)
        return np.array([time.process_time(), started])

    def close(self) -> None:
        """Ends its processes."""
        self._env.close()


def sides(name: str, frames: int, copies: int, processes: int) -> dict[str, Side]:
    """All sides of one environment."""
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

    one = partial(envs.make, name, frame_stack=frames)
    ours = partial(envs.make_vec, name, copies, frame_stack=frames)
    theirs = partial(make_vec_env, one, copies, seed=0)
    makers = {
        "rltune, 1 process": ours,
        f"rltune, {processes} processes": partial(ours, processes=envs.Processes(count=processes)),
        "DummyVecEnv": partial(theirs, vec_env_cls=DummyVecEnv),
        f"SubprocVecEnv, {copies} processes": partial(theirs, vec_env_cls=SubprocVecEnv),
    }
    return {label: Side(make, copies) for label, make in makers.items()}


def measure(name: str, words: argparse.Namespace) -> None:
    """Prints the table of one environment in Markdown."""
    steps, frames = ENVS[name]
    all_sides = sides(name, frames, words.copies, words.processes)
    for _ in range(words.rounds):
        for side in all_sides.values():
            side.turn(steps)
    print(f"\n{name}, {words.copies} copies, {words.rounds} turns of {steps} steps of each")
    print(f"(load {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores)\n")
    print(f"| | steps/s | CPU of a step, ms | steps/s of {words.processes} cores |")
    print("|---|---|---|---|")
    for label, side in all_sides.items():
        low, middle, high = np.percentile(side.speeds, [0, 50, 100])
        own, started = np.mean(side.cpu, axis=0)
        cores = 1 if not started else words.processes
        print(
            f"| {label} | {middle:,.0f} [{low:,.0f}, {high:,.0f}] "
            f"| {own * 1e3:.3f} + {started * 1e3:.3f} | {1 / (own + started / cores):,.0f} |"
        )
        side.close()


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--envs", nargs="+", choices=ENVS, default=list(ENVS))
    parser.add_argument("--copies", type=int, default=8)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=8)
    words = parser.parse_args()
    torch.set_num_threads(1)
    for name in words.envs:
        measure(name, words)


if __name__ == "__main__":
    main()
