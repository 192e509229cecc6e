"""Sum trees of all members: updates of weights and draws in proportion to them in few steps."""

from __future__ import annotations

from itertools import pairwise

import torch

#: Children of a node. Of wide nodes a tree has few levels, each of which is a handful of kernels.
FAN = 32


class SumTrees:
    """``size`` weights a member, initially zero (Schaul et al. 2016, appendix B.2.1).

    Sums are always those of the children, computed from them again: no error accumulates.

    Attributes:
        levels: from the leaves up, float64, each of shape (M, nodes).
    """

    def __init__(self, members: int, size: int, device: torch.device | str = "cpu") -> None:
        self.levels: list[torch.Tensor] = []
        self._last: list[int] = []  # node of each level before its padding
        while True:
            nodes = -(-size // FAN)
            self._last.append(size - 1)
            self.levels.append(
                torch.zeros(members, nodes * FAN, device=device, dtype=torch.float64)
            )
            if nodes == 1:
                break
            size = nodes

    @staticmethod
    def nbytes(size: int) -> int:
        """Memory of one member's tree in bytes, within a few nodes."""
        return round(8 * size * FAN / (FAN - 1))

    @property
    def total(self) -> torch.Tensor:
        """The sum of all weights, shape (M, 1)."""
        return self.levels[-1].sum(1, keepdim=True)

    def get(self, leaves: torch.Tensor) -> torch.Tensor:
        """The weights of leaves (M, N)."""
        return self.levels[0].gather(1, leaves)

    def set(self, leaves: torch.Tensor, weights: torch.Tensor) -> None:
        """Sets the weights of leaves (M, N). If a leaf occurs twice, its largest weight counts."""
        self.levels[0].scatter_reduce_(1, leaves, weights, "amax", include_self=False)
        nodes = leaves
        for low, high in pairwise(self.levels):
            nodes = nodes // FAN
            # A node that occurs twice is computed twice, with the same result.
            high.scatter_(1, nodes, _children(low, nodes).sum(-1))

    def fill(self, member: int, weights: torch.Tensor) -> None:
        """Sets all weights of one member, shape (size,)."""
        for level in self.levels:
            level[member] = 0.0
            level[member, : len(weights)] = weights
            weights = level[member].view(-1, FAN).sum(-1)

    def clear(self, member: int) -> None:
        """Sets every weight of one member to zero."""
        for level in self.levels:
            level[member] = 0.0

    def draw(self, uniform: torch.Tensor) -> torch.Tensor:
        """Draws leaves in proportion to their weights, one from each of N equal strata.

        Rounding can select a leaf of weight 0, as does a tree without any weight.

        Args:
            uniform: numbers within (0, 1), float64, shape (M, N).
        """
        count = uniform.shape[1]
        strata = torch.arange(count, device=uniform.device)
        left = (strata + uniform) / count * self.total
        nodes = torch.zeros_like(left, dtype=torch.int64)
        for level, last in zip(reversed(self.levels), reversed(self._last), strict=True):
            weights = _children(level, nodes)
            sums = weights.cumsum(-1)
            chosen = (left.unsqueeze(-1) >= sums).sum(-1, keepdim=True).clamp_(max=FAN - 1)
            left = left - (sums - weights).gather(-1, chosen).squeeze(-1)
            nodes = (nodes * FAN + chosen.squeeze(-1)).clamp_(max=last)
        return nodes


def _children(level: torch.Tensor, nodes: torch.Tensor) -> torch.Tensor:
    """The weights (M, N, FAN) below nodes (M, N) of the level above."""
    blocks = level.view(len(level), -1, FAN)
    return blocks.gather(1, nodes.unsqueeze(-1).expand(-1, -1, FAN))
