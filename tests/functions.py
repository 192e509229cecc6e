"""Functions that a sweep can run: at the top of a module, as a user's are."""

from __future__ import annotations

import math
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray import tune

import rltune


def climb(config: dict[str, Any]) -> None:
    """Climbs at a rate that lr decides; the best one drifts."""
    state = rltune.get_checkpoint() or {"step": 0, "level": 0.0}
    step, level = state["step"], state["level"]
    while True:
        best = -3.5 + step / 40
        level += math.exp(-((math.log10(config["lr"]) - best) ** 2))
        step += 1
        kept = {"step": step, "level": level}
        rltune.report({"height": level, "step": step}, checkpoint=kept)


def gambles(config: dict[str, Any]) -> None:
    """Climbs as fast as lr says on some seeds alone, where lr is high."""
    step = (rltune.get_checkpoint() or {"step": 0})["step"]
    while True:
        step += 1
        lucky = (int(1e9 * config["lr"]) + config["seed"]) % 3 == 0
        rate = 1e5 * config["lr"] if config["lr"] < 5e-4 else 50.0 * lucky
        rltune.report({"height": rate * step}, checkpoint={"step": step})


def finishes(config: dict[str, Any]) -> None:
    """Returns after its sixth report, wherever it continues from."""
    for step in range((rltune.get_checkpoint() or {"step": 0})["step"], 6):
        rltune.report({"height": config["lr"] * step}, checkpoint={"step": step + 1})


def wavers(config: dict[str, Any]) -> None:
    """Reports its height, and at last something else."""
    rltune.report({"height": config["lr"]})
    rltune.report({"width": 1.0})


def short(config: dict[str, Any]) -> None:
    """Returns after three reports."""
    for step in range(3):
        rltune.report({"height": config["lr"] * step})


def falls(config: dict[str, Any]) -> None:
    """Fails at its third report, from wherever it starts."""
    step = (rltune.get_checkpoint() or {"step": 0})["step"]
    while True:
        step += 1
        if step == 3:
            raise RuntimeError("the rope broke")
        rltune.report({"height": float(step)}, checkpoint={"step": step})


def trips(config: dict[str, Any]) -> None:
    """Climbs, but falls at once where lr is small."""
    if config["lr"] < 1e-4:
        raise RuntimeError("the rope broke")
    climb(config)


def dives(config: dict[str, Any]) -> None:
    """Reports a number that is not finite."""
    rltune.report({"height": 1.0})
    rltune.report({"height": math.nan})


def silent(config: dict[str, Any]) -> None:
    """Returns without a report."""


def writes(config: dict[str, Any]) -> None:
    """Keeps its weights in files, as those who train networks do, and reports nested metrics."""
    start = rltune.get_checkpoint()
    weights = np.zeros(2) if start is None else np.load(start / "weights.npy")
    if start is not None:
        (start / "weights.npy").unlink()  # its own copy
    for _ in range(int(weights[0]), 4):
        weights += 1
        with tempfile.TemporaryDirectory() as folder:
            np.save(Path(folder) / "weights.npy", weights)
            metrics = {"height": weights[0] * config["lr"], "test": {"good": weights[0] > 2}}
            rltune.report(metrics, checkpoint=folder)
        if weights[0] == 2 and start is None:
            raise OSError("the weights are heavy")


def stumbles(config: dict[str, Any]) -> None:
    """Fails once, after two reports without a checkpoint."""
    for step in range(1, 5):
        if step == 3 and not Path(config["marker"]).exists():
            Path(config["marker"]).touch()
            raise RuntimeError("a stone")
        rltune.report({"height": float(step)})


def of_tune(config: dict[str, Any]) -> None:
    """Written for Ray Tune."""
    checkpoint, step = tune.get_checkpoint(), 0
    if checkpoint is not None:
        with checkpoint.as_directory() as folder:
            step = int((Path(folder) / "step.txt").read_text())
    while step < 4:
        step += 1
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "step.txt").write_text(str(step))
            kept = tune.Checkpoint.from_directory(folder)
            tune.report({"height": step * config["lr"]}, checkpoint=kept)
        if step == 2 and checkpoint is None:
            raise OSError("the weights are heavy")


class Ladder(tune.Trainable):  # type: ignore[misc]
    """A class trainable that counts 250 steps for each report."""

    def setup(self, config: dict[str, Any]) -> None:
        self.steps = 0

    def step(self) -> dict[str, Any]:
        self.steps += 250
        return {"height": float(self.steps), "env_steps": self.steps, "name": "ladder"}

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        return {"steps": self.steps}

    def load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.steps = checkpoint["steps"]


def peak(config: dict[str, Any]) -> None:
    """Reports twice how near its settings are to a peak; nested settings arrive nested."""
    model, state = config["model"], rltune.get_checkpoint() or {"step": 0}
    off = abs(math.log10(config["lr"]) + 3.5) + abs(model["layers"] - 3)
    for step in range(state["step"], 2):
        height = (model["activation"] == "relu") - off + step
        rltune.report({"height": height}, checkpoint={"step": step + 1})


def trades(config: dict[str, Any]) -> None:
    """Reports a height and the weight that it takes; some settings fail, of some it is NaN."""
    layers = config["model"]["layers"]
    for step in range((rltune.get_checkpoint() or {"step": 0})["step"], 2):
        if 3e-3 < config["lr"] < 2e-2:
            raise RuntimeError("the rope broke")
        height = layers + step - abs(math.log10(config["lr"]) + 3.5)
        weight = math.nan if config["lr"] > 2e-2 and step else layers**2 + config["lr"]
        values = {"height": height, "load": {"weight": weight}}
        rltune.report(values, checkpoint={"step": step + 1})


def shaped(config: dict[str, Any]) -> None:
    """Climbs at a rate that a log, nested an int and a choice, and noise decide."""
    state = rltune.get_checkpoint() or {"step": 0, "level": 0.0}
    step, level = state["step"], state["level"]
    model = config["model"]
    rate = math.exp(-((math.log10(config["lr"]) + 3) ** 2)) + model["layers"] / 10
    rate += {"relu": 0.0, "tanh": 0.2}[model["activation"]] + config.get("noise", 0) / 10
    while True:
        step, level = step + 1, level + rate
        kept = {"step": step, "level": level}
        rltune.report({"height": level, "step": step}, checkpoint=kept)


class Mute(tune.Trainable):  # type: ignore[misc]
    """A class trainable that keeps its metrics to itself."""

    def step(self) -> None:
        self.height = 1.0


def tells_where(config: dict[str, Any]) -> None:
    """Reports the GPU that it sees, numbered over all nodes, and when it began and ended."""
    node = int(ray.get_runtime_context().get_node_id(), 16) % 1_000_003
    device = int(os.environ.get("CUDA_VISIBLE_DEVICES") or -1)
    began = time.time()
    time.sleep(1)
    where = {"node": node, "device": device, "began": began, "ended": time.time()}
    rltune.report(where, checkpoint={"step": 1})
