"""Runs on a CPU whose trials train as batches by themselves, where that is faster."""

from __future__ import annotations

import math
from dataclasses import replace

from rltune import envs, schedulers
from rltune.catalog.probe import Probe
from rltune.errors import BadInput
from rltune.request import batches, capacity
from rltune.request.env_copies import fewer_at_a_time
from rltune.spec import RunSpec

#: Seeds of a batch, at least, by algorithm: on a core, 4 of ppo are twice as fast as one after the
#: other, 2 hardly. Those of dqn gain a tenth.
FEWEST_SEEDS = {"ppo": 4}
#: Members of a population, at least: two that share a process need not take turns in it, each with
#: a checkpoint at every interval.
FEWEST_MEMBERS = {"ppo": 2, "dqn": 2}
#: Trials of a batch, at most: 32 are not much faster than 16.
MOST = 16


def in_batches(spec: RunSpec, probe: Probe, searches: bool) -> RunSpec:
    """A request that trains its trials as batches where it leaves that open and they are faster.

    That is where all trials train to the end side by side, seeds or the members of a population,
    where they are several times more than processes. Those of PPO gain in the environments that
    rltune lists, but for images: on two cores 16 seeds took half to nine tenths of the time, and
    populations of 4 seven to nine tenths (scripts/bench_auto_batch.py). In others nobody knows what
    a step takes, and one that hangs would take the others along. Populations of DQN gain where
    gymnasium steps all copies of the environment at once: on CartPole 42 s instead of 54, the means
    of five, and 0.98 to 1.06 times elsewhere. Other searches gain from what earlier trials have
    told, and run few at a time.

    Args:
        searches: whether trials are compared while they train; if not, they are seeds.
    """
    asked, fewest = spec.resources, FEWEST_MEMBERS if searches else FEWEST_SEEDS
    if spec.algo not in fewest:
        return spec
    if asked.batch != "auto" or asked.gpus_per_trial or asked.concurrent is not None:
        return spec
    if asked.address is not None:
        return spec  # the cluster's processes are not counted yet
    if searches and not schedulers.row(spec.budget.scheduler).population:
        return spec
    seats = min(MOST, math.ceil(spec.budget.trials / capacity.processes_here(spec)))
    if seats < fewest[spec.algo] or batches.problems(spec, probe) or batches.shaping(spec):
        return spec
    at_once = envs.in_lockstep(spec.env_id, spec.settings["frame_stack"])
    if not at_once and not _gains(spec, probe):
        return spec
    together = replace(spec, resources=replace(asked, batch=str(seats)))
    try:
        capacity.check_fits_here(together, probe)
    except BadInput:  # more replay buffers at a time
        return spec
    bounded = fewer_at_a_time(together) != together  # fewer members than seats
    return spec if bounded else together


def _gains(spec: RunSpec, probe: Probe) -> bool:
    """Whether trials are faster as batches though copies of the environment step one by one.

    Several cores were asked for to step a trial's copies, which a batch does in one process.
    """
    if spec.algo != "ppo":
        return False
    ids = {info.id for info in envs.INFOS.values()}
    listed = spec.env_id in ids and not envs.is_replaced(spec.env_id)
    return listed and spec.cpus_of_a_trial == 1 and not batches.of_images(spec, probe)
