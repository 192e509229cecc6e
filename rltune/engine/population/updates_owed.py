"""How many updates each member of a batch owes for the steps it has taken, counted on the host."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rltune.engine.population.off_policy_shape import OffPolicyShape


class UpdatesOwed:
    """Counts of M members.

    Args:
        members: their number, M.

    Attributes:
        transitions: of each since its buffer was empty, at most a buffer's, shape (M,).
        owed: part of an update that each has not done yet, shape (M,).
        stopped: whether each takes no part, bool, shape (M,).
    """

    def __init__(self, members: int, shape: OffPolicyShape) -> None:
        self._shape = shape
        self.transitions = np.zeros(members, dtype=np.int64)
        self.owed = np.zeros(members)
        self.stopped = np.zeros(members, dtype=bool)

    def restart(self, member: int, transitions: int) -> None:
        """Makes a member owe nothing, with a buffer that holds so many transitions."""
        self.transitions[member] = transitions
        self.owed[member] = 0.0

    def due(self, sampled: np.ndarray, hyper: Mapping[str, np.ndarray]) -> np.ndarray:
        """Updates that each member does now, after new transitions (M,), shape (M,)."""
        size = self._shape.minibatch
        self.transitions = np.minimum(self.transitions + sampled, self._shape.capacity)
        intensity = hyper["training_intensity"]
        steps = np.where(np.isinf(intensity), size, intensity * sampled)
        waits = self.stopped | (self.warm_up_left(hyper) > 0)
        owed = self.owed + np.where(waits, 0.0, steps / size)
        updates = np.floor(owed)
        self.owed = owed - updates
        return updates.astype(np.int64)

    def warm_up_left(self, hyper: Mapping[str, np.ndarray]) -> np.ndarray:
        """Transitions that each member's buffer lacks until updates begin, shape (M,)."""
        shape, starts = self._shape, hyper["num_steps_sampled_before_learning_starts"]
        # Where environments end often a full buffer holds fewer transitions than its capacity.
        wanted = np.minimum(np.maximum(starts, shape.minibatch), shape.capacity // 2)
        left: np.ndarray = np.maximum(0, wanted - self.transitions)
        return left
