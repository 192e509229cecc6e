"""The whole of a process that has a Ray of its own, as a notebook has: an event loop runs in it."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants

import rltune
import rltune.algorithms.ppo
from rltune.errors import BadInput
from rltune.request.secrets import hide
from rltune.sweeps.surroundings import LOGGERS

OWN = """\
from gymnasium.envs.classic_control import CartPoleEnv

class Mine(CartPoleEnv):
    def __init__(self, api_key=None, render_mode=None):
        assert api_key == "hunter2", "the key did not arrive"
        super().__init__()
"""


def surroundings() -> list[Any]:
    """What a sweep must leave as it was."""
    levels = [logging.getLogger(name).level for name in LOGGERS]
    printing = ray._private.worker.print_to_stdstream
    return [dict(os.environ), levels, repr(printing), ray_constants.ENABLE_RAY_CLUSTER]


def sweep(env: str, name: str, **options: Any) -> str:
    """A short one; returns the status of its trial."""
    short = {"trials": 1, "steps": 2_048, "scheduler": "fifo", "target": math.inf, "episodes": 10}
    run = rltune.sweep("ppo", env, name=name, storage="runs", **{**short, **options})
    return str(run.trials[0]["status"])


async def notebook(told: list[Any]) -> None:
    """A sweep in the main thread, then one in another thread and one that is in its way."""
    told.append(sweep("mine:Mine", "a", env_args={"api_key": "hunter2"}))
    batch = {"trials": 2, "batch": 2, "env_args": {"api_key": "hunter2"}}
    thread = threading.Thread(target=lambda: told.append(sweep("mine:Mine", "b", **batch)))
    thread.start()
    while not Path("runs/b/run.json").exists():
        time.sleep(0.05)
    try:
        sweep("cartpole", "c")
    except BadInput as error:
        told.append(str(error))
    thread.join()


def main(folder: Path) -> list[Any]:
    """What happened, for the test to look at."""
    os.chdir(folder)
    (folder / "modules").mkdir()
    (folder / "modules" / "mine.py").write_text(OWN)
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="WARNING",
    )
    sys.path.insert(0, str(folder / "modules"))  # too late for Ray's processes to inherit it
    hide({"api_key": "hunter2"})
    before = surroundings()  # RLlib was quietened when rltune.algorithms.ppo was imported
    told: list[Any] = []
    asyncio.run(notebook(told))
    told.append([one for one, was in zip(surroundings(), before, strict=True) if one != was])
    try:
        sweep("cartpole", "d", address="192.0.2.1:6379")
    except BadInput as error:
        told.append(str(error))
    told.append(ray.get(ray.remote(lambda: 7).remote()))
    ray.shutdown()
    return told
