"""The process of one side of bench_batch.py: what it trains, a turn at a time."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from bench_engine import TASKS as SINGLE_TASKS
from bench_engine import Task, rltune_side, sb3_side

#: Environment steps between two looks at the clock, of sides that train one trial.
PIECES = {"ppo": 2_048, "dqn": 1_024, "sac": 256}
#: How often an exploit is timed.
EXPLOITS = 7


def _minibatches(task: Task, size: int) -> Task:
    return replace(task, settings={**task.settings, "minibatch_size": size})


TASKS = {
    "ppo": SINGLE_TASKS["ppo"],
    "ppo-64": _minibatches(SINGLE_TASKS["ppo"], 64),
    "dqn": SINGLE_TASKS["dqn"],
    "sac": SINGLE_TASKS["sac"],
}


@dataclass(frozen=True)
class Trained:
    """What a side trains.

    Attributes:
        run: trains for a while and returns the environment steps taken, of all members together.
        group: rltune's group of members, or None.
    """

    run: Callable[[], int]
    group: Any = None


def make(task: Task, side: str, members: int, gpu: bool) -> Trained:
    """Makes what a side trains."""
    import torch

    device = torch.device("cuda" if gpu else "cpu")
    if side == "batch":
        return batch_side(task, members, device)
    if side == "bare":
        from bare_batch import PPO

        return Trained(PPO(task.env, task.settings, members, device))
    single = (rltune_side if side == "single" else sb3_side)(task, False)
    return Trained(lambda: single(PIECES[task.algo]))


def batch_side(task: Task, members: int, device: Any) -> Trained:
    """Makes a group of members, as trials with ``--batch`` train in."""
    from rltune import algorithms
    from rltune.algorithms.groups import make_group

    def config(seed: int) -> Any:
        made = getattr(algorithms, task.algo.upper()).get_default_config()
        made.update_from_dict({**task.settings, "env": task.env, "seed": seed})
        made.validate()
        return made

    group, _ = make_group([config(1_000 * n) for n in range(members)], device)

    def run() -> int:
        before = group.env_steps.sum()
        group.round()
        group.sampler.take_episodes()
        return int(group.env_steps.sum() - before)

    return Trained(run, group)


def serve(name: str, side: str, members: int, core: int, gpu: bool) -> None:
    """Runs one side, answering each line of stdin: ``first``, ``turn SECONDS`` and ``exploit``."""
    if side == "single":
        from rltune.sweeps import surroundings

        # isort: split
        import ray

        os.environ.update(surroundings.VARIABLES)  # Ray is as quiet as in a sweep
        ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    import torch

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    on_gpu = gpu and side in ("batch", "bare")
    trained = make(TASKS[name], side, members, on_gpu)
    answer({"device": torch.cuda.get_device_name() if on_gpu else "cpu"})
    # After the start: processes that start together would have one core between them.
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[core]})
    for line in sys.stdin:
        word, *rest = line.split()
        if word == "first":
            answer(first(trained, TASKS[name].first * members))
        elif word == "turn":
            answer(turn(trained, float(rest[0]), on_gpu))
        else:
            answer({"exploit_ms": exploit_ms(trained.group, on_gpu)})
    os._exit(0)  # Ray's processes go by themselves


def answer(values: dict[str, Any]) -> None:
    """Prints the answer to a line."""
    print("=" + json.dumps(values), flush=True)


def first(trained: Trained, env_steps: int) -> dict[str, Any]:
    """Trains until everything has run once, and tells what captures took."""
    began = time.perf_counter()
    while env_steps > 0:
        env_steps -= trained.run()
    trained.run()
    seconds = time.perf_counter() - began
    captured = 0.0
    if trained.group:
        from rltune.engine.population.captured import Captured

        parts = vars(trained.group.learner).values()
        captured = sum(part.seconds for part in parts if isinstance(part, Captured))
    return {"first": seconds, "capture": captured}


def turn(trained: Trained, seconds: float, on_gpu: bool) -> dict[str, Any]:
    """Trains for some seconds."""
    import torch

    taken, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        taken += trained.run()
    if on_gpu:
        torch.cuda.synchronize()
    speed = taken / (time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    held = torch.cuda.max_memory_reserved() / 2**20 if on_gpu else 0.0
    return {"speed": speed, "peak": peak, "held": held}


def exploit_ms(group: Any, on_gpu: bool) -> float:
    """Milliseconds until a quarter of the members is copied and all settings are read back."""
    import torch

    learner, quarter = group.learner, len(group) // 4
    donors, clones = range(quarter), range(len(group) - quarter, len(group))
    values, times = learner.hyper.read(), []
    for _ in range(EXPLOITS):
        if on_gpu:
            torch.cuda.synchronize()
        values[:, clones] = values[:, donors]
        began = time.perf_counter()
        learner.copy_members(list(donors), list(clones))
        learner.hyper.write(values)
        if not np.array_equal(learner.hyper.read(), values):
            raise RuntimeError("a batch does not hold what was written")
        if on_gpu:
            torch.cuda.synchronize()
        times.append(1000 * (time.perf_counter() - began))
    return float(np.median(times))
