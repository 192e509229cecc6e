"""Sweeps of a trainable without randomness or clock, in processes that can be killed."""

from __future__ import annotations

import json
import logging
import math
import os
import signal
from pathlib import Path
from typing import Any

import climbers

from rltune.callbacks.base import Callbacks
from rltune.callbacks.run_writer import RunWriter
from rltune.callbacks.tensorboard import TensorBoardWriter
from rltune.engine.episodes import REWARD
from rltune.errors import RltuneError
from rltune.request.functions import function_spec
from rltune.runs.folder import RunFolder
from rltune.runs.state_file import StateFile
from rltune.spec import RunSpec

INTERVAL = 1_000


def spec_of(
    storage: Path,
    name: str,
    scheduler: str,
    address: str,
    trials: int = 4,
    max_failures: int = 2,
    trainable: type = climbers.Climber,
    concurrent: int | None = 1,
    steps: int = 6 * INTERVAL,
    perturb_every: int = INTERVAL,
    **options: Any,
) -> RunSpec:
    """A sweep of climbers, one at a time if not told; ``options`` are the population's."""
    return function_spec(
        trainable,
        {
            "lr": {"log": [1e-5, 1e-2], "default": 1e-3},
            "momentum": {"uniform": [0.0, 0.9], "default": 0.5},
        },
        metric=REWARD,
        scheduler=scheduler,
        trials=trials,
        steps=steps,
        target=math.inf,
        perturb_every=perturb_every,
        concurrent=concurrent,
        max_failures=max_failures,
        address=address,
        **options,
        storage=storage,
        name=name,
        seed=3,
    )


def climb(spec: RunSpec, die: str = "") -> None:
    """Runs or continues a sweep of climbers: the whole of a process.

    Args:
        die: kills the process once a state is written in which every member waits ("barrier"), or
            one is to start from another's checkpoint ("exploit").
    """
    from rltune.sweeps import runner
    from rltune.sweeps.jobs import job_in

    logging.disable(logging.CRITICAL)
    if die:
        dies = {"barrier": _die_at_the_barrier, "exploit": _die_at_an_exploit}[die]
        StateFile.write = dies  # type: ignore[method-assign]
    path = Path(spec.storage) / spec.name
    folder = RunFolder.open(path) if path.exists() else RunFolder.create(spec)
    folder.acquire()
    try:
        callbacks = Callbacks(RunWriter(spec, folder), [TensorBoardWriter(spec, folder)])
        ended = runner.train(job_in(folder), folder, callbacks)
        told = {"statuses": ended.statuses, "reason": ended.reason}
        (path / "outcome.json").write_text(json.dumps(told))
    except RltuneError as error:
        (path / "outcome.json").write_text(json.dumps({"error": str(error)}))


_write = StateFile.write


def _die_at_the_barrier(file: StateFile, saved: Any) -> None:
    _write(file, saved)
    members = saved["parts"]["scheduler"]["members"].values()
    if members and all(member["waits"] for member in members):
        os.kill(os.getpid(), signal.SIGKILL)


def _die_at_an_exploit(file: StateFile, saved: Any) -> None:
    _write(file, saved)
    starts = {trial["id"]: trial["start"] or "" for trial in saved["trials"]}
    if any(start and not start.startswith(f"trials/{name}/") for name, start in starts.items()):
        os.kill(os.getpid(), signal.SIGKILL)
