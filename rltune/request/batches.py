"""Whether the trials of a run train as batches, and how many to a batch."""

from __future__ import annotations

import math
from dataclasses import replace

import gymnasium as gym

from rltune.catalog.batches import MEMBERS_OWN
from rltune.catalog.probe import Probe
from rltune.errors import BadInput
from rltune.spec import RL, RunSpec

#: Algorithms whose trials train as batches without being asked, as measurements say they should.
BY_THEMSELVES = frozenset({"ppo"})


def resolved(spec: RunSpec, probe: Probe) -> RunSpec:
    """A request whose ``batch`` says what happens: "off", a number, or "auto" for all trials.

    ``auto`` is off where no GPU is asked for, a trial trains alone, nobody has measured that it
    helps the algorithm, trials have other shapes, observations are images, whose environments are
    too slow for one core to step those of many trials, or something is in the way.

    Raises:
        BadInput: a number is asked for, and something is in the way.
    """
    asked = spec.resources.batch
    if asked == "off":
        return spec
    found = problems(spec, probe)
    if asked == "auto":
        several = spec.budget.most_trials > 1
        likely = is_likely(asked, spec.resources.gpus_per_trial, spec.algo)
        if likely and several and not found and not shaping(spec) and not of_images(spec, probe):
            return spec
        return replace(spec, resources=replace(spec.resources, batch="off"))
    if found:
        raise BadInput([f"batch {asked}: {problem}" for problem in found])
    return spec


def of_images(spec: RunSpec, probe: Probe) -> bool:
    """Whether observations are images, whose environments and networks keep a core busy."""
    return len(probe.spaces(spec.settings)[0].shape or ()) == 3


def problems(spec: RunSpec, probe: Probe) -> list[str]:
    """Why the trials of a run cannot train as a batch; empty where they can."""
    if spec.algo not in MEMBERS_OWN:
        others = ", ".join(MEMBERS_OWN)
        return [f"{spec.algo} does not train as a batch, {others} does: leave it out"]
    found = []
    if spec.settings["num_env_runners"] or "num_env_runners" in spec.space:
        found.append("a batch steps its environments itself: num_env_runners must be 0")
    if (spec.env_options.env_processes or 1) > 1:
        found.append("a batch steps its environments in one process: leave out env_processes")
    if spec.env_options.simulator != "gymnasium":
        found.append("a batch steps gymnasium's environments: leave out the simulator")
    _, actions = probe.spaces(spec.settings)
    one_axis = isinstance(actions, gym.spaces.Box) and len(actions.shape) == 1
    if not (one_axis or isinstance(actions, gym.spaces.Discrete)):
        found.append(f"no batch acts in {type(actions).__name__}: leave it out")
    return found


def shaping(spec: RunSpec) -> list[str]:
    """Searched settings that give trials other shapes: those of one shape train as a batch."""
    return sorted({*spec.space} - MEMBERS_OWN[spec.algo])


def is_likely(batch: str, gpus_per_trial: float, algo: str) -> bool:
    """Whether trials will train as batches where nothing else is in the way.

    Args:
        batch: as it was asked for.
    """
    if batch == "auto":
        return algo in BY_THEMSELVES and gpus_per_trial > 0
    return algo in MEMBERS_OWN and batch != "off"


def is_batched(spec: RunSpec) -> bool:
    """Whether the trials of a resolved run train as batches."""
    return spec.task == RL and spec.resources.batch != "off"


def size(spec: RunSpec, fit: int) -> tuple[int, int]:
    """Batches that run side by side, and trials in each.

    Args:
        fit: processes that the machine or the cluster has room for.
    """
    budget, asked = spec.budget, spec.resources
    at_once = min(budget.trials, asked.concurrent or budget.trials)
    if asked.batch == "auto":
        groups = min(fit, at_once)
        return groups, math.ceil(at_once / groups)
    seats = min(int(asked.batch), at_once)
    return min(fit, math.ceil(at_once / seats)), seats
