"""Random numbers of members that do not depend on the batch a member is in."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

#: SplitMix64's increment and multipliers (Steele et al. 2014), as signed 64-bit integers.
_STEP = 0x9E3779B97F4A7C15 - (1 << 64)
_FIRST = 0xBF58476D1CE4E5B9 - (1 << 64)
_SECOND = 0x94D049BB133111EB - (1 << 64)
#: Bits of a uniform number: one less than those of the significand, as half of the last one is
#: added, so that neither 0 nor 1 can be drawn.
BITS = {torch.float32: 23, torch.float64: 52}


class Streams:
    """One stream of random numbers a member, of its seed and its count alone.

    The numbers are a hash of seed and position (SplitMix64, Steele et al. 2014), so that members
    can be added, stopped or moved to another batch without any change to the others' numbers, and
    the same numbers come on every device. Everything is computed by tensors: draws can be part of
    a CUDA graph.

    >>> streams = Streams([1, 2])
    >>> both = streams.uniform(3)
    >>> bool((Streams([2]).uniform(3) == both[1]).all())
    True

    Args:
        seeds: one a member, any integers.

    Attributes:
        keys: int64, shape (M,).
        counts: numbers drawn so far, int64, shape (M,).
    """

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        # Seeds are often small and alike: what is drawn from must not be.
        self.keys = _mixed(torch.tensor([_signed(seed) for seed in seeds])).to(device)
        self.counts = torch.zeros_like(self.keys)

    def reseed(self, member: int, seed: int) -> None:
        """Restarts a member's stream from another seed."""
        self.keys[member] = _mixed(torch.tensor([_signed(seed)])).to(self.keys.device)[0]
        self.counts[member] = 0

    @contextmanager
    def only(self, members: torch.Tensor) -> Iterator[None]:
        """Within it draws move on the streams of some members alone: ``members``, bool (M,)."""
        before = self.counts.clone()
        yield
        self.counts.copy_(torch.where(members, self.counts, before))

    def uniform(self, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Draws numbers within (0, 1), both ends excluded, of shape (M, *shape)."""
        size = math.prod(shape)
        places = self.counts[:, None] + torch.arange(size, device=self.keys.device)
        drawn = _mixed(self.keys[:, None] + places * _STEP)
        self.counts.add_(size)
        bits = BITS[dtype]
        return _shifted(drawn, 64 - bits).to(dtype).add_(0.5).mul_(2.0**-bits).view(-1, *shape)

    def normal(self, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Draws standard normal numbers of shape (M, *shape)."""
        # float32's numbers near 1 are too far apart for the tails.
        uniform = self.uniform(*shape, dtype=torch.float64)
        return torch.erfinv(uniform.mul_(2).sub_(1)).mul_(math.sqrt(2)).to(dtype)

    def orders(self, size: int) -> torch.Tensor:
        """Draws one permutation of ``range(size)`` a member, shape (M, size)."""
        return self.uniform(size).argsort(dim=1)


def _signed(seed: int) -> int:
    seed %= 1 << 64
    return seed - (1 << 64) if seed >= 1 << 63 else seed


def _mixed(numbers: torch.Tensor) -> torch.Tensor:
    """SplitMix64's finaliser; integers wrap around."""
    numbers = (numbers ^ _shifted(numbers, 30)) * _FIRST
    numbers = (numbers ^ _shifted(numbers, 27)) * _SECOND
    return numbers ^ _shifted(numbers, 31)


def _shifted(numbers: torch.Tensor, by: int) -> torch.Tensor:
    """A logical shift to the right: torch's own keeps the sign."""
    return (numbers >> by) & ((1 << (64 - by)) - 1)
