"""Runs whose trials nobody decides about train as batches by themselves where that is faster."""

from __future__ import annotations

import math
from dataclasses import replace

from rltune import envs
from rltune.catalog.probe import Probe
from rltune.request import batches, capacity
from rltune.spec import RunSpec

#: Trials of a batch, at least and at most: on a core, 8 are twice as fast as one after the other,
#: 2 hardly, and 32 not much more.
FEWEST, MOST = 4, 16


def in_batches(spec: RunSpec, probe: Probe) -> RunSpec:
    """A request that trains its trials as batches where it leaves that open and they are faster.

    That is where there are several times more trials than processes, and gymnasium steps all copies
    of the environment at once: 20 seeds of ppo on CartPole took 35 s instead of 48 on two cores.
    """
    asked = spec.resources
    if spec.algo not in batches.BY_THEMSELVES:
        return spec
    if asked.batch != "auto" or asked.gpus_per_trial or asked.concurrent is not None:
        return spec
    seats = min(MOST, math.ceil(spec.budget.trials / capacity.processes_here(spec)))
    if seats < FEWEST or batches.problems(spec, probe):
        return spec
    if not envs.in_lockstep(spec.env_id, spec.settings["frame_stack"]):
        return spec
    return replace(spec, resources=replace(asked, batch=str(seats)))
