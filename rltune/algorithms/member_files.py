"""Checkpoints of single trials, written from and read into a batch: the same files, both ways."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ray.rllib.core import DEFAULT_MODULE_ID

from rltune.algorithms import tensors
from rltune.engine.population.adam import Adam
from rltune.engine.population.learner import BatchLearner, Part
from rltune.errors import BadCheckpoint
from rltune.runs.checkpoints import LEARNER_FILE, POLICY_FILE

#: The moments' names in a file and in :class:`Adam`.
_MOMENTS = {"exp_avg": "first", "exp_avg_sq": "second"}


def write_member(
    learner: BatchLearner,
    batch: Any,
    member: int,
    folder: Path,
    template: Mapping[str, torch.Tensor],
) -> None:
    """Writes what one member continues from, as the engine of single trials writes it.

    Args:
        batch: the algorithm's module, such as :mod:`rltune.algorithms.ppo.batch`.
        template: ``state_dict()`` of a network of this shape.
    """
    held = learner.network()
    network = {
        name: _own(held[name][member]).to(like.dtype) if name in held else like
        for name, like in template.items()
    }
    tensors.write(folder / POLICY_FILE, network)
    optimizers = {
        _name(part): _packed(learner, learner.optimizers[part.name], part, member)
        for part in learner.parts
    }
    forgotten = {name: _own(value) for name, value in batch.forgotten(learner, member).items()}
    tensors.write(folder / LEARNER_FILE, {"optimizers": optimizers, "forgotten": forgotten})


def read_member(learner: BatchLearner, batch: Any, member: int, folder: Path) -> None:
    """Makes a member continue from a checkpoint, its donor's or its own.

    Raises:
        BadCheckpoint: it is of another network or algorithm; nothing was loaded.
    """
    path, others = folder / POLICY_FILE, folder / LEARNER_FILE
    network, held = tensors.read(path), tensors.read(others)
    rows = learner.network()
    tensors.check_shapes(path, network, {name: rows[name].shape[1:] for name in rows})
    optimizers = tensors.part(others, held, "optimizers", map(_name, learner.parts))
    wanted = batch.forgotten(learner, member)
    forgotten = tensors.part(others, held, "forgotten", wanted)
    unpacked = {
        part.name: _unpacked(others, learner, part, optimizers[_name(part)])
        for part in learner.parts
    }
    with torch.no_grad():
        for name, tensor in rows.items():
            tensor[member] = network[name]
        for name, found in unpacked.items():
            for key, row in found.items():
                learner.optimizers[name].tensors[key][member] = row
        for name, value in wanted.items():
            value.copy_(forgotten[name].view(value.shape))


def _own(row: torch.Tensor) -> torch.Tensor:
    """A row in memory of its own on the CPU: torch would write all that a view is of."""
    return row.detach().to("cpu", copy=True)


def _name(part: Part) -> str:
    return f"{DEFAULT_MODULE_ID}_{part.name}"


def _packed(
    learner: BatchLearner, optimizer: Adam, part: Part, member: int
) -> dict[str, torch.Tensor]:
    count = len(part.weights)
    steps = optimizer.steps[member].cpu().float()
    if not steps.item():  # as torch's own, which has no state before the first update
        return {"weights": torch.zeros(0, dtype=torch.int64)}
    moments = {
        theirs: _own(optimizer.tensors[ours][member]).float() for theirs, ours in _MOMENTS.items()
    }
    return {"weights": torch.arange(count), "step": steps.expand(count).clone(), **moments}


def _unpacked(
    path: Path, learner: BatchLearner, part: Part, packed: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Rows of Adam's tensors; weights that never had a gradient have moments of 0."""
    shapes = [learner.weights.layout.shapes[name] for name in part.weights]
    sizes = [math.prod(shape) for shape in shapes]
    numbers: list[int] = packed["weights"].long().flatten().tolist()
    if not all(0 <= number < len(sizes) for number in numbers):
        raise BadCheckpoint(f"{path}: an optimizer has {len(sizes)} weights, not {numbers}")
    found = {ours: torch.zeros(sum(sizes)) for ours in _MOMENTS.values()}
    found["steps"] = torch.zeros(1)
    if not numbers:
        return found
    own = [sizes[number] for number in numbers]
    wanted = {key: torch.Size([sum(own)]) for key in _MOMENTS}
    tensors.check_shapes(path, dict(packed), {**wanted, "step": torch.Size([len(own)])})
    found["steps"][0] = packed["step"].max()
    for theirs, ours in _MOMENTS.items():
        parts = list(torch.split(found[ours], sizes))
        for number, values in zip(numbers, torch.split(packed[theirs], own), strict=True):
            parts[number].copy_(values)
    return found
