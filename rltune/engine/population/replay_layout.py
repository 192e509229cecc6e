"""The shape of the replay buffers of a batch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from rltune.engine.gpu import free_memory
from rltune.engine.population.sum_trees import SumTrees
from rltune.engine.replay_buffer import check_memory
from rltune.processes import machine
from rltune.processes.machine import Grant


@dataclass(frozen=True)
class ReplayLayout:
    """Shapes and sizes of each member's buffer, known before memory is allocated.

    Attributes:
        capacity: number of transitions; an episode's last observation counts as one.
        copies: of the environment each member has, E.
        obs_shape, obs_dtype: of one observation, with frames stacked along the last axis.
        action_shape, action_dtype: of one action.
        frame_stack: number of frames in an observation; the buffer keeps each frame once.
        prioritized: whether transitions are drawn by their TD errors.
    """

    capacity: int
    copies: int
    obs_shape: tuple[int, ...]
    obs_dtype: torch.dtype = torch.float32
    action_shape: tuple[int, ...] = ()
    action_dtype: torch.dtype = torch.int64
    frame_stack: int = 1
    prioritized: bool = False

    @property
    def rows(self) -> int:
        """Slots of each copy: its share of the capacity, and one for the next observation, R."""
        return -(-self.capacity // self.copies) + 1

    @property
    def signature(self) -> tuple[int, int, int]:
        """What a file of a buffer must have in common with it."""
        return self.capacity, self.copies, self.frame_stack

    @property
    def frame(self) -> tuple[int, ...]:
        """Shape of an observation's newest frame."""
        *outer, inner = self.obs_shape or (1,)
        return (*outer, inner // self.frame_stack) if self.frame_stack > 1 else self.obs_shape

    def check_memory(self, members: int, device: torch.device, dtype: torch.dtype) -> None:
        """Raises MemoryError if less memory is free on a device than all buffers take."""
        if device.type == "cuda":
            free = Grant(free_memory(device), f"on {device}")
        else:
            free = machine.free_memory()
        check_memory(self.capacity, self.nbytes(1, dtype), members, free)

    def nbytes(self, members: int, dtype: torch.dtype = torch.float32) -> int:
        """Memory of the buffers of all members in bytes."""
        slots = self.rows * self.copies
        slot = (
            math.prod(self.frame) * self.obs_dtype.itemsize
            + math.prod(self.action_shape) * self.action_dtype.itemsize
            + 4 * dtype.itemsize
            + torch.int32.itemsize
            + (self.frame_stack > 1)
        )
        trees = SumTrees.nbytes(slots) if self.prioritized else 0
        return members * (slot * slots + torch.int32.itemsize * self.copies + trees)

    def transition_nbytes(self) -> int:
        """Memory of the observations of one drawn transition in bytes."""
        return 2 * math.prod(self.obs_shape) * self.obs_dtype.itemsize
