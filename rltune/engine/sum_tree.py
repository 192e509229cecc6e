"""A sum tree: updates of weights and draws in proportion to them in O(log n)."""

from __future__ import annotations

import numpy as np


class SumTree:
    """``size`` weights, initially zero. Every method takes whole arrays of leaves.

    A complete binary tree in one array: node ``i`` is the sum of ``2 i`` and ``2 i + 1``, and the
    leaves are its second half (Schaul et al. 2016, appendix B.2.1).
    """

    def __init__(self, size: int) -> None:
        self._leaves = 1 << max(1, (size - 1).bit_length())
        self._nodes = np.zeros(2 * self._leaves)

    @property
    def total(self) -> float:
        """The sum of all weights."""
        return float(self._nodes[1])

    def get(self, leaves: np.ndarray) -> np.ndarray:
        """Returns the weights of leaves."""
        weights: np.ndarray = self._nodes[self._leaves + leaves]
        return weights

    def set(self, leaves: np.ndarray, weights: np.ndarray | float) -> None:
        """Sets weights. If a leaf occurs twice, its last weight counts."""
        nodes = self._leaves + leaves
        self._nodes[nodes] = weights
        # A parent that occurs twice is computed twice, with the same result.
        while nodes.size and nodes[0] > 1:
            nodes = nodes >> 1
            self._nodes[nodes] = self._nodes[2 * nodes] + self._nodes[2 * nodes + 1]

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Draws leaves in proportion to their weights, one from each of ``count`` equal strata."""
        left_of = (np.arange(count) + rng.random(count)) / count * self.total
        nodes = np.ones(count, dtype=int)
        while nodes[0] < self._leaves:
            nodes = 2 * nodes
            weight = self._nodes[nodes]
            right = left_of >= weight
            left_of -= weight * right
            nodes += right
        return nodes - self._leaves

    def clear(self) -> None:
        """Sets every weight to zero."""
        self._nodes[:] = 0.0
