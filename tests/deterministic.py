"""A trainable without randomness or clock, and sweeps of it in processes that can be killed."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

from ray import tune

from rltune import checkpoints
from rltune.observer import Observer
from rltune.request import make_spec
from rltune.runs import RECORD_FILE, RunFolder
from rltune.schedulers import METRIC, TIME
from rltune.spec import RunSpec

REPORT = 250
INTERVAL = 1_000


class Climber(tune.Trainable):  # type: ignore[misc]
    """Gains return at a rate that its settings decide; the best ones drift."""

    def setup(self, config: dict[str, Any]) -> None:
        self.env_steps, self.level = 0, 0.0
        self.asked = config
        storage = type(self._storage)
        if "checkpoint_dir_name" not in vars(storage):
            name = property(
                lambda self: f"checkpoints/checkpoint_{self.current_checkpoint_index:06d}"
            )
            self._storage.__class__ = type("Tidy", (storage,), {"checkpoint_dir_name": name})

    def step(self) -> dict[str, Any]:
        best = -3.5 + self.env_steps / 10_000
        self.level += math.exp(-((math.log10(self.asked["lr"]) - best) ** 2))
        self.env_steps += REPORT
        return {
            METRIC: self.level,
            TIME: self.env_steps,
            "env_steps_this_iter": REPORT,
            "settings": dict(self.asked),
        }

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        folder = Path(checkpoint_dir)
        record = {"env_steps": self.env_steps, "level": self.level, "episode_returns": []}
        (folder / RECORD_FILE).write_text(json.dumps(record))
        checkpoints.seal(folder, "ppo")

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        record = json.loads((Path(checkpoint_dir) / RECORD_FILE).read_text())
        self.env_steps, self.level = record["env_steps"], record["level"]
        exploit = self.asked.get("exploit")
        if exploit and f"trials/{exploit['donor']}/" in checkpoint_dir:
            self.env_steps = exploit["env_steps"]


def spec_of(storage: Path, name: str, scheduler: str, address: str, **options: Any) -> RunSpec:
    """A sweep of climbers, one at a time."""
    return make_spec(
        "ppo",
        "cartpole",
        scheduler=scheduler,
        trials=4,
        steps=6 * INTERVAL,
        target=math.inf,
        concurrent=1,
        seed=3,
        storage=storage,
        name=name,
        address=address,
        population={"perturb_every": INTERVAL, **options},
    )


def climb(spec: RunSpec) -> None:
    """Runs, or goes on with, a sweep of climbers: the whole of a process."""
    from rltune import sweeps

    pass
    logging.disable(logging.CRITICAL)
    path = Path(spec.storage) / spec.name
    folder = RunFolder.open(path) if path.exists() else RunFolder.create(spec)
    folder.lock.release()
    with folder.lock:
        sweeps.train(spec, folder, Observer(), Climber)
    (path / "done").touch()
