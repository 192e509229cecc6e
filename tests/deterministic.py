"""A trainable without randomness or clock, and sweeps of it in processes that can be killed."""

from __future__ import annotations

import json
import logging
import math
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray import tune
from ray.train._internal.storage import StorageContext

from rltune.callbacks.base import Callbacks
from rltune.callbacks.run_writer import RunWriter
from rltune.callbacks.tensorboard import TensorBoardWriter
from rltune.engine.episodes import REWARD
from rltune.errors import RltuneError
from rltune.request.resolve import make_spec
from rltune.runs import checkpoints, state_file
from rltune.runs.checkpoints import RECORD_FILE
from rltune.runs.folder import RunFolder
from rltune.schedulers.base import TIME
from rltune.spec import RunSpec
from rltune.tasks.rl import RLTask

REPORT = 250
INTERVAL = 1_000


class TidyStorage(StorageContext):  # type: ignore[misc]
    """As rltune's own algorithms have it; theirs would bring RLlib along."""

    @property
    def checkpoint_dir_name(self) -> str:
        return f"checkpoints/{super().checkpoint_dir_name}"


class Climber(tune.Trainable):  # type: ignore[misc]
    """Gains return at a rate that its settings decide; the best ones drift."""

    def setup(self, config: dict[str, Any]) -> None:
        self.env_steps, self.level = 0, 0.0
        self.asked = config
        self._storage.__class__ = TidyStorage

    def step(self) -> dict[str, Any]:
        best = -3.5 + self.env_steps / 10_000
        self.level += math.exp(-((math.log10(self.asked["lr"]) - best) ** 2))
        self.env_steps += REPORT
        return {
            REWARD: self.level,
            TIME: self.env_steps,
            "env_steps_this_iter": REPORT,
            "settings": dict(self.asked),
        }

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        folder = Path(checkpoint_dir)
        record = {"env_steps": self.env_steps, "level": self.level}
        record |= {"episode_returns": [], "window": 20}
        (folder / RECORD_FILE).write_text(json.dumps(record))
        checkpoints.seal(folder, "ppo")

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        record = json.loads((Path(checkpoint_dir) / RECORD_FILE).read_text())
        self.env_steps, self.level = record["env_steps"], record["level"]
        exploit = self.asked.get("exploit")
        if exploit and f"trials/{exploit['donor']}/" in checkpoint_dir:
            self.env_steps = exploit["env_steps"]


class Killed(Climber):
    """The process of one trial is killed once."""

    def step(self) -> dict[str, Any]:
        mark = Path(self.logdir).parent / "killed"
        if self.trial_id == "t01" and self.env_steps == 1_500 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step()


class Failing(Climber):
    """One trial can never get past a step."""

    def step(self) -> dict[str, Any]:
        if self.trial_id == "t01" and self.env_steps == 1_500:
            raise RuntimeError("the motor burnt out (env step 1500)")
        return super().step()


class AllFailing(Climber):
    """No trial gets anywhere."""

    def step(self) -> dict[str, Any]:
        raise RuntimeError("no such robot")


class Diverging(Climber):
    """One trial diverges, until it takes a healthy one's weights."""

    def step(self) -> dict[str, Any]:
        row = super().step()
        rescued = (self.asked.get("exploit") or {}).get("env_steps", 0) >= 1_500
        if self.trial_id == "t00" and self.env_steps >= 1_500 and not rescued:
            del row[REWARD]
            row["diverged"] = {"env_steps": self.env_steps, "what": "loss", "value": "nan"}
        return row


class Nameless(Climber):
    """Reports its return under another name."""

    def step(self) -> dict[str, Any]:
        row = super().step()
        return {"score": row.pop(REWARD), **row}


class Climbing(RLTask):
    """Trains climbers in the place of an algorithm."""

    def __init__(self, spec: RunSpec, trainable: type) -> None:
        super().__init__(spec)
        self.climber = trainable

    @property
    def trainable(self) -> type:
        return self.climber

    def metrics(self, result: Mapping[str, Any]) -> dict[str, float]:
        return {name: result[name] for name in (REWARD, "score") if name in result}

    def may_come_later(self, result: Mapping[str, Any]) -> bool:
        return False


def spec_of(
    storage: Path,
    name: str,
    scheduler: str,
    address: str,
    trials: int = 4,
    max_failures: int = 2,
    **options: Any,
) -> RunSpec:
    """A sweep of climbers, one at a time; ``options`` are the population's."""
    return make_spec(
        "ppo",
        "cartpole",
        scheduler=scheduler,
        trials=trials,
        max_failures=max_failures,
        steps=6 * INTERVAL,
        target=math.inf,
        concurrent=1,
        seed=3,
        storage=storage,
        name=name,
        address=address,
        population={"perturb_every": INTERVAL, **options},
    )


def climb(spec: RunSpec, trainable: type = Climber, die: str = "") -> None:
    """Runs, or goes on with, a sweep of climbers: the whole of a process.

    Args:
        die: kills the process once a state is written in which every member waits ("barrier"), or
            one is to start from another's checkpoint ("exploit").
    """
    from rltune.sweeps import runner
    from rltune.sweeps.jobs import job_in

    logging.disable(logging.CRITICAL)
    if die:
        state_file.write = {"barrier": _die_at_the_barrier, "exploit": _die_at_an_exploit}[die]
    path = Path(spec.storage) / spec.name
    folder = RunFolder.open(path) if path.exists() else RunFolder.create(spec)
    folder.acquire()
    try:
        callbacks = Callbacks(RunWriter(spec, folder), [TensorBoardWriter(spec, folder)])
        job = job_in(folder)
        job.task = Climbing(spec, trainable)
        statuses, reason, _ = runner.train(job, folder, callbacks)
        (path / "outcome.json").write_text(json.dumps({"statuses": statuses, "reason": reason}))
    except RltuneError as error:
        (path / "outcome.json").write_text(json.dumps({"error": str(error)}))


_write = state_file.write


def _die_at_the_barrier(folder: Path, saved: Any) -> None:
    _write(folder, saved)
    members = saved["parts"]["scheduler"]["members"].values()
    if members and all(member["waits"] for member in members):
        os.kill(os.getpid(), signal.SIGKILL)


def _die_at_an_exploit(folder: Path, saved: Any) -> None:
    _write(folder, saved)
    starts = {trial["id"]: trial["start"] or "" for trial in saved["trials"]}
    if any(start and not start.startswith(f"trials/{name}/") for name, start in starts.items()):
        os.kill(os.getpid(), signal.SIGKILL)
